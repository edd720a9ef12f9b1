"""Names with a fingerprint, and names that only look as if they had one."""

import random
import string

import pytest

from wsrv.engine.static.fingerprint import has_fingerprint

FINGERPRINTED = """
    app.3f9a1c2b.js chunk.abcdef12.css main.9b3c4f1e2a.chunk.css 2.4f5d6e7a.js runtime~main.8f4bc0a5.js
    app.deadbeef.js main.cafebabe.css app.facade12.js
    index-BhQ2xK9d.js index-C0x3Pq7Z.css logo-a8Kq2ZpR.svg
    chunk-5RTYQXAZ.js chunk-ABCDEFGH.js main-2XQ7ZK4B.js
    base.27e20196a850.css app.3f9a1c2b.min.js app.3f9a1c2b.js.map module-0ecb9a2d0e2ab0e7.mjs
    inter-latin.4f5d6e7a8b.woff2 photo_9b3c4f1e.webp
    application-4f5d6e7a4f5d6e7a4f5d6e7a4f5d6e7a4f5d6e7a4f5d6e7a4f5d6e7a4f5d6e7a.js
"""

ORDINARY = """
    index.html app.js jquery-3.6.0.min.js bootstrap.5.3.2.css lib-1.2.3.js v20240101.js
    report-20240101.pdf photo-20240101.jpg photo-20240101a.jpg photo-20240101ab.jpg
    IMG_20231224_101500.jpg IMG-20231224-WA0001.jpg
    icon-facebook.svg font-semibold.woff2 page-download.js photo-facade12.png backdrop-deadbeef.png
    logo-Windows8.png logo-Win10Pro.png photo-Summer24.jpg app-3DModels.js phone-iPhone15.png video-H264Main.mp4
    hero-1920x1080.webp x-12345678.png scan-0000012a.png DSC_00001234.jpg
    chunk.abcdef12.html report-3f9a1c2b.pdf backup.3f9a1c2b.zip data.3f9a1c2b
    avatar-550e8400-e29b-41d4-a716-44665544000a.png
    3f9a1c2b.js .3f9a1c2b.js app.3f9a1c2.js README-VERSION2.js icon-USERNAME.svg
    app.3F9A1C2B.js.txt -3f9a1c2b.js min.js chunk.js
"""


@pytest.mark.parametrize("name", FINGERPRINTED.split())
def test_fingerprint_is_seen(name: str) -> None:
    assert has_fingerprint(name.encode())
    assert has_fingerprint(b"assets/js/" + name.encode())


@pytest.mark.parametrize("name", ORDINARY.split())
def test_no_fingerprint_is_seen_where_there_is_none(name: str) -> None:
    assert not has_fingerprint(name.encode())
    assert not has_fingerprint(b"a.3f9a1c2b.js/" + name.encode())


def test_names_of_any_bytes_are_looked_at() -> None:
    assert not has_fingerprint(b"")
    assert not has_fingerprint(b"\xff\xfe.\n")
    assert has_fingerprint(b"\xff/a.3f9a1c2b.js")


def test_most_random_names_are_seen() -> None:
    # A quarter may be missed; a pattern that misses more is worth little.
    dice = random.Random(7)
    names = ["x-" + "".join(dice.choices(string.ascii_letters + string.digits, k=8)) + ".js" for _ in range(2000)]
    assert sum(has_fingerprint(name.encode()) for name in names) > 1100
    names = ["x." + "".join(dice.choices("0123456789abcdef", k=8)) + ".js" for _ in range(2000)]
    assert sum(has_fingerprint(name.encode()) for name in names) > 1900
