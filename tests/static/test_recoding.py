# What the codings make of bodies; decoded again by the libraries' own one-shot calls.
"""engine/static/recoding.py."""

import gzip
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.static.coders import DECODE, ENCODE
from tests.static.conftest import MakeSite, find
from wsrv.engine.http.negotiation import AS_IT_IS, CODINGS, Acceptable
from wsrv.engine.static.entity import Basis, Entity, Identity, Negotiated, NotServed, Sibling, of_file
from wsrv.engine.static.recoding import Bounds, coding_wanted, recode

MIB = 1 << 20
BOUNDS = Bounds(MIB, MIB)
TEXT = b"".join(b"line %d of a text that repeats itself\n" % n for n in range(1000))

codings = pytest.mark.parametrize("coding", CODINGS)


def entity(body: bytes | None, coding: bytes = b"", kind: bytes = b"text/plain", *, worth: bool = True) -> Entity:
    identity = Identity(1, 2, len(body or b""), 3, 4)
    basis = Basis(None if coding else identity, (Sibling(coding, identity),) if coding else ())
    return of_file(b"x.txt", identity, body, 10**18, kind, Negotiated(coding, basis, worth and not coding))


def fields(found: Entity) -> dict[bytes, bytes]:
    assert len(dict(found.fields)) == len(found.fields)
    return dict(found.fields)


@codings
def test_a_coded_body_decodes_to_what_it_was(coding: bytes) -> None:
    coded = recode(entity(TEXT), coding, BOUNDS)
    assert coded.body is not None
    assert len(coded.body) < len(TEXT) / 5
    assert DECODE[coding](coded.body) == TEXT
    assert coded.coding == coding
    assert not coded.compressible


@codings
def test_the_fields_of_a_coded_body_are_its_own_and_the_others_stay(coding: bytes) -> None:
    plain = entity(TEXT)
    plain.fields = (*plain.fields, (b"X-Of-The-Site", b"1"))
    before = fields(plain)
    coded = recode(plain, coding, BOUNDS)
    after = fields(coded)
    assert after.pop(b"Content-Encoding") == coding
    assert after.pop(b"Content-Length") == b"%d" % len(coded.body or b"") == b"%d" % coded.length
    assert after.pop(b"ETag") == coded.etag != before[b"ETag"]
    assert after.items() <= before.items()
    assert after[b"Vary"] == b"Accept-Encoding"
    assert plain.body == TEXT, "the plain entity is nobody's to change"


def test_tags_are_strong_and_each_coding_has_its_own() -> None:
    tags = [recode(entity(TEXT), coding, BOUNDS).etag for coding in CODINGS] + [entity(TEXT).etag]
    assert len(set(tags)) == 4
    assert all(tag.startswith(b'"') and tag.endswith(b'"') and tag.count(b'"') == 2 for tag in tags)


