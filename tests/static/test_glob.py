"""Globs against a slow matcher that tries everything, and what cannot be a pattern."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.static.glob import BadGlob, Glob


def _segment_matches(pattern: str, segment: str) -> bool:
    if not pattern:
        return not segment
    if pattern[0] == "*":
        return any(_segment_matches(pattern[1:], segment[i:]) for i in range(len(segment) + 1))
    return bool(segment) and pattern[0] in ("?", segment[0]) and _segment_matches(pattern[1:], segment[1:])


def slowly(pattern: list[str], path: list[str]) -> bool:
    """Whether the segments match: everything is tried."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(slowly(pattern[1:], path[i:]) for i in range(len(path) + 1))
    return bool(path) and _segment_matches(pattern[0], path[0]) and slowly(pattern[1:], path[1:])


SEGMENT = st.one_of(
    st.just("**"),
    st.text("ab?*.", min_size=0, max_size=5).filter(lambda s: "**" not in s and s not in (".", "..")),
)
PATTERN = st.lists(SEGMENT, min_size=1, max_size=5).map(lambda s: "/" + "/".join(s)).filter(lambda p: "//" not in p)
PATH = st.lists(st.text("ab.", max_size=5), min_size=1, max_size=6).map(lambda s: "/" + "/".join(s))


@settings(max_examples=400, deadline=None)
@given(PATTERN, PATH)
def test_match_agrees_with_trying_everything(pattern: str, path: str) -> None:
    expected = slowly(pattern[1:].split("/"), path[1:].split("/"))
    assert (Glob(pattern).match(path) is not None) == expected


@settings(max_examples=400, deadline=None)
@given(PATTERN, PATH)
def test_captures_put_back_into_the_pattern_give_the_path(pattern: str, path: str) -> None:
    glob = Glob(pattern)
    found = glob.match(path)
    if found is None or "?" in pattern:
        return
    assert len(found) == glob.captures
    # A ** that stands for nothing takes its slash with it.
    stars = iter(found)
    segments = []
    for segment in pattern[1:].split("/"):
        if segment != "**":
            segments.append("".join(next(stars) if c == "*" else c for c in segment))
        elif text := next(stars):
            segments.append(text)
    rebuilt = "/" + "/".join(segments)
    assert rebuilt.rstrip("/") == path.rstrip("/") or "//" in path


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("/old/**", "/old/a/b", ("a/b",)),
        ("/old/**", "/old/", ("",)),
        ("/old/**", "/old", ("",)),
        ("/old/**", "/older", None),
        ("/**", "/", ("",)),
        ("/**", "/a/b/", ("a/b/",)),
        ("/*", "/", ("",)),
        ("/*", "/a/", None),
        ("/*-*.html", "/a-b-c.html", ("a", "b-c")),
        ("/a/**/b/*.js", "/a/x/y/b/z.js", ("x/y", "z")),
        ("/a/**/b", "/a/b", ("",)),
        ("/?.png", "/é.png", ()),
        ("/?.png", "/\udcff.png", ()),
        ("/a?b", "/a/b", None),
        ("*.js", "/x/y.js", ("y",)),
        ("*.js", "/y.js", ("y",)),
        ("private/**", "/a/private/b", ("b",)),
        ("/a.b", "/a+b", None),
        ("/*", "/a\nb", ("a\nb",)),
        ("/**/", "/a/", ("a",)),
    ],
)
def test_captures(pattern: str, path: str, captured: tuple[str, ...] | None) -> None:
    assert Glob(pattern).match(path) == captured


@pytest.mark.parametrize("pattern", ["", "//", "/a//b", "/a**", "/**a/", "/../a", "/./a", "/a\nb", "/a\0", "x" * 1025])
def test_what_cannot_be_a_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadGlob):
        Glob(pattern)


def test_no_path_makes_matching_explode() -> None:
    # With a matcher that goes back to an earlier star this would not end before the machine does.
    pattern = "/" + "/".join(["**", "*a*a*a*a*a*b"] * 8)
    path = "/" + "/".join(["a" * 60] * 60)
    assert Glob(pattern).match(path) is None
    assert Glob("/" + "*a" * 40 + "*b").match("/" + "a" * 4000) is None
