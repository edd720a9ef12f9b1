"""Targets: lines of logs as they are read, and what a client sent as it is logged."""

import io
import json
import os
import tempfile
from pathlib import Path

from tests.log.test_follow import Log
from wsrv.engine.http.escape import log_escape
from wsrv.engine.log import entries
from wsrv.engine.log.entries import Malformed, combined, csv_below, recognise, seconds_of
from wsrv.engine.log.format import FORMATS
from wsrv.engine.log.line import parse
from wsrv.engine.log.reading import Reading

KEYS = (
    *("time", "client", "user", "method", "target", "protocol", "status", "bytes", "referer", "user_agent", "host"),
    *("duration", "worker", "cache", "tls", "request_id"),
)


def lines(raw: bytes) -> None:
    """Any file is a log, or not; a line is an entry, or says why it is none."""
    for line in raw.split(b"\n"):
        reads = [*entries.FORMATS.values()]
        if (below := csv_below(line)) is not None:
            reads.append(below)
        for read in reads:
            try:
                seconds_of(read(line).moment)
            except Malformed:
                continue
        for look in (recognise, shown):
            try:
                look(line)
            except Malformed:
                continue
    reading = Reading()
    reading.add("fuzz", io.BufferedReader(io.BytesIO(raw)))
    reading.finish()
    assert reading.bad_lines <= reading.lines


def shown(line: bytes) -> None:
    """As `wsrv log tail` shows it with --json: an object that others can read."""
    said = parse(line).document()
    assert json.loads(json.dumps(said, allow_nan=False).encode()) == said


def followed(raw: bytes) -> None:
    """Whatever becomes of a log file, what is written is read once and in order. Each byte is a step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.log"
        log = Log(path)
        try:
            for byte in raw[:64]:
                step, number = byte & 7, byte >> 3 & 7
                log.write(number)
                if step == 0:
                    log.rotate(keep=number)
                elif step == 1:
                    log.rotate()
                elif step in (2, 3):
                    log.follow()  # what is cut unread is gone
                    if step == 2:
                        os.truncate(path, 0)
                    else:
                        path.unlink()
                        path.touch()
                elif step == 4 and path.with_name("access.log.1").exists():
                    # Whoever writes goes on for a while in the file that was moved away.
                    log.follow()
                elif step > 4:
                    log.follow()
            if all(byte & 7 for byte in raw[:64]):
                log.assert_whole()
            else:
                # Few files were kept: what went with the last of them is gone, the rest is in order.
                log.follow()
                assert log.read == sorted(set(log.read))
        finally:
            log.follower.close()


def text(raw: bytes) -> None:
    """What a client sent is one line of each format, which says what it sent and nothing else."""
    said = [log_escape(part) for part in (raw, *raw.split(b"\n", 3), b"", b"", b"", b"")]
    request, user, referer, agent, host = said[:5]
    for name, kind in FORMATS.items():
        form = kind()
        opening = form.named(form.opening(b"192.0.2.7"), user) if user else form.opening(b"192.0.2.7")
        pieces = (opening, form.stamp(0), request, form.outcome(200, 5), form.client(referer, agent, host))
        line = form.line(pieces, 0, b"hit", b"")
        assert line.endswith(b"\n")
        assert not [byte for byte in line[:-1] if byte < 0x20 or byte == 0x7F], "it moves a cursor, or ends the line"
        if name == "json":
            read = json.loads(line)
            assert (read["status"], read["bytes"], read["cache"], read["client"]) == (200, 5, "hit", "192.0.2.7")
            assert tuple(read) == KEYS, "it says something of its own"
        else:
            entry = combined(line)
            assert (entry.status, entry.size_bytes) == (200, 5)