@codings
def test_equal_bytes_have_equal_tags_and_other_bytes_have_others(
    coding: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {recode(entity(TEXT), coding, BOUNDS).etag for _ in range(3)}
    assert len(tags) == 1
    # As another version of the library would do it.
    other = {coding: lambda body: ENCODE[coding](body) + b"other"}
    monkeypatch.setattr("wsrv.engine.static.recoding._COMPRESS", other)
    assert recode(entity(TEXT), coding, BOUNDS).etag not in tags


@codings
@pytest.mark.parametrize("body", [os.urandom(4000), b"", b"abc", bytes(range(256)) + bytes(range(24))])
def test_what_does_not_shrink_stays_as_it_is(coding: bytes, body: bytes) -> None:
    plain = entity(body)
    assert recode(plain, coding, BOUNDS) is plain


@codings
@given(st.integers(0, 300), st.integers(0, 4000))
def test_what_is_sent_coded_is_smaller_with_its_fields_than_without(coding: bytes, noise: int, zeros: int) -> None:
    plain = entity(random.Random(noise).randbytes(noise) + bytes(zeros))
    found = recode(plain, coding, BOUNDS)
    if found is not plain:
        sizes = [len(each.head(200).render(b"")) + each.length for each in (found, plain)]
        assert sizes[0] < sizes[1]


# Back.


@codings
def test_a_sibling_is_decoded_for_who_takes_no_coding(coding: bytes) -> None:
    coded = entity(ENCODE[coding](TEXT), coding)
    plain = recode(coded, b"", BOUNDS)
    assert plain.body == TEXT
    assert b"Content-Encoding" not in fields(plain)
    assert fields(plain)[b"Content-Length"] == b"%d" % len(TEXT)
    assert fields(plain)[b"Vary"] == b"Accept-Encoding"
    assert plain.etag not in (coded.etag, b"")


@codings
@pytest.mark.parametrize("size", [0, 1, 70_000, MIB])
def test_up_to_the_bound_everything_is_decoded(coding: bytes, size: int) -> None:
    body = (TEXT * 40)[:size]
    assert len(body) == size
    assert recode(entity(ENCODE[coding](body), coding), b"", BOUNDS).body == body


@codings
def test_past_the_bound_nothing_is(coding: bytes) -> None:
    for size in (MIB + 1, 50 * MIB):
        with pytest.raises(NotServed) as refused:
            recode(entity(ENCODE[coding](bytes(size)), coding), b"", BOUNDS)
        assert refused.value.status == 406


@codings
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "nonsense"])
def test_a_broken_file_is_a_500_and_no_half_of_it_is_sent(coding: bytes, damage: str) -> None:
    coded = ENCODE[coding](os.urandom(5000) + TEXT)
    broken = {
        "cut": coded[: len(coded) // 2],
        "flipped": b"\xff" + coded[1:],
        "empty": b"",
        "nonsense": b"this is no stream",
    }
    with pytest.raises(NotServed) as refused:
        recode(entity(broken[damage], coding), b"", BOUNDS)
    assert refused.value.status == 500


@pytest.mark.parametrize("coding", [b"zstd", b"gzip"])
def test_all_frames_of_a_file_are_decoded(coding: bytes) -> None:
    coded = b"".join(ENCODE[coding](part) for part in (b"one", b"", TEXT))
    assert recode(entity(coded, coding), b"", BOUNDS).body == b"one" + TEXT
    if coding == b"gzip":
        assert recode(entity(coded + bytes(512), coding), b"", BOUNDS).body == b"one" + TEXT
    with pytest.raises(NotServed):
        recode(entity(coded + b"rest", coding), b"", BOUNDS)


# Which coding.

ALL = Acceptable(CODINGS, True)


@pytest.mark.parametrize(
    ("found", "accepted", "wanted"),
    [
        (entity(TEXT), ALL, b"br"),
        (entity(TEXT), Acceptable((b"gzip", b"br"), True), b"gzip"),
        (entity(TEXT), Acceptable((b"zstd",), False), b"zstd"),
        (entity(TEXT), AS_IT_IS, None),
        (entity(TEXT, worth=False), ALL, None),
        (entity(bytes(MIB)), ALL, b"br"),
        (entity(bytes(MIB + 1)), ALL, None),
        (entity(TEXT, b"br"), ALL, None),
        (entity(TEXT, b"gzip"), Acceptable((b"br", b"gzip"), False), None),
        (entity(TEXT, b"gzip"), Acceptable((b"br",), True), b""),
        (entity(TEXT, b"gzip"), AS_IT_IS, b""),
    ],
)
def test_the_coding_is_chosen_by_what_there_is_and_what_is_taken(
    found: Entity, accepted: Acceptable, wanted: bytes | None
) -> None:
    assert coding_wanted(found, accepted, BOUNDS) == wanted


@pytest.mark.parametrize(
    ("found", "accepted"),
    [
        (entity(TEXT), Acceptable((), False)),
        (entity(TEXT, worth=False), Acceptable((b"br",), False)),
        (entity(TEXT, b"gzip"), Acceptable((b"br",), False)),
        (entity(None, b"gzip"), AS_IT_IS),
    ],
)
def test_what_cannot_be_made_acceptable_is_406(found: Entity, accepted: Acceptable) -> None:
    with pytest.raises(NotServed) as refused:
        coding_wanted(found, accepted, BOUNDS)
    assert refused.value.status == 406


# What is worth it.


@pytest.mark.parametrize(
    ("name", "size", "worth"),
    [
        ("a.html", 255, False),
        ("a.html", 256, True),
        ("a.html", 4096, True),
        ("a.html", 4097, False),
        ("a.js", 1000, True),
        ("a.json", 1000, True),
        ("a.svg", 1000, True),
        ("a.wasm", 1000, True),
        ("a.ttf", 1000, True),
        ("favicon.ico", 1000, True),
        ("a.webmanifest", 1000, True),
        ("feed.rss", 1000, True),
        ("a.woff2", 1000, False),
        ("a.png", 1000, False),
        ("a.mp4", 1000, False),
        ("a.zip", 1000, False),
        ("a.js.gz", 1000, False),
        ("a.pdf", 1000, False),
        ("a.unheard-of", 1000, False),
    ],
)
def test_type_and_size_say_what_is_worth_compressing(
    make_site: MakeSite, root: Path, name: str, size: int, worth: bool
) -> None:
    (root / name).write_bytes(bytes(size))
    assert find(make_site(max_object_bytes=4096), name.encode()).compressible is worth
    assert not find(make_site(compress=False), name.encode()).compressible


def test_without_both_nothing_varies(make_site: MakeSite, root: Path) -> None:
    (root / "a.html").write_bytes(TEXT)
    found = find(make_site(compress=False, precompressed=False), b"a.html")
    assert b"Vary" not in fields(found)
    assert found.basis is None


def test_gzip_says_nothing_of_when_it_was_made() -> None:
    coded = recode(entity(TEXT), b"gzip", BOUNDS).body or b""
    assert coded[4:8] == bytes(4)
    assert gzip.decompress(coded) == TEXT
