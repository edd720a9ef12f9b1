# Patterns over paths: which pages a rule is about.
#
#     /docs/*.html     * is any characters of one segment, or none
#     /old/**          ** is any number of whole segments, none included: /old itself too
#     /img/?.png       ? is one character of one segment
#     *.js             without a slash in front: in every folder, as /**/*.js
#
# Each * and ** that is written is also a capture, numbered from 1; a ? is none.
#
# Rule: matching takes time in proportion to path and pattern, never to a power of them: clients choose the paths. What
#       stands between two stars is taken where it is found first, and never looked for again; that loses no match, for
#       a later place would only leave less to what follows.
"""Globs that match paths and capture what their stars stood for."""

import re
from collections.abc import Callable, Sequence

# A longer one was not written by a person.
MAX_PATTERN_CHARACTERS = 1024
_ANY_SEGMENTS = "**"

# What the stars of one segment stand for, or None.
_MatchSegment = Callable[[str], "tuple[str, ...] | None"]


class BadGlob(ValueError):
    """A pattern that cannot be meant; the message says why."""


class Glob:
    """A pattern over decoded paths, which begin with a slash. `captures` is how many it has. Raises BadGlob."""

    def __init__(self, pattern: str) -> None:
        if not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS or not pattern.isprintable():
            raise BadGlob(f"a pattern has 1 to {MAX_PATTERN_CHARACTERS} printable characters")
        if "//" in pattern:
            raise BadGlob("no path has an empty segment: they are removed before")
        self.pattern = pattern
        self._implied = 0 if pattern.startswith("/") else 1
        segments = pattern.removeprefix("/").split("/")
        for segment in segments:
            if _ANY_SEGMENTS in segment and segment != _ANY_SEGMENTS:
                raise BadGlob("** stands for whole segments: only a slash may be beside it")
            if segment in (".", ".."):
                raise BadGlob(f"no path has the segment {segment}: such are removed before")
        self.captures = sum(1 if segment == _ANY_SEGMENTS else segment.count("*") for segment in segments)
        if self._implied:
            segments.insert(0, _ANY_SEGMENTS)
        # Between two ** stands a run of segments, at either end too; a run may be empty.
        self._runs: list[list[_MatchSegment]] = [[]]
        for segment in segments:
            if segment == _ANY_SEGMENTS:
                self._runs.append([])
            else:
                self._runs[-1].append(_segment(segment))

    def match(self, path: str) -> tuple[str, ...] | None:
        """What the stars stand for when the pattern matches all of `path`; None when it does not."""
        segments = path[1:].split("/")
        first, *others = self._runs
        found = _run_at(first, segments, 0)
        if found is None or (not others and len(first) != len(segments)):
            return None
        captured = list(found)
        at = len(first)
        for number, run in enumerate(others, start=1):
            last = len(segments) - len(run)
            # The last run stands at the end; any other where it is found first.
            places = range(last, last + 1) if number == len(others) else range(at, last + 1)
            for start in places if last >= at else ():
                found = _run_at(run, segments, start)
                if found is not None:
                    captured += ("/".join(segments[at:start]), *found)
                    at = start + len(run)
                    break
            else:
                return None
        return tuple(captured[self._implied :])


def _run_at(run: Sequence[_MatchSegment], segments: Sequence[str], start: int) -> tuple[str, ...] | None:
    """What the stars of `run` stand for in the segments from `start` on."""
    if start + len(run) > len(segments):
        return None
    captured: tuple[str, ...] = ()
    for match, segment in zip(run, segments[start : start + len(run)], strict=True):
        found = match(segment)
        if found is None:
            return None
        captured += found
    return captured


def _segment(pattern: str) -> _MatchSegment:
    """What matches one segment."""
    if "*" not in pattern and "?" not in pattern:
        return lambda segment: () if segment == pattern else None
    first, *others = ["".join("." if c == "?" else re.escape(c) for c in text) for text in pattern.split("*")]
    pieces = [first]
    pieces += [f"(?>(.*?){text})" for text in others[:-1]]
    pieces += [f"(.*){text}" for text in others[-1:]]
    fullmatch = re.compile("".join(pieces), re.DOTALL).fullmatch

    def match(segment: str) -> tuple[str, ...] | None:
        found = fullmatch(segment)
        return None if found is None else found.groups()

    return match
