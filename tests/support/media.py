# Files that a browser takes seriously, made here: no test needs an encoder installed or a picture stored.
#
#   WebM   EBML: an id, a length of eight bytes, content. EBML header, Segment { Info, Tracks, Cues, Cluster... }.
#          A cluster holds one frame, and each frame stands for itself: the payload of a lossy WebP is a VP8 key frame.
"""A video that seeks, a font with one letter, a WebAssembly module that adds."""

import io
import random
import struct
from collections.abc import Sequence

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

Colour = tuple[int, int, int]

WIDTH, HEIGHT = 640, 480
# (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
_WASM = bytes.fromhex("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b")


def font(family: str) -> bytes:
    """A WOFF2 font in which A is a box of twice the width of everything else."""
    pen = TTGlyphPen(None)
    for corner in ((0, 0), (0, 700), (1800, 700), (1800, 0)):
        (pen.moveTo if corner == (0, 0) else pen.lineTo)(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "A"])
    builder.setupCharacterMap({ord("A"): "A"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "A": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "A": (2000, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.font.flavor = "woff2"
    file = io.BytesIO()
    builder.save(file)
    return file.getvalue()


def png(noise: int = 1) -> bytes:
    """A picture of that many grey points in width and height."""
    file = io.BytesIO()
    Image.frombytes("L", (noise, noise), random.Random(0).randbytes(noise * noise)).save(file, "PNG")
    return file.getvalue()


def wasm(padding: int = 0) -> bytes:
    """A module that exports `add`; with up to 16,000 bytes in a section of no meaning, which shrink to a half."""
    if not padding:
        return _WASM
    content = b"\x01x" + bytes(random.Random(0).choices(range(16), k=padding))
    return _WASM + bytes((0, len(content) & 0x7F | 0x80, len(content) >> 7)) + content


def _frame(colour: Colour) -> bytes:
    """A VP8 key frame: the colour below, noise above, so that it is long."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), colour)
    noise = random.Random(0).randbytes(WIDTH * HEIGHT // 2)
    picture.paste(Image.frombytes("L", (WIDTH, HEIGHT // 2), noise), (0, 0))
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=100, method=0)
    webp = file.getvalue()
    at = webp.index(b"VP8 ")
    (length,) = struct.unpack_from("<I", webp, at + 4)
    return webp[at + 8 : at + 8 + length]


def _element(identifier: int, *content: bytes) -> bytes:
    body = b"".join(content)
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    return name + (len(body) | 1 << 56).to_bytes(8, "big") + body


def _number(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(8, "big"))


def webm(colours: Sequence[Colour]) -> bytes:
    """A video that shows each colour for a second; some 450 KB a second."""
    frames = {colour: _frame(colour) for colour in set(colours)}
    kind = b"webm"
    header = _element(
        0x1A45DFA3, _number(0x4286, 1), _number(0x42F7, 1), _number(0x42F2, 4), _number(0x42F3, 8),
        _element(0x4282, kind), _number(0x4287, 2), _number(0x4285, 2),
    )  # fmt: skip
    duration = _element(0x4489, struct.pack(">d", 1000.0 * len(colours)))
    about = _element(
        0x1549A966, _number(0x2AD7B1, 1_000_000), duration, _element(0x4D80, b"us"), _element(0x5741, b"us")
    )
    picture = _element(0xE0, _number(0xB0, WIDTH), _number(0xBA, HEIGHT))
    track = _element(0xAE, _number(0xD7, 1), _number(0x73C5, 1), _number(0x83, 1), _element(0x86, b"V_VP8"), picture)
    tracks = _element(0x1654AE6B, track)
    clusters = [
        _element(0x1F43B675, _number(0xE7, 1000 * second), _element(0xA3, b"\x81\0\0\x80", frames[colour]))
        for second, colour in enumerate(colours)
    ]

    def cues(first: int) -> bytes:
        points, at = [], first
        for second, cluster in enumerate(clusters):
            place = _element(0xB7, _number(0xF7, 1), _number(0xF1, at))
            points.append(_element(0xBB, _number(0xB3, 1000 * second), place))
            at += len(cluster)
        return _element(0x1C53BB6B, *points)

    before = len(about) + len(tracks)
    return header + _element(0x18538067, about, tracks, cues(before + len(cues(0))), *clusters)
