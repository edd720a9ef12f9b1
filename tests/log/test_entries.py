"""A line is read as what it says, or refused with the reason."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.escape import log_escape
from wsrv.engine.log.entries import (
    FORMATS,
    Malformed,
    combined,
    csv_below,
    csv_line,
    json_line,
    key_of,
    recognise,
    seconds_of,
)
from wsrv.engine.log.format import Combined

HEAD = b"127.0.0.1 - - [23/Nov/2026:10:00:00 +0100] "


@pytest.mark.parametrize(
    ("line", "key", "size", "method", "status"),
    [
        (HEAD + b'"GET /a.html HTTP/1.1" 200 512 "-" "curl/8"\n', b"/a.html", 512, b"GET", 200),
        (HEAD + b'"GET /a.html HTTP/1.1" 200 512\n', b"/a.html", 512, b"GET", 200),
        (HEAD + b'"HEAD /a.html?x=1 HTTP/1.0" 304 - "-" "-"', b"/a.html", 0, b"HEAD", 304),
        (HEAD + b'"GET /%C3%A4%20b HTTP/1.1" 206 7', b"/\xc3\xa4 b", 7, b"GET", 206),
        (HEAD + b'"GET http://x.org/a HTTP/1.1" 200 7', b"/a", 7, b"GET", 200),
        (HEAD + b'"GET /\\xC3\\xA4 HTTP/1.1" 200 7', b"/\xc3\xa4", 7, b"GET", 200),
        (HEAD + b'"GET /\\"a\\\\ HTTP/1.1" 200 7', b'/"a\\', 7, b"GET", 200),
        (
            b'example.org:80 ::1 - "j d" [01/Jan/2026:00:00:00 +0000] "GET / HTTP/2.0" 200 1 "-" "-"',
            b"/",
            1,
            b"GET",
            200,
        ),
        (HEAD + b'"\\x16\\x03" 400 0 "-" "-"', b"\x16\x03", 0, b"", 400),
        (HEAD + b'"-" 408 0 "-" "-"', b"-", 0, b"", 408),
    ],
)
def test_lines_of_access_logs(line: bytes, key: bytes, size: int, method: bytes, status: int) -> None:
    entry = combined(line)
    assert entry[:4] == (key, size, method, status)
    assert seconds_of(entry.moment) is not None


@given(
    path=st.binary(min_size=1, max_size=40).map(lambda raw: b"/" + raw.replace(b" ", b"").replace(b"?", b"")),
    agent=st.binary(max_size=40),
    size=st.integers(0, 10**15),
)
def test_what_this_server_writes_is_read_back(path: bytes, agent: bytes, size: int) -> None:
    line = b"".join(
        (
            Combined().opening(b"::1"),
            Combined().stamp(1_800_000_000),
            log_escape(b"GET " + path + b" HTTP/1.1"),
            Combined().outcome(200, size),
            Combined().client(b"", log_escape(agent)),
        )
    )
    entry = combined(line)
    assert entry[:4] == (key_of(path), size, b"GET", 200)
    assert seconds_of(entry.moment) == 1_800_000_000


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello",
        HEAD + b'"GET / HTTP/1.1" 200\n',
        HEAD + b'"GET / HTTP/1.1" OK 17\n',
        HEAD + b'"GET / HTTP/1.1 200 17\n',
        HEAD + b'"GET / HTTP/1.1" 200 ' + b"9" * 5000 + b"\n",
        b'127.0.0.1 - - "GET / HTTP/1.1" 200 17\n',
    ],
)
def test_lines_of_no_access_log(line: bytes) -> None:
    with pytest.raises(Malformed, match="no line of an access log"):
        combined(line)


@pytest.mark.parametrize(
    ("said", "entry"),
    [
        (
            {"time": "2026-11-23T10:00:00Z", "method": "GET", "path": "/a?b", "status": 200, "bytes": 5},
            (b"/a", 5, b"GET", 200),
        ),
        (
            {"request": "GET /a%20b HTTP/1.1", "status": "304", "body_bytes_sent": "0", "time_local": "x"},
            (b"/a b", 0, b"GET", 304),
        ),
        (
            {"ts": 1.5, "request": {"method": "HEAD", "host": "X.org", "uri": "/a"}, "status": 200, "size": 9},
            (b"x.org/a", 9, b"HEAD", 200),
        ),
        ({"target": "/\ud800", "status": 200}, (b"/\xed\xa0\x80", None, b"GET", 200)),
        ({"request": "GET /\udc80 HTTP/1.1", "status": 200}, (b"/\xed\xb2\x80", None, b"GET", 200)),
        ({"target": "/a", "status": 200}, (b"/a", None, b"GET", 200)),
        ({"target": "/a", "status": 200, "bytes": "-"}, (b"/a", None, b"GET", 200)),
        ({"target": "/a", "status": 200, "bytes": True}, (b"/a", None, b"GET", 200)),
        ({"RequestPath": "/a", "DownstreamStatus": 206, "RequestMethod": "GET"}, (b"/a", None, b"GET", 206)),
    ],
)
def test_lines_that_are_json(said: object, entry: tuple[bytes, int | None, bytes, int]) -> None:
    assert json_line(json.dumps(said).encode())[:4] == entry


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"status": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[1]", "JSON, but no object"),
        (b"{}", "JSON without a status"),
        (b'{"status": "fine", "path": "/"}', "JSON without a status"),
        (b'{"status": 1e999, "path": "/"}', "JSON without a status"),
        (b'{"status": 200}', "JSON without a target"),
        (b'{"status": 200, "path": 7}', "JSON without a target"),
    ],
)
def test_lines_that_are_no_json_of_a_request(line: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=f"^{why}"):
        json_line(line)


@pytest.mark.parametrize(
    ("line", "key", "size", "moment"),
    [
        (b"1,a,2\n", b"a", 2, 1.0),
        (b"0.25, a,2\r\n", b" a", 2, 0.25),
        (b"1,a,b,c,2", b"a,b,c", 2, 1.0),
        (b'"1","a ""b"", c","2"\n', b'a "b", c', 2, 1.0),
        (b"2026-11-23T10:00:00+00:00,k,0\n", b"k", 0, 1795428000.0),
        (b"-3,\x00\xff,12.0", b"\x00\xff", 12, -3.0),
        (b"1e9,a,1e3", b"a", 1000, 1e9),
    ],
)
def test_lines_of_csv(line: bytes, key: bytes, size: int, moment: float) -> None:
    entry = csv_line(line)
    assert entry[:4] == (key, size, b"GET", 200)
    assert seconds_of(entry.moment) == moment


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"1,a", "not time,key,size"),
        (b"soon,a,2", "without a time: 'soon'"),
        (b"1,,2", "without a key"),
        (b"1,a,-2", "without a size in bytes: '-2'"),
        (b"1,a,2.5", r"without a size in bytes: '2\.5'"),
        (b"1,a,\x1b[2J", "without a size in bytes: '.x1b"),
        (b"1,a," + b"9" * 5000, "without a size in bytes"),
        (b"1,a,inf", "without a size in bytes: 'inf'"),
        (b"1,a,nan", "without a size in bytes: 'nan'"),
    ],
)
def test_lines_of_no_csv(line: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=f"^{why}"):
        csv_line(line)


@pytest.mark.parametrize(
    ("heading", "line", "key", "size", "moment"),
    [
        (b'Time, "key" ,SIZE\r\n', b"1,a,b,2", b"a,b", 2, "1"),
        (b"when,what,weight\n", b"1,a,b,2", b"a,b", 2, "1"),
        (b"key,size,time\n", b"a,2,1.5\n", b"a", 2, "1.5"),
        (b"timestamp,obj_id,obj_size,op\n", b'1,"a,""b",2,get\r\n', b'a,"b', 2, "1"),
        (b"id,time,key,size\n", b"9,1,\xff\xc3,2\n", b"\xff\xc3", 2, "1"),
        (b"ts,user agent,url,bytes\n", b"1,curl,/\xff,2\n", b"/\xff", 2, "1"),
    ],
)
def test_a_line_that_names_the_columns_says_where_they_are(
    heading: bytes, line: bytes, key: bytes, size: int, moment: str
) -> None:
    read = csv_below(heading)
    assert read is not None
    entry = read(line)
    assert (entry.key, entry.size_bytes, entry.moment) == (key, size, moment)
    assert recognise(heading)[::2] == ("CSV", True)


@pytest.mark.parametrize(
    "line",
    [
        b"1,key,2",
        b"time,key",
        b"time,key,size,4",
        b"a,b,c,d",
        b"t\x80ime,key,size,d",
        b"",
        b"{}",
        HEAD + b'"GET /,a,b HTTP/1.1" 200 5 "-" "a,b"',
    ],
)
def test_other_lines_name_no_columns(line: bytes) -> None:
    assert csv_below(line) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"1,a,2", "of 3 columns, not of 4"),
        (b'1,"a,2,x', "not CSV"),
        (b"x,a,2,get", "without a time: 'x'"),
        (b"1,a,?,get", r"without a size in bytes: '\?'"),
    ],
)
def test_lines_that_do_not_have_the_columns(line: bytes, why: str) -> None:
    read = csv_below(b"time,key,size,op\n")
    assert read is not None
    with pytest.raises(Malformed, match=f"^{why}"):
        read(line)


@given(line=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_no_line_does_more_than_to_be_refused(line: bytes) -> None:
    for read in FORMATS.values():
        with suppress(Malformed):
            seconds_of(read(line).moment)
