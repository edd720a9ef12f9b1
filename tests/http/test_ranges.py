# The oracle is naive: a set of positions for each range asked for, and the runs of their union.
"""Which bytes a Range asks for, and how a 206 carries them."""

import email.parser
import email.policy
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsrv.engine.http.conditional import Validators
from wsrv.engine.http.dates import http_date
from wsrv.engine.http.head import parse_fields
from wsrv.engine.http.ranges import MAX_RANGES, Span, choose, partial_content, spans_of, unsatisfied

MTIME = 784_111_777
TAGGED = Validators(b'"t"', MTIME)
FIELDS = (
    (b"Content-Type", b"text/plain"),
    (b"Content-Length", b"1000"),
    (b"Last-Modified", http_date(MTIME)),
    (b"ETag", b'"t"'),
    (b"Cache-Control", b"no-cache"),
    (b"Vary", b"Accept-Encoding"),
)


# Reading.


@pytest.mark.parametrize(
    ("raw", "spans"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=0-99", [(0, 100)]),
        (b"bytes=0-", [(0, 100)]),
        (b"bytes=99-", [(99, 1)]),
        (b"bytes=-1", [(99, 1)]),
        (b"bytes=-100", [(0, 100)]),
        (b"bytes=-101", [(0, 100)]),
        (b"bytes=90-18446744073709551615", [(90, 10)]),
        (b"bytes=007-010", [(7, 4)]),
        (b"BYTES=1-2", [(1, 2)]),
        (b"bytes=1-2,5-6", [(1, 2), (5, 2)]),
        (b"bytes=5-6 \t,\t 1-2", [(5, 2), (1, 2)]),
        (b"bytes=,1-2,, ,5-6,", [(1, 2), (5, 2)]),
        (b"bytes=1-2,100-,5-6,-0", [(1, 2), (5, 2)]),
        (b"bytes=0-9,10-19", [(0, 20)]),
        (b"bytes=0-9,5-19,90-", [(0, 20), (90, 10)]),
        (b"bytes=90-,10-19,0-9", [(90, 10), (0, 20)]),
        (b"bytes=10-19,90-,0-9", [(0, 20), (90, 10)]),
        (b"bytes=50-59,0-9,55-69,-5", [(50, 20), (0, 10), (95, 5)]),
        (b"bytes=0-9,20-29,8-21", [(0, 30)]),
        (b"bytes=0-,0-,0-,-1,5-5", [(0, 100)]),
    ],
)
def test_what_is_asked_for_in_the_order_of_asking(raw: bytes, spans: list[tuple[int, int]]) -> None:
    assert spans_of(raw, 100) == spans


@pytest.mark.parametrize("raw", [b"bytes=100-", b"bytes=100-100", b"bytes=-0", b"bytes=1000-2000,200-,-00"])
def test_what_lies_behind_the_end_is_unsatisfiable(raw: bytes) -> None:
    assert spans_of(raw, 100) == []


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"bytes", b"bytes=", b"bytes=,", b"bytes= ,", b"bytes=-", b"bytes=a-b", b"bytes=0", b"=0-1", b"0-1"),
        *(b"lines=0-1", b"bytes:0-1", b"bytes =0-1", b"bytes= 0-1", b"bytes=0 -1", b"bytes=0- 1", b"bytes=--1"),
        *(b"bytes=2-1", b"bytes=0-1,2-1", b"bytes=200-100", b"bytes=0-1,x", b"bytes=0-1;2-3", b"bytes=0-1 2-3"),
        *(b"bytes=+1-2", b"bytes=0x1-2", b"bytes=1.0-2", b"bytes=0-1-2", b"bytes=0-1,bytes=2-3", b"bytes=\xb2-3"),
        *(b"bytes=0-" + b"9" * 33, b"bytes=" + b"0" * 8000 + b"-", b"bytes=-" + b"9" * 8000, b"none", b"bytes=*"),
    ],
)
def test_what_cannot_be_read_is_ignored(raw: bytes) -> None:
    assert spans_of(raw, 100) is None


def test_of_nothing_there_is_no_first_byte_but_a_suffix_is_the_whole() -> None:
    # RFC 9110 14.1.2: a position is satisfiable below the length, a suffix when it is not zero.
    assert spans_of(b"bytes=0-", 0) == []
    assert spans_of(b"bytes=0-0", 0) == []
    assert spans_of(b"bytes=-0", 0) == []
    assert spans_of(b"bytes=-1", 0) is None
    assert spans_of(b"bytes=0-0,-1", 0) is None


