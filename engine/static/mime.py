# Content types by file name, from a table of our own.
#
# The host's mime.types is not asked: a site must answer alike on every machine. The names are IANA's where there is
# one, else what browsers and the format's own authors use. Text carries charset=utf-8, since a browser would guess;
# XML does not, since its own first line says, and a charset parameter would outrank it (RFC 7303 3.2).
"""What a file is, told from its name."""

_UTF8 = b"; charset=utf-8"

DEFAULT = b"application/octet-stream"

_BY_TYPE = {
    # Pages and what they load
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs cjs",
    "application/json": "json map topojson",
    "application/manifest+json": "webmanifest",
    "application/wasm": "wasm",
    "application/xhtml+xml": "xhtml xht",
    "application/xml": "xml xsd rng sch",
    "application/xml-dtd": "dtd",
    "application/xslt+xml": "xsl xslt",
    "application/mathml+xml": "mathml mml",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    "application/ld+json": "jsonld",
    "application/geo+json": "geojson",
    "application/x-ndjson": "ndjson jsonl",
    "application/schema+json": "schema",
    "application/x-web-app-manifest+json": "webapp",
    "application/speculationrules+json": "speculationrules",
    # Text
    "text/plain": "txt text log conf cfg ini properties env asc nfo rst adoc org po pot md5 sha1 sha256 sha512"
    " c h cc cpp cxx hh hpp hxx cs d go rs swift kt java scala rb pl pm lua r jl hs ml mli el lisp clj erl ex exs"
    " sh bash zsh fish ps1 bat cmd awk sed mk cmake gradle dockerfile tf nix tsx jsx vue svelte scss sass less styl"
    " diff patch pyi",
    "text/markdown": "md markdown mkd",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/calendar": "ics ifb",
    "text/vcard": "vcf vcard",
    "text/vtt": "vtt",
    "text/x-python": "py pyw",
    "text/x-component": "htc",
    "text/x-tex": "tex latex sty cls",
    "text/x-bibtex": "bib",
    "text/vnd.graphviz": "gv dot",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "application/sql": "sql",
    "application/graphql": "graphql gql",
    "application/x-subrip": "srt",
    # Images
    "image/png": "png",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif avifs",
    "image/apng": "apng",
    "image/svg+xml": "svg",
    "image/vnd.microsoft.icon": "ico cur",
    "image/bmp": "bmp dib",
    "image/tiff": "tif tiff",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jxl": "jxl",
    "image/jp2": "jp2 jpg2",
    "image/vnd.adobe.photoshop": "psd",
    "image/vnd.djvu": "djvu djv",
    "image/x-portable-anymap": "pnm",
    "image/x-portable-bitmap": "pbm",
    "image/x-portable-graymap": "pgm",
    "image/x-portable-pixmap": "ppm",
    "image/x-xbitmap": "xbm",
    "image/x-xpixmap": "xpm",
    # Fonts
    "font/woff2": "woff2",
    "font/woff": "woff",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc",
    "application/vnd.ms-fontobject": "eot",
    # Sound
    "audio/mpeg": "mp3 mp2 mpga",
    "audio/mp4": "m4a m4b",
    "audio/aac": "aac adts",
    "audio/ogg": "ogg oga opus spx",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "audio/midi": "mid midi kar",
    "audio/aiff": "aif aiff aifc",
    "audio/x-ms-wma": "wma",
    "audio/matroska": "mka",
    # Moving pictures
    "video/mp4": "mp4 m4v mp4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/mpeg": "mpeg mpg mpe m1v m2v",
    "video/mp2t": "ts m2ts mts",
    "video/iso.segment": "m4s",
    "video/matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/x-ms-wmv": "wmv",
    "video/x-flv": "flv",
    "video/3gpp": "3gp 3gpp",
    "video/3gpp2": "3g2",
    "application/vnd.apple.mpegurl": "m3u8",
    "audio/x-mpegurl": "m3u",
    "application/dash+xml": "mpd",
    # Documents
    "application/pdf": "pdf",
    "application/postscript": "ps eps ai",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/x-mobipocket-ebook": "mobi prc",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/x-ipynb+json": "ipynb",
    "application/x-dvi": "dvi",
    "application/oxps": "oxps xps",
    # Archives and packages
    "application/zip": "zip whl",
    "application/gzip": "gz tgz svgz",
    "application/x-tar": "tar",
    "application/x-bzip2": "bz2 tbz2 tbz",
    "application/x-xz": "xz txz",
    "application/zstd": "zst tzst",
    "application/x-lzip": "lz",
    "application/x-lzma": "lzma",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-cpio": "cpio",
    "application/java-archive": "jar war ear",
    "application/vnd.debian.binary-package": "deb udeb",
    "application/x-rpm": "rpm",
    "application/vnd.android.package-archive": "apk",
    "application/x-apple-diskimage": "dmg",
    "application/vnd.apple.installer+xml": "mpkg",
    "application/x-iso9660-image": "iso",
    "application/vnd.ms-cab-compressed": "cab",
    "application/x-msdownload": "exe dll",
    "application/x-msi": "msi",
    "application/x-xpinstall": "xpi",
    "application/x-bittorrent": "torrent",
    "application/vnd.flatpak.ref": "flatpakref",
    # Keys and signatures
    "application/pgp-signature": "sig gpgsig",
    "application/pgp-keys": "gpg pgp",
    "application/pkix-cert": "cer crt der",
    "application/pkix-crl": "crl",
    "application/x-pem-file": "pem",
    "application/x-pkcs12": "p12 pfx",
    # Maps, models, data
    "application/gpx+xml": "gpx",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/vnd.google-earth.kmz": "kmz",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/obj": "obj",
    "model/mtl": "mtl",
    "model/stl": "stl",
    "model/vnd.usdz+zip": "usdz",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/cbor": "cbor",
    "application/rdf+xml": "rdf",
    "text/turtle": "ttl",
    "text/n3": "n3",
    "application/n-triples": "nt",
    "application/wsdl+xml": "wsdl",
    "application/vnd.tcpdump.pcap": "pcap cap",
    "application/metalink4+xml": "meta4",
    "application/opensearchdescription+xml": "osdx",
    "application/x-java-jnlp-file": "jnlp",
    "application/vnd.mozilla.xul+xml": "xul",
    "application/x-shockwave-flash": "swf",
}

# Names that carry no suffix by custom. Apple asks for JSON under the last.
_BY_NAME = {
    "text/plain": "readme license licence copying notice authors contributors changelog changes news todo install"
    " makefile dockerfile",
    "application/json": "apple-app-site-association",
}


def _with_charset(name: str) -> bytes:
    return name.encode("ascii") + (_UTF8 if name.startswith("text/") else b"")


def _inverted(table: dict[str, str]) -> dict[bytes, bytes]:
    return {word.encode("ascii"): _with_charset(name) for name, words in table.items() for word in words.split()}


_BY_SUFFIX = _inverted(_BY_TYPE)
_BY_WHOLE_NAME = _inverted(_BY_NAME)


def content_type(name: bytes) -> bytes:
    """The Content-Type of a file of this name or path: by its last suffix, in any case; octet-stream if unknown."""
    last = name[name.rfind(b"/") + 1 :].lower()
    stem, dot, suffix = last.rpartition(b".")
    if dot and stem:
        return _BY_SUFFIX.get(suffix, DEFAULT)
    return _BY_WHOLE_NAME.get(last, DEFAULT)
