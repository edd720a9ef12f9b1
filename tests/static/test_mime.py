# Content types: what browsers insist on, and that nothing depends on the host.
"""engine/static/mime.py."""

import mimetypes
import re

import pytest

from wsrv.engine.static import mimetable
from wsrv.engine.static.mime import ContentTypes, content_type, is_content_type, is_packed, is_suffix, shrinks


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"A.HTML", b"text/html; charset=utf-8"),
        (b"a.tar.gz", b"application/gzip"),
        (b"a.min.js", b"text/javascript; charset=utf-8"),
        (b"a.js.map", b"application/json"),
        (b"v1.2/a.js", b"text/javascript; charset=utf-8"),
        (b"d.html/a.PnG", b"image/png"),
        (b"d.html/README", b"text/plain; charset=utf-8"),
        (b"LICENSE", b"text/plain; charset=utf-8"),
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


# What the registry of IANA, the format's own specification or else every browser has it.
TYPES = """
html htm                    text/html; charset=utf-8
css                         text/css; charset=utf-8
js mjs cjs                  text/javascript; charset=utf-8
txt text log conf ini       text/plain; charset=utf-8
md markdown                 text/markdown; charset=utf-8
csv                         text/csv; charset=utf-8
tsv                         text/tab-separated-values; charset=utf-8
ics                         text/calendar; charset=utf-8
vcf                         text/vcard; charset=utf-8
vtt                         text/vtt; charset=utf-8
ttl                         text/turtle; charset=utf-8
json map                    application/json
jsonld                      application/ld+json
geojson                     application/geo+json
json5                       application/json5
importmap                   application/importmap+json
webmanifest                 application/manifest+json
wasm                        application/wasm
xml xsd                     application/xml
xhtml                       application/xhtml+xml
xsl xslt                    application/xslt+xml
mml mathml                  application/mathml+xml
rss                         application/rss+xml
atom                        application/atom+xml
rdf                         application/rdf+xml
gpx                         application/gpx+xml
kml                         application/vnd.google-earth.kml+xml
yaml yml                    application/yaml
toml                        application/toml
sql                         application/sql
srt                         application/x-subrip
ttml                        application/ttml+xml
png                         image/png
jpg jpeg                    image/jpeg
gif                         image/gif
webp                        image/webp
avif                        image/avif
apng                        image/apng
svg                         image/svg+xml
ico                         image/vnd.microsoft.icon
bmp                         image/bmp
tif tiff                    image/tiff
heic                        image/heic
heif                        image/heif
jxl                         image/jxl
jp2                         image/jp2
ktx2                        image/ktx2
psd                         image/vnd.adobe.photoshop
woff2                       font/woff2
woff                        font/woff
ttf                         font/ttf
otf                         font/otf
ttc                         font/collection
eot                         application/vnd.ms-fontobject
mp3                         audio/mpeg
m4a                         audio/mp4
aac                         audio/aac
ogg oga opus                audio/ogg
flac                        audio/flac
wav                         audio/wav
weba                        audio/webm
mid midi                    audio/midi
mka                         audio/matroska
mp4 m4v                     video/mp4
webm                        video/webm
ogv                         video/ogg
mov                         video/quicktime
mpeg mpg                    video/mpeg
ts                          video/mp2t
m4s                         video/iso.segment
mkv                         video/matroska
avi                         video/x-msvideo
3gp                         video/3gpp
m3u8                        application/vnd.apple.mpegurl
mpd                         application/dash+xml
pdf                         application/pdf
ps eps                      application/postscript
rtf                         application/rtf
epub                        application/epub+zip
doc                         application/msword
docx                        application/vnd.openxmlformats-officedocument.wordprocessingml.document
xls                         application/vnd.ms-excel
xlsx                        application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
ppt                         application/vnd.ms-powerpoint
pptx                        application/vnd.openxmlformats-officedocument.presentationml.presentation
odt                         application/vnd.oasis.opendocument.text
ods                         application/vnd.oasis.opendocument.spreadsheet
ipynb                       application/x-ipynb+json
tex                         text/x-tex; charset=utf-8
zip                         application/zip
gz tgz svgz                 application/gzip
br                          application/x-brotli
zst                         application/zstd
tar                         application/x-tar
bz2                         application/x-bzip2
xz                          application/x-xz
7z                          application/x-7z-compressed
rar                         application/vnd.rar
jar                         application/java-archive
deb                         application/vnd.debian.binary-package
rpm                         application/x-rpm
apk                         application/vnd.android.package-archive
dmg                         application/x-apple-diskimage
iso                         application/x-iso9660-image
bin                         application/octet-stream
exe                         application/x-msdownload
crt cer                     application/pkix-cert
crl                         application/pkix-crl
pem                         application/pem-certificate-chain
p12 pfx                     application/pkcs12
sig                         application/pgp-signature
torrent                     application/x-bittorrent
gltf                        model/gltf+json
glb                         model/gltf-binary
obj                         model/obj
stl                         model/stl
3mf                         model/3mf
usdz                        model/vnd.usdz+zip
parquet                     application/vnd.apache.parquet
sqlite                      application/vnd.sqlite3
cbor                        application/cbor
pcap                        application/vnd.tcpdump.pcap
swf                         application/x-shockwave-flash
py                          text/x-python; charset=utf-8
c h cpp rs go java sh       text/plain; charset=utf-8
"""
ROWS = [
    (suffix, kind.strip())
    for words, kind in (re.split(r"\s{2,}", line, maxsplit=1) for line in TYPES.strip().splitlines())
    for suffix in words.split()
]


