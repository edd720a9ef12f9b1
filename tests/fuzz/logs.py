"""Targets: lines of logs as they are read, and what a client sent as it is logged."""

import io
import json

from wsrv.engine.http.escape import log_escape
from wsrv.engine.log import entries
from wsrv.engine.log.entries import Malformed, combined, csv_below, recognise, seconds_of
from wsrv.engine.log.format import FORMATS
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
        try:
            recognise(line)
        except Malformed:
            continue
    reading = Reading()
    reading.add("fuzz", io.BufferedReader(io.BytesIO(raw)))
    reading.finish()
    assert reading.bad_lines <= reading.lines


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
