# A real server, real clients, the real documentation tree: what arrives decodes to the file, byte for byte.
"""Content codings over the wire."""

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugins.strangers import install
from tests.static.coders import DECODE, ENCODE
from tests.support.server import Answer, Server, Servers, read_answer, wait_for
from wsrv.engine.http.negotiation import acceptable

DOCUMENTATION = Path("/usr/share/doc/python3.11/html")
CODINGS = ("br", "zstd", "gzip")
BROWSER = "gzip, deflate, br, zstd"
TEXT = "".join(f"line {n} of a text that repeats itself\n" for n in range(500)).encode()


class Browser:
    """A connection that is kept, and asks for one path after the other."""

    def __init__(self, server: Server) -> None:
        self._socket = server.connect(30.0)

    def get(self, path: str, accepts: str | None = BROWSER) -> Answer:
        """The answer to a GET."""
        named = "" if accepts is None else f"Accept-Encoding: {accepts}\r\n"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n{named}\r\n".encode("latin-1"))
        return read_answer(self._socket)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def browse() -> Iterator[Callable[[Server], Browser]]:
    """Opens browsers, and closes them at the end."""
    with contextlib.ExitStack() as opened:
        yield lambda server: opened.enter_context(contextlib.closing(Browser(server)))


Browse = Callable[[Server], Browser]