def test_the_table_is_long_enough() -> None:
    assert len(ROWS) >= 120
    assert len(dict(ROWS)) == len(ROWS)


@pytest.mark.parametrize(("suffix", "kind"), ROWS)
def test_each_suffix_has_its_type_in_any_case(suffix: str, kind: str) -> None:
    for name in (f"a.{suffix}", f"d/a.b.{suffix.upper()}"):
        assert content_type(name.encode()) == kind.encode()


def test_every_type_of_the_table_is_one_and_every_suffix_too() -> None:
    for kind, words in mimetable.BY_TYPE.items():
        assert is_content_type(kind)
        assert all(is_suffix(f".{word}") for word in words.split())
    for packed in mimetable.PACKED:
        assert not shrinks(packed)
        assert is_packed(packed)


def test_charset_is_said_of_text_and_of_nothing_else() -> None:
    for kind, words in mimetable.BY_TYPE.items():
        for word in words.split():
            said = content_type(b"a." + word.encode())
            assert said == kind.encode() + (b"; charset=utf-8" if kind.startswith("text/") else b"")


@pytest.mark.parametrize(
    ("kind", "packs", "shrinking"),
    [
        (b"text/html; charset=utf-8", False, True),
        (b"text/x-foo", False, True),
        (b"application/x-foo+json", False, True),
        (b"application/json; v=1", False, True),
        (b"image/svg+xml", False, True),
        (b"image/vnd.microsoft.icon", False, True),
        (b"audio/x-mpegurl", False, True),
        (b"font/otf", False, True),
        (b"application/wasm", False, True),
        (b"image/png", True, False),
        (b"video/mp4", True, False),
        (b"font/woff2", True, False),
        (b"application/gzip", True, False),
        (b"application/pdf", False, False),
        (b"application/octet-stream", False, False),
    ],
)
def test_the_type_says_whether_bytes_shrink_or_are_packed(kind: bytes, packs: bool, shrinking: bool) -> None:
    assert (is_packed(kind), shrinks(kind)) == (packs, shrinking)


def test_added_types_come_before_the_table_and_the_last_of_a_suffix_counts() -> None:
    added = [(".FOO", "text/x-foo"), (".js", "text/x-other; charset=latin-1"), (".a", "a/b"), (".a", "Text/C")]
    types = ContentTypes(added)
    assert types.of(b"x.foo") == b"text/x-foo; charset=utf-8"
    assert types.of(b"x.Foo") == b"text/x-foo; charset=utf-8"
    assert types.of(b"x.js") == b"text/x-other; charset=latin-1"
    assert types.of(b"x.a") == b"Text/C; charset=utf-8"
    assert types.of(b"x.css") == content_type(b"x.css")
    assert content_type(b"x.foo") == b"application/octet-stream", "nobody else hears of it"


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
