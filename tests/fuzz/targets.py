# What must hold for any bytes, one function for each thing that reads what others send or write.
#
#   tests/fuzz/test_targets.py   runs each over its corpus and over what Hypothesis makes up
#   tests/fuzz/run.py            runs each under atheris, which looks for bytes that reach new code (make fuzz)
#
# Rule: a target raises for nothing but a fault of ours. Where another implementation can be asked, it must agree.
"""The targets of fuzzing, by name."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from tests.fuzz import configs, controls, logs
from tests.fuzz.requests import requests
from tests.http.heads import assert_both_read_alike
from tests.http.oracles import h11_body_bytes, httptools_body_bytes
from wsrv.engine.http import basic
from wsrv.engine.http.accept import names_html, prefers_json
from wsrv.engine.http.body import BodyReader
from wsrv.engine.http.bounds import Bounds
from wsrv.engine.http.conditional import Validators, entity_tags, evaluate
from wsrv.engine.http.fields import Fields
from wsrv.engine.http.forwarded import client_of
from wsrv.engine.http.head import (
    Malformed,
    check,
    host_of,
    parse_fields,
    parse_request_line,
    refusal_of,
    refusal_of_partial,
)
from wsrv.engine.http.negotiation import CODINGS, acceptable
from wsrv.engine.http.proxy_header import MAX_BYTES, Address, BadProxyHeader, ProxyHeader, parse_proxy_header
from wsrv.engine.http.ranges import MAX_RANGES, Span, choose, partial_content, spans_of
from wsrv.engine.static.target import BadTarget, is_hidden, location_of_directory, to_path
from wsrv.engine.tls.hello import offered_in
from wsrv.engine.tls.x509 import X509Error, first_certificate, parse

Target = Callable[[bytes], None]

_END = b"\r\n\r\n"
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
# As the protocol has it, its version 1.
_MOST_TEXT_BYTES = 107
_BLOCK = b"Host: a\r\n%b: %b\r\n\r\n"
# Small, so that they are reached.
_BOUNDS = Bounds(target_bytes=200, head_bytes=600, fields=8)


def pieces(raw: bytes, cuts: bytes) -> Iterable[bytes]:
    """`raw` in pieces, cut where `cuts` say."""
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return (raw[begin:end] for begin, end in pairwise(edges))


def head(raw: bytes) -> None:
    """What we accept h11 and httptools accept and read alike, and no part of it was hopeless."""
    end = raw.find(_END) + len(_END)
    if end < len(_END):
        refusal_of_partial(raw, 0, _BOUNDS)
        refusal_of_partial(raw, len(raw) // 2)
        return
    whole = raw[:end]
    line, _, block = whole.partition(b"\r\n")
    try:
        read = parse_request_line(line)
        fields = parse_fields(block)
        check(read, fields)
    except Malformed:
        return
    host_of(read, fields)
    if refusal_of(read.method) == 501:
        return
    assert_both_read_alike((read, fields), whole)
    for cut in range(1, end, 1 + end // 16):
        if _END not in whole[:cut]:
            assert refusal_of_partial(whole[:cut]) is None, "it was refused before it was whole"


def chunks(raw: bytes) -> None:
    """A chunked body ends where h11 and httptools see its end, however it arrives."""
    cuts, body = raw[:4], raw[4:]
    ours = _body_bytes(body, b"")
    assert ours == _body_bytes(body, cuts), "the end depends on how the bytes arrive"
    if ours is not None:
        assert ours == h11_body_bytes(_CHUNKED_HEAD, body) == httptools_body_bytes(_CHUNKED_HEAD, body)


def _body_bytes(body: bytes, cuts: bytes) -> int | None:
    reader = BodyReader.of(parse_fields(_CHUNKED_HEAD.partition(b"\r\n")[2]))
    assert reader is not None
    taken = 0
    try:
        for piece in pieces(body, cuts):
            taken += reader.feed(piece)
            if reader.done:
                return taken
    except Malformed:
        return None
    return None


def _fields(name: bytes, value: bytes) -> Fields | None:
    """The fields of a request with one more; None where they are refused."""
    try:
        return parse_fields(_BLOCK % (name, value))
    except Malformed:
        return None


def ranges(raw: bytes) -> None:
    """What is sent is there, no byte of it twice, and as long as is said."""
    length = int.from_bytes(raw[:2], "big")
    asked = raw[2:]
    fields = _fields(b"Range", asked)
    if fields is not None:
        status, _ = choose(b"GET", fields, Validators(b'"t"', 0), length, 1)
        assert status in (200, 206, 416)
    spans = spans_of(asked, length)
    if not spans:
        return
    assert len(spans) <= MAX_RANGES
    seen = sorted((span.offset, span.offset + span.length) for span in spans)
    assert all(0 <= begin < end <= length for begin, end in seen)
    assert all(end < begin for (_, end), (begin, _) in pairwise(seen)), "they overlap or touch"
    sent = partial_content([(b"Content-Length", b"%d" % length)], length, spans, b"b")
    total = sum(part.length if isinstance(part, Span) else len(part) for part in sent.body)
    assert dict(sent.fields)[b"Content-Length"] == b"%d" % total


def negotiation(raw: bytes) -> None:
    """A field has one of few meanings, and the order of its elements means nothing."""
    found = acceptable(raw)
    assert set(found.codings) <= set(CODINGS)
    assert len(set(found.codings)) == len(found.codings)
    assert acceptable(b",".join(reversed(raw.split(b",")))) == found or b";" in raw or b'"' in raw
    names_html(raw)
    prefers_json(raw)


def conditions(raw: bytes) -> None:
    """Conditions say 200, 304 or 412; what is found in a list of tags stands in it."""
    at = -1
    for tag in entity_tags(raw):
        at = raw.index(tag, at + 1)
    for name in (b"If-Match", b"If-None-Match", b"If-Modified-Since", b"If-Unmodified-Since", b"If-Range"):
        fields = _fields(name, raw)
        if fields is not None:
            assert evaluate(b"GET", fields, Validators(b'"t"', 784_111_777)) in (200, 304, 412)


def target(raw: bytes) -> None:
    """No path leaves the root, and no Location this host."""
    try:
        path = to_path(raw)
    except BadTarget:
        return
    is_hidden(path)
    assert not path.startswith(b"/")
    assert b"\0" not in path
    segments = path.split(b"/")
    assert not {b"..", b"."} & set(segments)
    assert b"" not in segments[:-1] or path == b""
    location = location_of_directory(raw, raw)
    assert location.startswith(b"/")
    assert location[1:2] not in (b"/", b"\\")
    assert not set(location) & set(b"\r\n\t \\\x00")
    assert to_path(location.partition(b"?")[0]).rstrip(b"/") == path.rstrip(b"/"), "it leads elsewhere"


def proxy_header(raw: bytes) -> None:
    """A header is found in the same place however it arrives, or refused."""
    found = _proxy_header(raw)
    for cut in range(0, len(raw), 1 + len(raw) // 32):
        before = _proxy_header(raw[:cut])
        if isinstance(before, ProxyHeader):
            assert found == before
        elif before == "refused":
            assert found == "refused"
    if isinstance(found, ProxyHeader):
        assert 0 < found.length <= len(raw)
    if found is None:
        assert len(raw) < (_MOST_TEXT_BYTES if raw.startswith(b"PROXY") else MAX_BYTES), "it is waited for in vain"


def _proxy_header(raw: bytes) -> ProxyHeader | str | None:
    try:
        return parse_proxy_header(raw)
    except BadProxyHeader:
        return "refused"


def forwarded(raw: bytes) -> None:
    """Nobody but whom a named proxy names is believed, and nothing raises."""

    def named(address: Address) -> bool:
        return address.is_loopback

    for name in (b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto"):
        fields = _fields(name, raw)
        if fields is not None:
            client_of(None, fields, named)
    fields = _fields(b"Authorization", b"Basic " + raw)
    if fields is not None:
        basic.credentials_in(fields.get(b"authorization"))


def hello(raw: bytes) -> None:
    """What a client offers is known as soon as it is whole, and does not change after."""
    found = offered_in(raw)
    for cut in range(0, len(raw), 1 + len(raw) // 32):
        before = offered_in(raw[:cut])
        assert before is None or before == found


def certificate(raw: bytes) -> None:
    """What is no certificate is said to be none."""
    for read in (parse, first_certificate):
        try:
            read(raw)
        except X509Error:
            continue


TARGETS: dict[str, Target] = {
    "requests": requests,
    "head": head,
    "chunks": chunks,
    "ranges": ranges,
    "negotiation": negotiation,
    "conditions": conditions,
    "target": target,
    "proxy_header": proxy_header,
    "forwarded": forwarded,
    "hello": hello,
    "certificate": certificate,
    "toml": configs.toml,
    "server_conf": configs.server_conf,
    "control": controls.control,
    "log_lines": logs.lines,
    "log_text": logs.text,
    "log_followed": logs.followed,
}
