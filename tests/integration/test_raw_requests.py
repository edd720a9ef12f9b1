# The table of malformed and odd requests, over real sockets: the rows stand in raw/, a topic a file.
#
# Each is sent at once, and short ones byte by byte too, with a request behind it. What is asserted of each: the status
# of every answer, whether the request behind it was answered, an orderly end (a reset would fail the reading), a log
# line for each answer that nothing can have forged, no word of a bug, and that the next client is served.
"""Raw requests and what they get."""

import re
import socket
from pathlib import Path

import pytest

from tests.integration.raw import chunks, fields, framing, lines, sequences, targets
from tests.support.raw import SECOND, SECOND_BODY, Raw, Received, answers_in
from tests.support.server import Answer, Server, Servers, read_all, wait_for

TABLE = (*lines.ROWS, *targets.ROWS, *fields.ROWS, *framing.ROWS, *chunks.ROWS, *sequences.ROWS)
# Byte by byte takes a system call each, on both sides.
SHORT_BYTES = 400
# One in three is enough to see that nothing depends on how the bytes arrive; each topic has its share. Not those whose
# client was promised a close and goes on sending: whether its bytes come before the close is a matter of luck.
SAMPLE = [row for row in TABLE if len(row.sent) <= SHORT_BYTES and (row.stays or 200 not in row.gets[-1])][::3]

_QUOTED = rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\x[0-9A-F]{2})*"'
LOG_LINE = re.compile(
    rb"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] %b (\d{3}) \d+ %b %b\n"
    % (_QUOTED, _QUOTED, _QUOTED)
)


@pytest.fixture(scope="module")
def server(module_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text("index")
    (root / "second").write_bytes(SECOND_BODY)
    return module_servers(root, "--workers", "1")


def converse(server: Server, row: Raw, *, slowly: bool) -> list[Received]:
    """What the row and the request behind it get until the server closes."""
    with server.connect() as sock:
        if slowly:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in row.sent + SECOND:
                sock.sendall(bytes((byte,)))
        else:
            sock.sendall(row.sent + SECOND)
        return answers_in(read_all(sock), to_head=row.sent.startswith(b"HEAD "))


def lines_since(log: Path, begin: int, number: int) -> bytes:
    """What the log has from position `begin` on, once there are `number` lines."""

    def grown() -> bytes:
        with log.open("rb") as file:
            file.seek(begin)
            found = file.read()
        return found if found.count(b"\n") >= number else b""

    return wait_for(grown, f"{number} log lines")


def check(server: Server, row: Raw, *, slowly: bool = False) -> None:
    begin = server.log.stat().st_size
    found = converse(server, row, slowly=slowly)
    expected = [*row.gets, *([(200,)] if row.stays else [])]
    assert len(found) == len(expected), f"answers: {found}"
    for answer, allowed in zip(found, expected, strict=True):
        assert answer.status in allowed
    assert (found[-1].body == SECOND_BODY) is row.stays
    assert b"\r\nConnection: close" in found[-1].head
    assert Answer(server.say(SECOND)).body == SECOND_BODY, "the next client"

    statuses = [*(answer.status for answer in found), 200]
    logged = lines_since(server.log, begin, len(statuses)).splitlines(keepends=True)
    matches = [LOG_LINE.fullmatch(line) for line in logged]
    assert None not in matches, f"a line that is none: {logged}"
    assert [int(match[1]) for match in matches if match is not None] == statuses
    assert "Traceback" not in server.said.read_text()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.section} {row.sent[:60]!r}")
def test_a_raw_request_gets_what_the_rfc_says(server: Server, row: Raw) -> None:
    check(server, row)


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: f"{row.section} {row.sent[:60]!r}")
def test_it_gets_the_same_when_it_comes_byte_by_byte(server: Server, row: Raw) -> None:
    check(server, row, slowly=True)


def test_the_table_is_long_and_repeats_nothing() -> None:
    assert len(TABLE) >= 180
    assert len({row.sent for row in TABLE}) == len(TABLE)
    assert all(re.fullmatch(r"(?:(?:9110|9113|3986) )?[0-9]+(?:\.[0-9]+)*", row.section) for row in TABLE)
