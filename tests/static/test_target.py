# What a raw path of a request target becomes, by table and by property.
"""engine/static/target.py."""

import os
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsrv.engine.static.target import BadTarget, is_hidden, location_of_directory, to_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", b""),
        (b"//", b""),
        (b"/.", b""),
        (b"/./", b""),
        (b"/a/..", b""),
        (b"/a/../", b""),
        (b"/a", b"a"),
        (b"/a/", b"a/"),
        (b"/a//", b"a/"),
        (b"//a///b", b"a/b"),
        (b"/a/.", b"a/"),
        (b"/a/b/..", b"a/"),
        (b"/a/./b", b"a/b"),
        (b"/a/../b", b"b"),
        (b"/a/b/c/./../../g", b"a/g"),  # RFC 3986 5.2.4
        (b"/mid/content=5/../6", b"mid/6"),
        (b"/a//../b", b"b"),
        (b"/%61%2Ehtml", b"a.html"),
        (b"/a/%2e%2E/b", b"b"),
        (b"/a/%2e/b", b"a/b"),
        (b"/a/.%2e", b""),
        (b"/...", b"..."),
        (b"/..a/b..", b"..a/b.."),
        (b"/%252e%252e/x", b"%2e%2e/x"),  # decoded once, a name like any other
        (b"/%25", b"%"),
        (b"/a%5c..%5cb", b"a\\..\\b"),
        (b"/a\\..\\b", b"a\\..\\b"),
        (b"/%0d%0a", b"\r\n"),
        (b"/b%C3%BCcher", "bücher".encode()),
        (b"/b\xc3\xbccher", "bücher".encode()),
        (b"/%ff", b"\xff"),
        (b"/a+b;c=d", b"a+b;c=d"),
        (b"/.well-known/x", b".well-known/x"),
    ],
)
def test_path_is_decoded_once_and_free_of_dot_segments(raw: bytes, path: bytes) -> None:
    assert to_path(raw) == path


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"*", 400),
        (b"a/b", 400),
        (b"/%", 400),
        (b"/%4", 400),
        (b"/%zz", 400),
        (b"/%%30%30", 400),
        (b"/%u002e", 400),
        (b"/a%", 400),
        (b"/%00", 400),
        (b"/a%00.html", 400),
        (b"/a\0b", 400),
        (b"/..", 400),
        (b"/../", 400),
        (b"/../etc/passwd", 400),
        (b"/a/../..", 400),
        (b"/a/../../site/a", 400),
        (b"//..", 400),
        (b"/./..", 400),
        (b"/%2e%2e/etc/passwd", 400),
        (b"/.%2E/etc/passwd", 400),
        (b"/a%2fb", 404),
        (b"/a%2F", 404),
        (b"/%2f", 404),
        (b"/..%2f..%2fetc/passwd", 404),
        (b"/%2e%2e%2fetc/passwd", 404),
        (b"/a%2fb/%00", 400),
    ],
)
def test_target_that_names_no_path_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(BadTarget) as refused:
        to_path(raw)
    assert refused.value.status == status


PIECES = st.sampled_from(
    [
        b"..",
        b".",
        b"",
        b"a",
        b"b.html",
        b"%2e",
        b"%2E%2e",
        b".%2e",
        b"%252e",
        b"%2f",
        b"%5c",
        b"\\",
        b"%00",
        b"%",
        b"\xff",
    ]
)
RAW = st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=8).map(lambda pieces: b"/" + b"/".join(pieces))


@settings(deadline=None)
@given(RAW)
@example(b"/a/..//..")
def test_no_path_leaves_the_root(raw: bytes) -> None:
    try:
        path = to_path(raw)
    except BadTarget:
        return
    assert not path.startswith(b"/")
    assert b"\0" not in path
    assert not {b"", b".", b".."} & set(path.removesuffix(b"/").split(b"/")) or path == b""
    # The oracle: what the path means according to the standard library.
    decoded = unquote_to_bytes(raw)
    assert os.path.normpath(b"/root/" + path) == os.path.normpath(b"/root" + decoded)
    assert path.endswith(b"/") == (path != b"" and decoded.endswith((b"/", b"/.", b"/..")))


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=6), max_size=6))
def test_every_name_that_a_file_can_have_is_reached(names: list[bytes]) -> None:
    kept = [name.translate(None, b"\0/") for name in names]
    kept = [name for name in kept if name not in (b"", b".", b"..")]
    raw = b"/" + b"/".join(b"".join(b"%%%02x" % byte for byte in name) for name in kept)
    assert to_path(raw) == b"/".join(kept)


@pytest.mark.parametrize(
    "path", [b".git", b".git/config", b"a/.env", b"a/.b/c", b".well-known/.x", b"a/.", b".well-knownx"]
)
def test_dot_names_are_hidden(path: bytes) -> None:
    assert is_hidden(path)


@pytest.mark.parametrize(
    "path", [b"", b"a", b"a.b", b"a/b.c/", b".well-known", b".well-known/acme", b"a/.well-known/b"]
)
def test_other_names_and_well_known_are_not_hidden(path: bytes) -> None:
    assert not is_hidden(path)


@pytest.mark.parametrize(
    ("raw", "query", "location"),
    [
        (b"/docs", b"", b"/docs/"),
        (b"/docs", b"a=1&b=%20", b"/docs/?a=1&b=%20"),
        (b"//evil.com", b"", b"/evil.com/"),
        (b"///evil.com", b"", b"/evil.com/"),
        (b"/%5cevil.com", b"", b"/%5Cevil.com/"),
        (b"/\\evil.com", b"", b"/%5Cevil.com/"),
        (b"/.//evil.com", b"", b"/evil.com/"),
        (b"/a/..//evil.com", b"", b"/evil.com/"),
        (b"/%09/evil.com", b"", b"/%09/evil.com/"),
        (b"/%0d%0aSet-Cookie:x", b"", b"/%0D%0ASet-Cookie:x/"),
        (b"/a?b".replace(b"?", b"%3f"), b"", b"/a%3Fb/"),
        (b"/a%23b", b"c#\r\nd", b"/a%23b/?c%23%0D%0Ad"),
        (b"/b%c3%bccher", b"", b"/b%C3%BCcher/"),
    ],
)
def test_location_of_a_directory_stays_on_this_host(raw: bytes, query: bytes, location: bytes) -> None:
    assert location_of_directory(raw, query) == location


@settings(deadline=None)
@given(RAW, st.binary(max_size=6))
def test_no_location_can_be_taken_for_another_host(raw: bytes, query: bytes) -> None:
    try:
        location = location_of_directory(raw, query)
    except BadTarget:
        return
    assert location.startswith(b"/")
    assert not location.startswith((b"//", b"/\\"))
    assert all(0x21 <= byte <= 0x7E for byte in location)
    assert to_path(urlsplit(location).path).rstrip(b"/") == to_path(raw).rstrip(b"/")
