# Content types by file name, from a table of our own (mimetable.py).
#
# The host's mime.types is not asked: a site must answer alike on every machine. Text carries charset=utf-8, since a
# browser would guess; XML does not, since its own first line says, and a charset parameter would outrank it (RFC 7303
# 3.2); JSON has none to carry (RFC 8259 11).
"""What a file is, told from its name."""

import re
from collections.abc import Iterable

from wsrv.engine.static.mimetable import BY_NAME, BY_TYPE, PACKED, SHRINKING

_UTF8 = b"; charset=utf-8"

DEFAULT = b"application/octet-stream"

_SUFFIX = re.compile(r"\.[A-Za-z0-9_+~-]+")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CONTENT_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|\"[ !#-\[\]-~]*\"))*")


def _with_charset(kind: str) -> bytes:
    """`kind` as a field's value: text that names no charset is UTF-8."""
    lower = kind.lower()
    return kind.encode("ascii") + (_UTF8 if lower.startswith("text/") and "charset=" not in lower else b"")


def _inverted(table: dict[str, str]) -> dict[bytes, bytes]:
    return {word.encode("ascii"): _with_charset(name) for name, words in table.items() for word in words.split()}


_BY_SUFFIX = _inverted(BY_TYPE)
_BY_WHOLE_NAME = _inverted(BY_NAME)


class ContentTypes:
    """Content types by file name: the table of this file, and above it what a site adds.

    `added` are pairs of a suffix with its dot and a content type, as `is_suffix` and `is_content_type` allow; of one
    suffix the last counts.
    """

    def __init__(self, added: Iterable[tuple[str, str]] = ()) -> None:
        self._added = {suffix[1:].lower().encode("ascii"): _with_charset(kind) for suffix, kind in added}

    def of(self, name: bytes) -> bytes:
        """The content type of a file of this name or path: by its last suffix, in any case; octet-stream if unknown."""
        last = name[name.rfind(b"/") + 1 :].lower()
        stem, dot, suffix = last.rpartition(b".")
        if dot and stem:
            return self._added.get(suffix) or _BY_SUFFIX.get(suffix, DEFAULT)
        return _BY_WHOLE_NAME.get(last, DEFAULT)


content_type = ContentTypes().of


def is_suffix(text: str) -> bool:
    """Whether a content type can be added for it: a dot, and what may follow the last dot of a name."""
    return _SUFFIX.fullmatch(text) is not None


def is_content_type(text: str) -> bool:
    """Whether it is type/subtype, perhaps with parameters (RFC 9110 8.3.1)."""
    return _CONTENT_TYPE.fullmatch(text) is not None


def shrinks(kind: bytes) -> bool:
    """Whether files of this content type are worth compressing: text of all sorts, and the binaries that shrink."""
    name = kind.partition(b";")[0]
    return name.startswith(b"text/") or name.endswith((b"+json", b"+xml", b"+text", b"+yaml")) or name in SHRINKING


def is_packed(kind: bytes) -> bool:
    """Whether files of this content type are compressed by nature, so that nobody lays a smaller copy beside them."""
    name = kind.partition(b";")[0]
    return name in PACKED or (name.startswith((b"image/", b"audio/", b"video/")) and not shrinks(kind))
