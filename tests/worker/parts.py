"""Answers taken apart, 206 included, and three files that are sent in three ways."""

import os
import re

from tests.worker.workbench import Workbench
from wsrv.engine.settings import CacheSettings

# Streamed is what is longer than max_object_bytes.
FILES = {b"/small": os.urandom(1000), b"/medium": os.urandom(300_000), b"/large": os.urandom(1_500_000)}
HELD = CacheSettings(max_object_bytes=500_000)


def get(path: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    """A request for `path`."""
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, path, b"".join(field + b"\r\n" for field in fields))


class Answer:
    """One answer, taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        self.status = int(line.split()[1])
        self.head_bytes = len(head) + 4
        self.fields = {name.lower(): value for name, _, value in (field.partition(b": ") for field in lines)}
        assert len(self.fields) == len(lines), "no field twice"

    def parts(self) -> list[tuple[int, bytes]]:
        """Where each part of a 206 begins, and its bytes."""
        if self.status != 206:
            raise AssertionError(f"{self.status} is not 206")
        kind = self.fields[b"content-type"]
        if not kind.startswith(b"multipart/"):
            return [(_first(self.fields[b"content-range"], len(self.body)), self.body)]
        boundary = kind.partition(b"boundary=")[2]
        before, *parts, after = (b"\r\n" + self.body).split(b"\r\n--" + boundary)
        assert (before, after) == (b"", b"--\r\n")
        found = []
        for part in parts:
            head, _, content = part.partition(b"\r\n\r\n")
            empty, kind_line, range_line = head.split(b"\r\n")
            assert (empty, kind_line) == (b"", b"Content-Type: application/octet-stream")
            found.append((_first(range_line.removeprefix(b"Content-Range: "), len(content)), content))
        return found


def _first(content_range: bytes, length: int) -> int:
    match = re.fullmatch(rb"bytes (\d+)-(\d+)/\d+", content_range)
    assert match is not None
    assert int(match[2]) - int(match[1]) + 1 == length
    return int(match[1])


def ask(bench: Workbench, request: bytes) -> Answer:
    return Answer(bench.answers(bench.client(), request))


def body_bytes_logged(bench: Workbench) -> list[tuple[int, int]]:
    return [(int(status), int(size)) for status, size in (line.split('"')[2].split() for line in bench.log())]
