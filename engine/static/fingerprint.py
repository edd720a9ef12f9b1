# File names that say what is in the file, as bundlers write them: such a file never changes, another content gets
# another name.
#
#     app.3f9a1c2b.js  main.9b3c4f1e2a77.chunk.css  base.27e20196a850.css     hexadecimal, 8 to 64 digits
#     index-BhQ2xK9d.js                                                      8 characters of base64 (Vite, Rollup)
#     chunk-5RTYQXAZ.js                                                      8 characters of base32 (esbuild)
#
# Rule: to miss one costs a question and a 304; to see one where there is none costs a reader a year with an old file.
#       So whatever could be a version, a date, a number or a word is none: jquery-3.6.0.min.js, photo-20240101.jpg,
#       icon-facebook.svg, logo-Windows8.png, hero-1920x1080.webp.
"""Whether a file's name holds a fingerprint of its content."""

import re
from itertools import pairwise

# What bundlers make, or copy. No pages, no documents, no archives.
_SUFFIX = re.compile(
    rb"(?:\.(?:js|mjs|css|wasm|json|svg|png|jpe?g|gif|webp|avif|ico|woff2?|ttf|otf|eot|mp4|webm|mp3|ogg|m4a))"
    rb"(?:\.map)?\Z",
    re.IGNORECASE,
)
_ROLE = re.compile(rb"\.(?:min|chunk|bundle|module|worker|async|legacy|modern)\Z")
_SEPARATED = re.compile(rb"[A-Za-z0-9~_@)\]}]([.\-_])([A-Za-z0-9]+)\Z")
_HEX = re.compile(rb"[0-9a-f]{8,64}")
_DATE = re.compile(rb"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_NUMBER = re.compile(rb"\d+[a-f]?")
# A word, or one and its number, as facade12; behind a dot people write no words of eight such letters.
_WORD = re.compile(rb"[a-f]+\d*")
# A UUID names a thing, not what is in it.
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_BASE32 = re.compile(rb"[A-Z2-7]{8}")
_BASE64 = re.compile(rb"[A-Za-z0-9]{8}")

# How often a random name of 8 characters changes between capitals, small letters and digits: 3.8 times on average.
# Words with a number do so less often, where a capital before a small letter, as a word begins, does not count.
_RANDOM_CHANGES = 3
_BASE32_CHANGES = 2


def has_fingerprint(path: bytes) -> bool:
    """Whether the last segment of `path` is a name that changes with the content."""
    name = path[path.rfind(b"/") + 1 :]
    stem, found = _SUFFIX.subn(b"", name)
    if not found:
        return False
    while role := _ROLE.search(stem):
        stem = stem[: role.start()]
    token = _SEPARATED.search(stem)
    if token is None or _UUID.search(stem) is not None:
        return False
    separator, text = token.groups()
    if separator != b"." and _WORD.fullmatch(text):
        return False
    return _is_fingerprint(text, stem)


def _is_fingerprint(token: bytes, stem: bytes) -> bool:
    if _HEX.fullmatch(token):
        return not (_DATE.match(token) or _NUMBER.fullmatch(token))
    if _BASE32.fullmatch(token):
        return stem == b"chunk-" + token or (not token.isalpha() and _changes(token) >= _BASE32_CHANGES)
    if _BASE64.fullmatch(token):
        kinds = {_kind(character) for character in token}
        return len(kinds) == 3 and _changes(token) >= _RANDOM_CHANGES
    return False


def _kind(character: int) -> str:
    text = chr(character)
    return "0" if text.isdigit() else "A" if text.isupper() else "a"


def _changes(token: bytes) -> int:
    """How often the kind of character changes, but for the beginnings of words."""
    kinds = [_kind(character) for character in token]
    return sum(a != b and (a, b) != ("A", "a") for a, b in pairwise(kinds))
