"""What a client sent cannot forge a log line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.escape import log_escape


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        (b"", b""),
        (b"GET /a?b=%20'c' HTTP/1.1", b"GET /a?b=%20'c' HTTP/1.1"),
        (b'a" 200 1 "b', b"a\\x22 200 1 \\x22b"),
        (b"a\r\nb", b"a\\x0D\\x0Ab"),
        (b"\\x22", b"\\x5Cx22"),
        (b"\x1b[31m\x7f\x00\t", b"\\x1B[31m\\x7F\\x00\\x09"),
        ("é\u2028".encode(), b"\\xC3\\xA9\\xE2\\x80\\xA8"),
    ],
)
def test_what_could_forge_is_written_in_hexadecimal(raw: bytes, escaped: bytes) -> None:
    assert log_escape(raw) == escaped


@given(st.binary())
def test_an_escape_can_be_undone_and_holds_nothing_dangerous(raw: bytes) -> None:
    escaped = log_escape(raw)
    assert re.fullmatch(rb"[\x20-\x7e]*", escaped)
    assert b'"' not in escaped
    assert re.sub(rb"\\x([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), escaped) == raw


@given(st.text('ab"\\\n', max_size=20).map(str.encode), st.integers(0, 30))
def test_a_cut_keeps_the_bound_and_leaves_no_part_of_an_escape(raw: bytes, limit_bytes: int) -> None:
    whole = log_escape(raw)
    cut = log_escape(raw, limit_bytes)
    assert len(cut) <= limit_bytes
    assert whole.startswith(cut)
    assert re.fullmatch(rb"(?:[^\\]|\\x[0-9A-F]{2})*", cut)
    # Nothing that would have fitted is left out.
    assert cut == whole or len(cut) > limit_bytes - 4
