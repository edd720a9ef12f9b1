"""Preconditions, in the order of RFC 9110 13.2.2."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsrv.engine.http.conditional import Validators, entity_tags, evaluate, range_counts
from wsrv.engine.http.dates import http_date
from wsrv.engine.http.head import parse_fields

MTIME = 784_111_777
STRONG = Validators(b'"a,b"', MTIME)
WEAK = Validators(b'W/"a"', MTIME)
UNDATED = Validators(b'"a,b"', None)
NAMELESS = Validators(b"", None)

SAME, BEFORE, AFTER = http_date(MTIME), http_date(MTIME - 1), http_date(MTIME + 1)
NO_DATE = b"Sun, 06 Nov 1994 08:49:37 CET"


def answer(method: bytes, validators: Validators, **conditions: bytes) -> int:
    lines = [b"%b: %b\r\n" % (name.replace("_", "-").encode(), value) for name, value in conditions.items()]
    return evaluate(method, parse_fields(b"".join(lines) + b"\r\n"), validators)


@pytest.mark.parametrize(
    ("raw", "strong_match"),
    [
        (b'"a,b"', True),
        (b"*", True),
        (b'"x", "a,b"', True),
        (b' , "x",, "a,b" ,', True),
        (b'"x","a,b","y"', True),
        (b'"x"', False),
        (b'W/"a,b"', False),
        (b'"a", "b"', False),
        (b"a,b", False),
        (b'"a,b', False),
        (b'"a,b" "x"', False),
        (b'"a,b", x', False),
        (b'"a,b", *', False),
        (b'w/"a,b"', False),
        (b'"A,B"', False),
        (b"", False),
        (b",", False),
    ],
)
def test_if_match_compares_strongly(raw: bytes, strong_match: bool) -> None:
    assert answer(b"GET", STRONG, if_match=raw) == (200 if strong_match else 412)


def test_a_weak_tag_never_matches_strongly() -> None:
    assert answer(b"GET", WEAK, if_match=b'W/"a"') == 412
    assert answer(b"GET", WEAK, if_match=b'"a"') == 412
    assert answer(b"GET", WEAK, if_match=b"*") == 200


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b'"a,b"', True),
        (b'W/"a,b"', True),
        (b"*", True),
        (b'"x" , W/"a,b"', True),
        (b'"x"', False),
        (b'"a"', False),
        (b'"a,b"x', False),
        (b"a,b", False),
    ],
)
def test_if_none_match_compares_weakly(method: bytes, raw: bytes, match: bool) -> None:
    refused = 304 if method in (b"GET", b"HEAD") else 412
    assert answer(method, STRONG, if_none_match=raw) == (refused if match else 200)


def test_a_weak_tag_matches_weakly_with_and_without_its_mark() -> None:
    assert answer(b"GET", WEAK, if_none_match=b'W/"a"') == 304
    assert answer(b"GET", WEAK, if_none_match=b'"a"') == 304


@pytest.mark.parametrize(
    ("date", "status"),
    [(BEFORE, 200), (SAME, 304), (AFTER, 304), (NO_DATE, 200), (b"", 200), (SAME + b", " + SAME, 200)],
)
def test_if_modified_since(date: bytes, status: int) -> None:
    assert answer(b"GET", STRONG, if_modified_since=date) == status
    assert answer(b"HEAD", STRONG, if_modified_since=date) == status
    assert answer(b"OPTIONS", STRONG, if_modified_since=date) == 200


@pytest.mark.parametrize(("date", "status"), [(BEFORE, 412), (SAME, 200), (AFTER, 200), (NO_DATE, 200)])
def test_if_unmodified_since(date: bytes, status: int) -> None:
    assert answer(b"GET", STRONG, if_unmodified_since=date) == status


def test_if_match_outranks_if_unmodified_since() -> None:
    assert answer(b"GET", STRONG, if_match=b"*", if_unmodified_since=BEFORE) == 200
    assert answer(b"GET", STRONG, if_match=b'"x"', if_unmodified_since=AFTER) == 412


def test_if_none_match_outranks_if_modified_since_even_when_it_cannot_be_read() -> None:
    assert answer(b"GET", STRONG, if_none_match=b'"x"', if_modified_since=AFTER) == 200
    assert answer(b"GET", STRONG, if_none_match=b"x", if_modified_since=AFTER) == 200
    assert answer(b"GET", STRONG, if_none_match=b'"a,b"', if_modified_since=BEFORE) == 304


def test_a_failed_if_match_is_412_before_if_none_match_is_asked() -> None:
    assert answer(b"GET", STRONG, if_match=b'"x"', if_none_match=b'"a,b"') == 412
    assert answer(b"GET", STRONG, if_unmodified_since=BEFORE, if_none_match=b'"a,b"') == 412
    assert answer(b"GET", STRONG, if_match=b'"a,b"', if_none_match=b'"a,b"') == 304
    assert answer(b"GET", STRONG, if_unmodified_since=SAME, if_modified_since=SAME) == 304


def test_without_conditions_the_request_is_performed() -> None:
    assert answer(b"GET", STRONG) == 200
    assert answer(b"GET", STRONG, range=b"bytes=0-1", if_range=b'"x"') == 200


def test_dates_mean_nothing_to_what_has_none() -> None:
    for date in (BEFORE, AFTER, http_date(0), NO_DATE):
        assert answer(b"GET", UNDATED, if_modified_since=date) == 200
        assert answer(b"GET", UNDATED, if_unmodified_since=date) == 200
    assert answer(b"GET", UNDATED, if_none_match=b'"a,b"', if_modified_since=BEFORE) == 304


def test_what_has_no_tag_matches_only_the_asterisk() -> None:
    for raw in (b'""', b'"a"', b"", b",", b'W/""'):
        assert answer(b"GET", NAMELESS, if_match=raw) == 412
        assert answer(b"GET", NAMELESS, if_none_match=raw) == 200
    assert answer(b"GET", NAMELESS, if_match=b"*") == 200
    assert answer(b"GET", NAMELESS, if_none_match=b"*") == 304


def test_an_empty_tag_is_a_tag() -> None:
    assert answer(b"GET", Validators(b'""', None), if_none_match=b'""') == 304
    assert answer(b"GET", Validators(b'""', None), if_match=b'""') == 200


def test_the_asterisk_beside_a_tag_is_no_list() -> None:
    assert answer(b"GET", STRONG, if_none_match=b'*, "a,b"') == 200
    assert answer(b"GET", STRONG, if_match=b'*, "a,b"') == 412


@pytest.mark.parametrize("form", [b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"])
def test_dates_in_the_two_old_forms_count(form: bytes) -> None:
    assert answer(b"GET", STRONG, if_modified_since=form) == 304
    assert answer(b"GET", STRONG, if_unmodified_since=form) == 200
    assert answer(b"GET", Validators(b'"x"', MTIME + 1), if_unmodified_since=form) == 412


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "if_match": st.sampled_from((b"*", b'"a,b"', b'W/"a,b"', b'"x"', b'"x", "a,b"', b"a")),
        "if_none_match": st.sampled_from((b"*", b'"a,b"', b'W/"a,b"', b'"x"', b'"x", "a,b"', b"a")),
        "if_modified_since": st.sampled_from((BEFORE, SAME, AFTER, NO_DATE)),
        "if_unmodified_since": st.sampled_from((BEFORE, SAME, AFTER, NO_DATE)),
    },
)


@given(st.sampled_from((b"GET", b"HEAD", b"OPTIONS")), CONDITIONS)
@example(b"GET", {"if_match": b'"x"', "if_none_match": b"*"})
def test_all_four_together_go_by_the_steps_of_the_rfc(method: bytes, conditions: dict[str, bytes]) -> None:
    met = {
        "if_match": {b"*": True, b'"a,b"': True, b'"x", "a,b"': True},
        "if_none_match": {b'"x"': True, b"a": True},
        "if_unmodified_since": {SAME: True, AFTER: True, NO_DATE: True},
        "if_modified_since": {BEFORE: True, NO_DATE: True},
    }
    holds = {name: met[name].get(value, False) for name, value in conditions.items()}
    # RFC 9110 13.2.2, steps 1 to 4; the last resort is step 6.
    if "if_match" in holds:
        step, expected = "if_match", 412
    else:
        step, expected = "if_unmodified_since", 412
    if holds.get(step, True):
        step = "if_none_match" if "if_none_match" in holds else "if_modified_since"
        expected = 304 if method in (b"GET", b"HEAD") else 412 if step == "if_none_match" else 200
        if holds.get(step, True):
            expected = 200
    assert answer(method, STRONG, **conditions) == expected


# If-Range.


def counts(validators: Validators, if_range: bytes | None, seen_seconds: int = MTIME + 1) -> bool:
    line = b"" if if_range is None else b"If-Range: %b\r\n" % if_range
    return range_counts(parse_fields(line + b"Range: bytes=0-1\r\n\r\n"), validators, seen_seconds)


def test_without_if_range_a_range_counts() -> None:
    assert counts(STRONG, None)
    assert counts(NAMELESS, None)


@pytest.mark.parametrize(
    "if_range", [b'"a"', b'W/"a,b"', b"*", b'"a,b", "a,b"', b'"a,b', b"a,b", b'"A,B"', b"", b'"a,b" x', b'w/"a,b"']
)
def test_if_range_is_one_strong_tag_or_the_range_is_ignored(if_range: bytes) -> None:
    assert counts(STRONG, b'"a,b"')
    assert not counts(STRONG, if_range)
    assert not counts(NAMELESS, if_range)


@pytest.mark.parametrize("if_range", [b'W/"a"', b'"a"'])
def test_a_weak_tag_of_ours_never_lets_a_range_count(if_range: bytes) -> None:
    assert not counts(WEAK, if_range)


@pytest.mark.parametrize(
    "date",
    [BEFORE, AFTER, NO_DATE, b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994", SAME + b", " + SAME],
)
def test_a_date_in_if_range_is_last_modified_to_the_letter(date: bytes) -> None:
    assert counts(STRONG, SAME)
    assert not counts(STRONG, date)


def test_a_date_in_if_range_is_strong_only_once_its_second_is_over() -> None:
    assert not counts(STRONG, SAME, seen_seconds=MTIME - 1)
    assert not counts(STRONG, SAME, seen_seconds=MTIME)
    assert counts(STRONG, SAME, seen_seconds=MTIME + 1)


def test_a_date_in_if_range_means_nothing_to_what_has_none() -> None:
    assert not counts(UNDATED, SAME)
    assert not counts(UNDATED, http_date(0))


def test_tags_on_two_lines_are_one_list() -> None:
    fields = parse_fields(b'If-None-Match: "x"\r\nIf-None-Match: "a,b"\r\n\r\n')
    assert evaluate(b"GET", fields, STRONG) == 304


OPAQUE = st.lists(st.sampled_from(b"!#,/Wa*\\\x80\xff~"), max_size=4).map(bytes)
TAGS = st.builds(lambda weak, opaque: weak + b'"' + opaque + b'"', st.sampled_from((b"", b"W/")), OPAQUE)


@given(st.lists(TAGS, min_size=1), st.lists(st.sampled_from((b",", b", ", b" ,\t", b",,", b" , , ")), min_size=1))
def test_a_list_of_tags_is_read_back_whatever_stands_between_them(tags: list[bytes], separators: list[bytes]) -> None:
    raw = b"".join(tag + separators[turn % len(separators)] for turn, tag in enumerate(tags))
    assert entity_tags(raw) == tags


@given(st.text('W/", a*', max_size=14).map(str.encode))
def test_what_is_found_in_any_list_stands_in_it_in_order(raw: bytes) -> None:
    at = 0
    for tag in entity_tags(raw):
        at = raw.index(tag, at) + len(tag)


def test_a_long_hostile_list_is_read_in_linear_time() -> None:
    assert entity_tags(b'"a",' * 4000 + b"x") == []
    assert entity_tags(b" ,\t" * 5000 + b'"') == []
