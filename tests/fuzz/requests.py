"""Target: what a worker makes of the bytes of a connection, whole and in pieces."""

import contextlib
import io
import re
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tests.worker.workbench import Workbench, statuses

_END = re.compile(rb"\r\n\r\n")
_FILE = b"the file"
_SECRET = b"the secret"
# Of a head that is wrong in two ways, the one is told that is seen first, which is a matter of how it arrives.
_REFUSALS = frozenset({400, 414, 431, 505})


def requests(raw: bytes) -> None:
    """However they arrive, the bytes get the same answers, none of which is a fault of ours or holds a secret."""
    cuts, sent = raw[:3], raw[3:]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        root.mkdir()
        for path in (root / "index.html", root / "a"):
            path.write_bytes(_FILE)
        (Path(name) / "secret").write_bytes(_SECRET)
        (root / ".secret").write_bytes(_SECRET)
        bench = Workbench(root)
        try:
            whole = _converse(bench, sent, ())
            assert whole == _converse(bench, sent, ()), "the second time it is answered otherwise"
            for edges in (cuts, [match.end() for match in _END.finditer(sent)]):
                assert whole == _converse(bench, sent, edges), "it matters how it arrives"
        finally:
            bench.close()


def _converse(bench: Workbench, sent: bytes, cuts: Iterable[int]) -> tuple[list[int], int, bool]:
    """The statuses, how often the file was sent, and whether the connection is over."""
    client = bench.client()
    got = b""
    edges = sorted({0, len(sent), *(cut % (len(sent) + 1) for cut in cuts)})
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        for begin, end in pairwise(edges):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.send(sent[begin:end])
            bench.arrive(client)
            got += bench.hear_all(client)
    assert not said.getvalue(), said.getvalue()
    assert _SECRET not in got
    found = [400 if status in _REFUSALS else status for status in statuses(got)]
    assert 500 not in found
    is_over = client.is_over()
    client.close()
    bench.hear_all()
    return found, got.count(_FILE), is_over
