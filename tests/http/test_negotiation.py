"""Accept-Encoding, against examples, and against an oracle that asks about one coding at a time."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsrv.engine.http.negotiation import AS_IT_IS, CODINGS, MAX_FIELD_BYTES, Acceptable, acceptable

ALL = (b"br", b"zstd", b"gzip")


@pytest.mark.parametrize(
    ("field", "codings", "identity"),
    [
        (None, (), True),
        (b"", (), True),
        (b" ", (), True),
        (b",", (), True),
        (b"gzip", (b"gzip",), True),
        (b"GZip", (b"gzip",), True),
        (b"x-gzip", (b"gzip",), True),
        (b"X-GZIP;q=0.3", (b"gzip",), True),
        (b"compress, x-compress, deflate", (), True),
        (b"gzip, deflate, br, zstd", ALL, True),
        (b"zstd,gzip,br", ALL, True),
        (b"gzip;q=1.0, br;q=0.5", (b"gzip", b"br"), True),
        (b"gzip ; q=1.000 ,br\t;\tQ=0.001,", (b"gzip", b"br"), True),
        (b"br;q=0.5, gzip;q=0.5, zstd;q=0.6", (b"zstd", b"br", b"gzip"), True),
        (b"br;q=0, gzip", (b"gzip",), True),
        (b"br;q=0., gzip;q=1.", (b"gzip",), True),
        (b"br;q=0.000, gzip", (b"gzip",), True),
        (b"*", ALL, True),
        (b"*;q=0", (), False),
        (b"*;q=0, gzip", (b"gzip",), False),
        (b"*;q=0, identity", (), True),
        (b"gzip;q=0, *", (b"br", b"zstd"), True),
        (b"br, *;q=0.1", ALL, True),
        (b"br;q=0.1, *;q=0.2", (b"zstd", b"gzip"), True),
        (b"identity", (), True),
        (b"identity;q=0", (), False),
        (b"identity;q=0, gzip", (b"gzip",), False),
        (b"identity;q=0, *;q=0.5", ALL, False),
        (b"identity;q=0.5, gzip;q=0.4", (), True),
        (b"identity;q=0.5, gzip;q=0.5", (b"gzip",), True),
        (b"identity;q=0.5, br;q=0.4, *;q=0.9", (b"zstd", b"gzip"), True),
        (b"gzip, gzip;q=0", (), True),
        (b"x-gzip;q=0, gzip", (), True),
        (b"gzip;q=0, x-gzip", (), True),
        (b"identity, identity;q=0", (), False),
        (b",, gzip ,,br, ,", (b"br", b"gzip"), True),
    ],
)
def test_a_field_says_which_codings_are_taken_and_in_which_order(
    field: bytes | None, codings: tuple[bytes, ...], identity: bool
) -> None:
    assert acceptable(field) == Acceptable(codings, identity)


@pytest.mark.parametrize(
    "field",
    [
        b"gzip;q=2",
        b"gzip;q=1.001",
        b"gzip;q=0.1234",
        b"gzip;q=-1",
        b"gzip;q=.5",
        b"gzip;q=",
        b"gzip;q",
        b"gzip;",
        b"gzip;q =1",
        b"gzip;q= 1",
        b"gzip;level=9",
        b"gzip;q=1;q=1",
        b"gzip br",
        b"gzip;q=1 br",
        b"gzip/br",
        b'"gzip"',
        b"gzip=1",
        b";q=1",
        b"gzip, br;q=x",
        b"gzip, (br)",
        b"gzip, \xff",
        b"identity;q=0;",
    ],
)
def test_a_field_that_breaks_the_grammar_is_as_if_it_were_not_there(field: bytes) -> None:
    assert acceptable(field) is AS_IT_IS


def test_a_field_is_read_up_to_its_bound() -> None:
    assert acceptable(b"br" + b"," * (MAX_FIELD_BYTES - 2)) == Acceptable((b"br",), True)
    assert acceptable(b"br" + b"," * (MAX_FIELD_BYTES - 1)) is AS_IT_IS


# The oracle: the weight of one coding, by the words of RFC 9110 12.5.3, written down as far from the code as it goes.

Elements = list[tuple[str, float]]


def weight_of(coding: str, elements: Elements) -> float | None:
    """The weight given to a coding by name, else by the asterisk; None when by neither."""
    for wanted in ({coding, "x-gzip"} if coding == "gzip" else {coding}), {"*"}:
        named = [weight for name, weight in elements if name.lower() in wanted]
        if named:
            return min(named)
    return None


def oracle(elements: Elements) -> Acceptable:
    identity = weight_of("identity", elements)
    taken = []
    for coding in ("br", "zstd", "gzip"):
        weight = weight_of(coding, elements)
        if weight and (identity is None or weight >= identity):
            taken.append((coding, weight))
    # Insertion by weight; equal ones stay as they stand.
    order: list[tuple[str, float]] = []
    for coding, weight in taken:
        place = len([None for _, other in order if other >= weight])
        order.insert(place, (coding, weight))
    return Acceptable(tuple(coding.encode() for coding, _ in order), identity is None or identity > 0)


NAMES = st.sampled_from(["br", "BR", "zstd", "gzip", "Gzip", "x-gzip", "identity", "*", "deflate", "dcb"])
WEIGHTS = st.sampled_from(["", ";q=0", ";q=0.0", ";q=0.5", " ; q=0.25", ";Q=0.999", ";q=1", ";q=1.000", ";\tq=0.001 "])
GAPS = st.sampled_from([",", ", ", " ,", ",,", ", ,\t"])


@given(st.lists(st.tuples(NAMES, WEIGHTS, GAPS), max_size=7))
def test_every_field_is_read_as_the_oracle_reads_it(parts: list[tuple[str, str, str]]) -> None:
    field = "".join(name + weight + gap for name, weight, gap in parts)
    elements = [(name, float(weight.partition("=")[2] or 1)) for name, weight, _ in parts]
    assert acceptable(field.encode()) == oracle(elements)


@given(st.lists(st.tuples(NAMES, WEIGHTS), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_in_which_codings_are_named_means_nothing(parts: list[tuple[str, str]], random: object) -> None:
    def field(some: list[tuple[str, str]]) -> bytes:
        return ", ".join(name + weight for name, weight in some).encode()

    shuffled = parts[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert acceptable(field(shuffled)) == acceptable(field(parts))


@given(st.binary(max_size=60))
@example(b"gzip;q=0.5" * 2000)
@example(b"," * 16000)
@example(b"a;q=0." * 2000)
def test_any_bytes_have_a_meaning_and_it_is_one_of_few(field: bytes) -> None:
    taken = acceptable(field)
    assert taken.codings in {some for n in range(4) for some in itertools.permutations(CODINGS, n)}
