# Content types: what browsers insist on, and that nothing depends on the host.
"""engine/static/mime.py."""

import mimetypes

import pytest

from wsrv.engine.static import mimetable
from wsrv.engine.static.mime import content_type


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"index.html", b"text/html; charset=utf-8"),
        (b"a.htm", b"text/html; charset=utf-8"),
        (b"a.css", b"text/css; charset=utf-8"),
        (b"a.js", b"text/javascript; charset=utf-8"),
        (b"a.mjs", b"text/javascript; charset=utf-8"),
        (b"a.txt", b"text/plain; charset=utf-8"),
        (b"a.md", b"text/markdown; charset=utf-8"),
        (b"a.csv", b"text/csv; charset=utf-8"),
        (b"a.json", b"application/json"),
        (b"a.js.map", b"application/json"),
        (b"a.webmanifest", b"application/manifest+json"),
        (b"a.wasm", b"application/wasm"),
        (b"a.xml", b"application/xml"),
        (b"feed.rss", b"application/rss+xml"),
        (b"a.svg", b"image/svg+xml"),
        (b"a.png", b"image/png"),
        (b"a.jpeg", b"image/jpeg"),
        (b"a.webp", b"image/webp"),
        (b"a.avif", b"image/avif"),
        (b"favicon.ico", b"image/vnd.microsoft.icon"),
        (b"a.woff2", b"font/woff2"),
        (b"a.ttf", b"font/ttf"),
        (b"a.mp4", b"video/mp4"),
        (b"a.webm", b"video/webm"),
        (b"a.mp3", b"audio/mpeg"),
        (b"a.ogg", b"audio/ogg"),
        (b"a.m3u8", b"application/vnd.apple.mpegurl"),
        (b"a.pdf", b"application/pdf"),
        (b"a.zip", b"application/zip"),
        (b"a.tar.gz", b"application/gzip"),
        (b"a.svgz", b"application/gzip"),
        (b"A.HTML", b"text/html; charset=utf-8"),
        (b"d.html/a.PnG", b"image/png"),
        (b"d.html/README", b"text/plain; charset=utf-8"),
        (b".well-known/apple-app-site-association", b"application/json"),
        (b"a.unheard-of", b"application/octet-stream"),
        (b"a.", b"application/octet-stream"),
        (b"d.html/a", b"application/octet-stream"),
        (b".html", b"application/octet-stream"),
        (b"", b"application/octet-stream"),
        (b"\xff.\xff", b"application/octet-stream"),
    ],
)
def test_type_follows_the_last_suffix(name: bytes, kind: bytes) -> None:
    assert content_type(name) == kind


def test_host_table_has_no_say() -> None:
    before = content_type(b"a.html")
    mimetypes.add_type("text/x-host", ".html")
    try:
        assert content_type(b"a.html") == before
    finally:
        mimetypes.init()


def test_no_suffix_is_listed_twice() -> None:
    for table in (mimetable.BY_TYPE, mimetable.BY_NAME):
        words = [word for line in table.values() for word in line.split()]
        assert sorted(words) == sorted(set(words))


COMMON = ".html .css .js .mjs .json .png .gif .jpg .svg .ico .tiff .pdf .zip .tar .mp3 .mp4 .webm .mov .mpeg .csv .wasm"


@pytest.mark.parametrize("suffix", COMMON.split())
def test_standard_library_agrees_where_there_is_only_one_answer(suffix: str) -> None:
    oracle = mimetypes.MimeTypes().types_map[True]
    expected = "text/javascript" if suffix in (".js", ".mjs") else oracle[suffix]  # RFC 9239; 3.11 has the old name
    assert content_type(b"a" + suffix.encode()).split(b";")[0].decode() == expected