def test_up_to_a_bound_ranges_are_given_and_past_it_ignored() -> None:
    asked = [b"%d-%d" % (2 * n, 2 * n) for n in range(MAX_RANGES + 1)]
    assert spans_of(b"bytes=" + b",".join(asked[:-1]), 10_000) == [(2 * n, 1) for n in range(MAX_RANGES)]
    assert spans_of(b"bytes=" + b",".join(asked), 10_000) is None
    assert spans_of(b"bytes=" + b",".join([b"0-"] * (MAX_RANGES + 1)), 10_000) is None


def test_a_head_full_of_ranges_is_read_in_linear_time() -> None:
    for filling in (b"0-,", b",", b" ,", b"-", b"1-2 ,\t"):
        assert spans_of(b"bytes=" + filling * (16_000 // len(filling)), 100) is None


POSITIONS = st.integers(0, 60) | st.sampled_from((10**19, 10**31))
SPECS = (
    st.builds(lambda first, more: b"%d-%d" % (first, first + more), POSITIONS, st.integers(0, 20))
    | POSITIONS.map(lambda first: b"%d-" % first)
    | POSITIONS.map(lambda last: b"-%d" % last)
)


def positions(spec: bytes, length: int) -> set[int]:
    """The positions that a valid range covers, one by one."""
    first, _, last = spec.partition(b"-")
    if not first:
        return {at for at in range(length) if at >= length - int(last)}
    return {at for at in range(length) if at >= int(first) and (not last or at <= int(last))}


@given(st.lists(SPECS, min_size=1, max_size=8), st.integers(1, 50), st.sampled_from((b",", b" , ", b",,", b",\t")))
@example([b"3-4", b"0-1", b"2-2"], 10, b",")
@example([b"3-4", b"7-7", b"1-2"], 10, b",")
def test_spans_are_the_runs_of_the_union_in_the_order_of_asking(specs: list[bytes], length: int, comma: bytes) -> None:
    spans = spans_of(b"bytes=" + comma.join(specs), length)
    assert spans is not None
    covered = [positions(spec, length) for spec in specs]
    assert set().union(*covered) == {at for span in spans for at in range(span.offset, span.offset + span.length)}
    assert sum(span.length for span in spans) == len(set().union(*covered))
    for one, other in pairwise(sorted(spans)):
        assert one.offset + one.length < other.offset, "neither overlap nor touch"
    runs = [set(range(span.offset, span.offset + span.length)) for span in spans]
    places = [min(place for place, those in enumerate(covered) if those & run) for run in runs]
    assert places == sorted(places)


@given(st.text("bytes=-, \t019", max_size=20).map(str.encode) | st.binary(max_size=20), st.integers(0, 30))
def test_nothing_makes_it_stumble(raw: bytes, length: int) -> None:
    for text in (raw, b"bytes=" + raw):
        spans = spans_of(text, length)
        assert spans is None or all(0 <= s.offset < s.offset + s.length <= length for s in spans)


# Choosing.


def choice(
    method: bytes = b"GET", validators: Validators = TAGGED, length: int = 100, **fields: bytes
) -> tuple[int, list[Span]]:
    lines = [b"%b: %b\r\n" % (name.replace("_", "-").encode(), value) for name, value in fields.items()]
    return choose(method, parse_fields(b"".join(lines) + b"\r\n"), validators, length, MTIME + 1)


def test_a_range_of_get_is_206_or_416_or_nothing() -> None:
    assert choice(range=b"bytes=0-9") == (206, [(0, 10)])
    assert choice(range=b"bytes=0-99") == (206, [(0, 100)])
    assert choice(range=b"bytes=100-") == (416, [])
    assert choice(range=b"lines=0-9") == (200, [])
    assert choice(range=b"bytes=9-0") == (200, [])
    assert choice() == (200, [])


def test_a_range_of_head_is_ignored() -> None:
    assert choice(b"HEAD", range=b"bytes=0-9") == (200, [])
    assert choice(b"HEAD", range=b"bytes=100-") == (200, [])


def test_preconditions_come_before_ranges() -> None:
    for asked in (b"bytes=0-9", b"bytes=100-"):
        assert choice(range=asked, if_none_match=b'"t"') == (304, [])
        assert choice(range=asked, if_match=b'"u"') == (412, [])
        assert choice(range=asked, if_modified_since=http_date(MTIME)) == (304, [])
        assert choice(range=asked, if_unmodified_since=http_date(MTIME - 1)) == (412, [])
        assert choice(range=asked, if_match=b'"u"', if_range=b'"t"') == (412, [])
    assert choice(range=b"bytes=0-9", if_match=b'"t"', if_none_match=b'"u"') == (206, [(0, 10)])


def test_if_range_decides_between_the_part_and_the_whole() -> None:
    assert choice(range=b"bytes=0-9", if_range=b'"t"') == (206, [(0, 10)])
    assert choice(range=b"bytes=0-9", if_range=http_date(MTIME)) == (206, [(0, 10)])
    assert choice(range=b"bytes=100-", if_range=b'"t"') == (416, [])
    for old in (b'"u"', b'W/"t"', http_date(MTIME - 1), b"x"):
        assert choice(range=b"bytes=0-9", if_range=old) == (200, [])
        assert choice(range=b"bytes=100-", if_range=old) == (200, [])


def test_if_range_alone_means_nothing() -> None:
    assert choice(if_range=b'"u"') == (200, [])


def test_a_date_is_not_strong_in_the_second_that_it_names() -> None:
    fields = parse_fields(b"Range: bytes=0-9\r\nIf-Range: %b\r\n\r\n" % http_date(MTIME))
    assert choose(b"GET", fields, TAGGED, 100, MTIME) == (200, [])


@pytest.mark.parametrize("etag", [b"", b'W/"t"'])
def test_what_has_no_strong_tag_is_given_whole(etag: bytes) -> None:
    assert choice(validators=Validators(etag, MTIME), range=b"bytes=0-9") == (200, [])
    assert choice(validators=Validators(etag, MTIME), range=b"bytes=100-") == (200, [])


# Carrying.

CONTENT = bytes(range(256)) * 4


def wire(body: list[bytes | Span], content: bytes) -> bytes:
    return b"".join(content[p.offset : p.offset + p.length] if isinstance(p, Span) else p for p in body)


def test_one_span_goes_alone_with_the_fields_of_the_200() -> None:
    fields, body = partial_content(FIELDS, 1000, [Span(10, 20)], b"b")
    assert body == [Span(10, 20)]
    assert fields == [
        *((name, b"20" if name == b"Content-Length" else value) for name, value in FIELDS),
        (b"Content-Range", b"bytes 10-29/1000"),
    ]


def test_several_spans_are_a_multipart_as_the_rfc_draws_it() -> None:
    fields, body = partial_content(FIELDS, 1000, [Span(500, 3), Span(7, 2)], b"THIS_STRING_SEPARATES")
    assert wire(body, b"-" * 7 + b"ab" + b"-" * 491 + b"cde") == (
        b"--THIS_STRING_SEPARATES\r\n"
        b"Content-Type: text/plain\r\n"
        b"Content-Range: bytes 500-502/1000\r\n"
        b"\r\n"
        b"cde\r\n"
        b"--THIS_STRING_SEPARATES\r\n"
        b"Content-Type: text/plain\r\n"
        b"Content-Range: bytes 7-8/1000\r\n"
        b"\r\n"
        b"ab\r\n"
        b"--THIS_STRING_SEPARATES--\r\n"
    )
    named = dict(fields)
    assert len(named) == len(fields)
    assert named[b"Content-Type"] == b"multipart/byteranges; boundary=THIS_STRING_SEPARATES"
    # RFC 9110 15.3.7.2: it would be taken for that of a single part.
    assert b"Content-Range" not in named
    kept = {name: value for name, value in FIELDS if name not in (b"Content-Type", b"Content-Length")}
    assert kept.items() <= named.items()


def test_parts_of_what_has_no_type_have_none() -> None:
    fields, body = partial_content(((b"Content-Length", b"9"), (b"ETag", b'"t"')), 9, [Span(0, 1), Span(3, 1)], b"b")
    assert b"Content-Type" not in wire(body, b"123456789")
    assert dict(fields)[b"Content-Type"] == b"multipart/byteranges; boundary=b"


@given(st.lists(SPECS, min_size=2, max_size=12), st.integers(60, len(CONTENT)))
def test_a_mail_reader_finds_exactly_the_bytes_asked_for(specs: list[bytes], length: int) -> None:
    content = CONTENT[:length]
    spans = spans_of(b"bytes=" + b",".join(specs), length)
    if not spans:
        return
    boundary = b"0123456789abcdef"
    fields, body = partial_content((*FIELDS[:1], (b"Content-Length", b"%d" % length)), length, spans, boundary)
    sent = wire(body, content)
    assert dict(fields)[b"Content-Length"] == b"%d" % len(sent)
    if len(spans) == 1:
        assert sent == content[spans[0].offset : spans[0].offset + spans[0].length]
        return
    # The parser of the standard library reads binary parts as they are, but for the line end before a boundary.
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + b"\r\n" + sent)
    assert message.is_multipart()
    assert message.defects == []
    found = []
    for part in message.iter_parts():
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", part["Content-Range"])
        assert match is not None
        first, last, complete = map(int, match.groups())
        assert complete == length
        assert part.get_content_type() == "text/plain"
        assert part.get_payload(decode=True) == content[first : last + 1]
        found.append(Span(first, last + 1 - first))
    assert found == spans


def test_a_416_says_how_long_the_whole_is() -> None:
    assert unsatisfied(47) == (b"Content-Range", b"bytes */47")
