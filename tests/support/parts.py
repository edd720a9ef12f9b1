# A reader by lines and lengths, not by boundaries: a boundary inside a part would not mislead it.
"""The parts of a 206."""

import re

from tests.support.server import Answer


def parts_of(answer: Answer) -> list[tuple[int, bytes]]:
    """Where each part of a 206 begins, and its bytes."""
    kind = answer.fields["content-type"]
    if not kind.startswith("multipart/byteranges"):
        first, last = _positions(answer.fields["content-range"])
        assert last - first + 1 == len(answer.body)
        return [(first, answer.body)]
    boundary = kind.partition("boundary=")[2].encode()
    rest, found = b"\r\n" + answer.body, []
    while not rest.startswith(b"\r\n--" + boundary + b"--"):
        head, _, rest = rest.partition(b"\r\n\r\n")
        opening, *lines = head[2:].split(b"\r\n")
        assert opening == b"--" + boundary
        fields = dict(line.split(b": ", 1) for line in lines)
        assert fields[b"Content-Type"] == b"application/octet-stream"
        first, last = _positions(fields[b"Content-Range"].decode())
        found.append((first, rest[: last - first + 1]))
        rest = rest[last - first + 1 :]
    assert rest == b"\r\n--" + boundary + b"--\r\n"
    return found


def _positions(content_range: str) -> tuple[int, int]:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/\d+", content_range)
    assert match is not None
    return int(match[1]), int(match[2])