def coding_of(answer: Answer) -> bytes:
    return answer.fields.get("content-encoding", "").encode()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty files of the documentation, of every kind and size, and some that lie beside others."""
    root = tmp_path_factory.mktemp("tree")
    found = sorted(path for path in DOCUMENTATION.rglob("*") if path.is_file())
    chosen = random.Random(6).sample(found, 60)
    for number, path in enumerate(chosen):
        shutil.copyfile(path, root / f"{number}{path.suffix}")
    shutil.copyfile(DOCUMENTATION / "about.html", root / "page.html")
    (root / "large.txt").write_bytes(TEXT * 100)
    assert (root / "large.txt").stat().st_size > 1 << 20
    (root / "large.txt.gz").write_bytes(ENCODE[b"gzip"](TEXT * 100))
    (root / "alone.js.br").write_bytes(ENCODE[b"br"](TEXT))
    (root / "both.css").write_bytes(TEXT)
    (root / "both.css.zst").write_bytes(ENCODE[b"zstd"](TEXT))
    return root


@pytest.fixture(scope="module")
def server(module_servers: Servers, tree: Path) -> Server:
    return module_servers(tree, "--workers", "2")


@pytest.mark.parametrize("coding", CODINGS)
def test_every_file_arrives_whole_in_every_coding(server: Server, browse: Browse, tree: Path, coding: str) -> None:
    browser = browse(server)
    coded = 0
    for _ in range(2):
        for path in sorted(tree.iterdir()):
            answer = browser.get(f"/{path.name}", coding)
            found = coding_of(answer)
            assert (answer.status, found in (b"", coding.encode())) == (200, True)
            assert DECODE[found](answer.body) == path.read_bytes()
            assert not found or len(answer.body) < path.stat().st_size
            coded += bool(found)
    assert coded > 2 * 30


@pytest.mark.parametrize("name", ["page.html", "large.txt", "alone.js", "both.css"])
def test_curl_decodes_what_it_asks_for(server: Server, tree: Path, name: str) -> None:
    expected = TEXT if name == "alone.js" else (tree / name).read_bytes()
    for flags in ((), ("--compressed",)):
        command = ["curl", "-sS", "--fail", *flags, f"{server.url}/{name}"]
        assert subprocess.run(command, capture_output=True, check=True, timeout=30).stdout == expected


def test_head_is_the_head_of_get_and_a_tag_saves_the_body(server: Server) -> None:
    for path in ("/both.css", "/large.txt", "/alone.js"):
        for coding in ("gzip", "br", "identity"):
            get, head = (server.get(path, f"Accept-Encoding: {coding}", method=method) for method in ("GET", "HEAD"))
            own = {"date"}
            assert {k: v for k, v in head.fields.items() if k not in own} == {
                k: v for k, v in get.fields.items() if k not in own
            }
            assert head.body == b""
            again = server.get(path, f"Accept-Encoding: {coding}", f"If-None-Match: {get.fields['etag']}")
            assert again.status == 304
            assert again.fields["vary"] == "Accept-Encoding"


def test_counts_and_log_have_every_coded_answer_once(servers: Servers, browse: Browse, site: Path) -> None:
    (site / "page.html").write_bytes(TEXT)
    server = servers(site, "--workers", "1")
    sizes = []
    for accepts in (BROWSER, BROWSER, "gzip", None, "identity;q=0", BROWSER):
        answer = browse(server).get("/page.html", accepts)
        sizes.append((answer.status, len(answer.body)))
    lines = server.log_lines(len(sizes))
    assert [tuple(map(int, line.split('"')[2].split())) for line in lines] == sizes
    stats = server.stats()
    assert {status: number for status, number in stats["responses"].items() if number} == {"200": 5, "406": 1}
    assert (stats["cache"]["hits"], stats["cache"]["misses"]) == (2, 4)


def test_a_sibling_that_comes_changes_and_goes_shows_within_a_second(
    servers: Servers, browse: Browse, site: Path
) -> None:
    page, sibling = site / "page.html", site / "page.html.gz"
    page.write_bytes(TEXT)
    browser = browse(servers(site, "--workers", "1"))

    def shows(expected: bytes, coding: str) -> bool:
        answer = browser.get("/page.html")
        return coding_of(answer) == coding.encode() and DECODE[coding_of(answer)](answer.body) == expected

    wait_for(lambda: shows(TEXT, "br"), "the page, compressed")
    for content in (b"first", b"second, and longer"):
        sibling.write_bytes(ENCODE[b"gzip"](content))
        wait_for(lambda content=content: shows(content, "gzip"), "the sibling")  # type: ignore[misc]
    page.write_bytes(TEXT + b"edited")
    os.utime(page, ns=(0, sibling.stat().st_mtime_ns + 10**9))
    wait_for(lambda: shows(TEXT + b"edited", "br"), "the page as it is now")
    os.utime(sibling)
    os.utime(page, (0, 0))
    wait_for(lambda: shows(b"second, and longer", "gzip"), "the sibling, which is the newer one again")
    sibling.unlink()
    wait_for(lambda: shows(TEXT + b"edited", "br"), "the page alone")


def test_whatever_clients_say_in_turn_nobody_gets_a_coding_that_he_does_not_take(
    server: Server, browse: Browse, tree: Path
) -> None:
    draw = random.Random(7)
    names = [path.name for path in sorted(tree.iterdir())] + ["alone.js"]
    browsers = [browse(server) for _ in range(4)]
    seen: set[bytes] = set()
    for _ in range(1500):
        words = draw.sample(["br", "zstd", "gzip", "x-gzip", "identity", "*", "deflate"], draw.randrange(5))
        weights = (draw.choice(["", ";q=0", ";q=0.2", ";q=1", " ; q=0.800", ";q=2"]) for _ in words)
        accepts = draw.choice([None, ", ".join(map("".join, zip(words, weights, strict=True)))])
        name = draw.choice(names)
        taken = acceptable(accepts.encode() if accepts is not None else None)
        answer = draw.choice(browsers).get(f"/{name}", accepts)
        if answer.status == 406:
            assert not taken.identity
            continue
        coding = coding_of(answer)
        assert (answer.status, coding in taken.codings or (not coding and taken.identity)) == (200, True)
        assert DECODE[coding](answer.body) == (TEXT if name == "alone.js" else (tree / name).read_bytes())
        seen.add(coding)
    assert seen == {b"", b"br", b"zstd", b"gzip"}


def test_either_half_can_be_switched_off(servers: Servers, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "page.html").write_bytes(TEXT)
    (site / "both.html").write_bytes(TEXT)
    (site / "both.html.gz").write_bytes(ENCODE[b"gzip"](TEXT))
    found = {}
    for options, variables in (
        ((), {}),
        (("--no-compress",), {}),
        ((), {"WSRV_SITE_PRECOMPRESSED": "false"}),
        (("--no-compress",), {"WSRV_SITE_PRECOMPRESSED": "off"}),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            server = servers(site, "--workers", "1", *options)
        answers = [server.get(path, f"Accept-Encoding: {BROWSER}") for path in ("/page.html", "/both.html")]
        assert [DECODE[coding_of(answer)](answer.body) for answer in answers] == [TEXT, TEXT]
        codings = [coding_of(answer).decode() for answer in answers]
        found[len(options), len(variables)] = (*codings, "vary" in answers[0].fields)
    assert found == {
        (0, 0): ("br", "gzip", True),
        (1, 0): ("", "gzip", True),
        (0, 1): ("br", "br", True),
        (1, 1): ("", "", False),
    }


def test_content_types_of_plugins_are_sent_and_those_of_the_config_file_outrank_them(
    servers: Servers, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
from wsrv.plugins.hookspecs import hookimpl
WSRV_API = 1
@hookimpl
def wsrv_register_types():
    return {".foo": "text/x-foo", ".bar": "text/x-theirs"}
"""
    installed = tmp_path / "installed"
    installed.mkdir()
    install(installed, "tester-types", code)
    config = tmp_path / "own.toml"
    config.write_text('[types]\n".bar" = "text/x-mine"\n')
    for name in ("a.foo", "a.bar"):
        (site / name).write_bytes(TEXT)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(installed))
        server = servers(site, "--config", str(config))
    assert server.get("/a.foo").fields["content-type"] == "text/x-foo; charset=utf-8"
    assert server.get("/a.bar").fields["content-type"] == "text/x-mine; charset=utf-8"


def test_content_types_of_the_config_file_are_sent(servers: Servers, site: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('[types]\n".foo" = "text/x-foo"\n".js" = "text/x-mine; charset=ascii"\n')
    (site / "a.FOO").write_bytes(TEXT)
    (site / "a.js").write_bytes(TEXT)
    server = servers(site, "--config", str(config))
    foo = server.get("/a.FOO", f"Accept-Encoding: {BROWSER}")
    assert (foo.fields["content-type"], foo.fields["content-encoding"]) == ("text/x-foo; charset=utf-8", "br")
    assert server.get("/a.js").fields["content-type"] == "text/x-mine; charset=ascii"
