# What the cache of this worker holds, and why: the questions `entries`, `show` and `clear`.
#
# A path is shown as it stands in a URL, but for the characters that everybody can read: `/naïve%20x.txt`. So what is
# shown can be typed, and no name does anything to a terminal.
#
# Rule: a step looks at a few hundred entries at most, and a page is made of what fits a packet.
"""Describing the entries of a worker's cache, and dropping them."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from time import monotonic_ns
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote_to_bytes

from wsrv.engine.cache.policy import state_of
from wsrv.engine.cache.store import CLEARED, Departure
from wsrv.engine.http.negotiation import CODINGS
from wsrv.engine.ipc.question import Message
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.glob import Glob
from wsrv.engine.static.hosts import Host
from wsrv.engine.worker.hottest import Hottest
from wsrv.engine.worker.prepared import Cached, Shelf
from wsrv.engine.worker.questions import Handler, Steps
from wsrv.engine.worker.routes import key_of, parts_of

_STEP = 256
# With MOST_PAGE_BYTES in mind: a path has 4 KiB at most, each byte of it three characters.
_PAGE_BYTES = 32 * 1024
_PAGE_ENTRIES = 128
# Of the last departures, those that are told; and so many characters of their paths.
_TOLD = 20
_TOLD_CHARACTERS = 200
# The most that is sorted here; who wants more gets everything, as it comes.
MOST_SORTED = 1000
_NS = 1_000_000_000
# Who looks at many entries without showing one says so often that he is alive.
_REPORT_NS = 500_000_000


class Keyed(Protocol):
    """What a list is made of."""

    @property
    def key(self) -> bytes:
        """What it is held by."""


Entry = TypeVar("Entry", bound=Keyed)


def shown(path: bytes) -> str:
    """A path of a site, which has no slash in front, as people are shown it."""
    text = path.decode("utf-8", "surrogateescape")
    return "/" + "".join(
        character if character.isprintable() and character not in "% " else quote(character, errors="surrogateescape")
        for character in text
    )


def meant(text: str) -> bytes:
    """The path that was shown as `text`."""
    return unquote_to_bytes(text.removeprefix("/"))


def glob_of(question: Message) -> Glob | None:
    """The pattern of a question; None for everything. Raises BadGlob."""
    pattern = question.get("glob")
    return None if pattern is None else Glob(str(pattern))


class Inspection:
    """Answers questions about the cache behind `shelf`, and clears it."""

    def __init__(self, shelf: Shelf, hottest: Hottest) -> None:
        self._shelf = shelf
        self._hottest = hottest
        self._hosts: dict[bytes, Host] = {host.site.tag: host for host in shelf.hosts}

    def handlers(self) -> dict[str, Handler]:
        """What can be asked."""
        return {"entries": self.entries, "show": self.show, "clear": self.clear}

    # Questions.

    def entries(self, question: Message, now_ns: int) -> Steps:
        """The `top` entries by `sort` that match `glob`, or all of them, as they come; then what there is in all.

        Raises ValueError.
        """
        store = self._shelf.store
        return listed(
            question,
            self._held(glob_of(question)),
            {
                "hits": lambda cached: (cached.hits, cached.asked_ns),
                "bytes": lambda cached: len(cached.entity.body or b""),
                "weight": lambda cached: store.weight(cached.key),
                "age": lambda cached: -cached.since_ns,
                "last": lambda cached: cached.asked_ns,
            },
            # It may have left since.
            lambda cached: self.described(cached, now_ns) if store.get(cached.key) is cached else None,
            lambda: self._totals(now_ns),
        )

    def show(self, question: Message, now_ns: int) -> Steps:
        """Everything about what is held under a path, `key`, on any host and in any coding."""
        return self._show(meant(str(question.get("key", ""))), now_ns)

    def _show(self, path: bytes, now_ns: int) -> Steps:
        for tag in self._hosts:
            for coding in (b"", *CODINGS):
                cached = self._shelf.store.get(key_of(self._hosts[tag].site, path, coding))
                if cached is not None:
                    yield {"entries": [self.described(cached, now_ns) | self._details(cached, now_ns)]}
        return {"entries": []}

    def clear(self, question: Message, now_ns: int) -> Steps:
        """Drop what matches `glob`, or everything. Raises ValueError."""
        return self._clear(glob_of(question))

    def _clear(self, glob: Glob | None) -> Steps:
        store = self._shelf.store
        self._shelf.absent.clear()
        number = size = 0
        # First: what is cleared here must not be found there again.
        for step, (dropped, dropped_bytes) in enumerate(self._shelf.clear_shared(partial(matches, glob))):
            if step % _STEP == _STEP - 1:
                yield None
            number += dropped
            size += dropped_bytes
        for step, cached in enumerate(self._held(glob)):
            if step % _STEP == _STEP - 1:
                yield None
            if cached is not None:
                number += 1
                size += store.weight(cached.key)
                store.drop(cached.key, CLEARED)
        return {"entries": number, "weight": size}

    # Parts of answers.

    def _held(self, glob: Glob | None) -> Iterator[Cached | None]:
        """What is held when its turn comes, None for what does not match."""
        store = self._shelf.store
        for key in store.held():
            cached = store.get(key)
            if cached is not None and not matches(glob, cached.path):
                cached = None
            yield cached

    def described(self, cached: Cached, now_ns: int) -> Message:
        """An entry, in a line."""
        return {
            "path": shown(cached.path),
            "host": self._hosts[cached.site.tag].name,
            "coding": cached.entity.coding.decode(),
            "bytes": len(cached.entity.body or b""),
            "weight": self._shelf.store.weight(cached.key),
            "age_seconds": seconds(now_ns - cached.since_ns),
            "hits": cached.hits,
            "idle_seconds": seconds(now_ns - cached.asked_ns),
            "state": state_of(self._shelf.store.policy, cached.key),
        }

    def _details(self, cached: Cached, now_ns: int) -> Message:
        fresh_ns = self._shelf.fresh_for_ns(cached, now_ns)
        return {
            **details_of(cached.entity, now_ns - cached.checked_ns, fresh_ns),
            "prepared": [
                {"method": "HEAD" if head_only else "GET", "connection": connection.decode(), "hits": prepared.hits}
                for (head_only, connection), prepared in cached.answers.items()
            ],
            "lines": len(cached.lines),
        }

    def _totals(self, now_ns: int) -> Message:
        store = self._shelf.store
        return {
            "policy": store.policy.NAME,
            "objects": len(store),
            "size_bytes": store.size_bytes,
            "evictions": store.evictions,
            "negative": self._shelf.absent.count(now_ns),
            "bequeathed": self._hottest.written,
            "departures": told(store.departures, now_ns),
        }


def listed(
    question: Message,
    found: Iterable[Entry | None],
    orders: Mapping[str, Callable[[Entry], Any]],
    described: Callable[[Entry], Message | None],
    totals: Callable[[], Message],
) -> Steps:
    """Of `found`, where None stands for what does not match, the `top` of the `question` by `sort`, or all, as they
    come; then `totals`. `described` says None of what has left. Raises ValueError.
    """
    top, sort = question.get("top", 0), question.get("sort", "hits")
    if not isinstance(top, int) or not 0 <= top <= MOST_SORTED:
        raise ValueError(f"top is a number up to {MOST_SORTED}")
    if top and sort not in orders:
        raise ValueError(f"nobody sorts by {sort}; there are: {', '.join(orders)}")
    return _listed(found, top, orders[sort] if top else None, described, totals)


def _listed(
    found: Iterable[Entry | None],
    top: int,
    order: Callable[[Entry], Any] | None,
    described: Callable[[Entry], Message | None],
    totals: Callable[[], Message],
) -> Steps:
    best: list[tuple[Any, int, Entry]] = []
    page = _Page()
    matching = 0
    for number, entry in enumerate(found):
        if number % _STEP == _STEP - 1:
            yield page.take() if page.is_late() else None
        if entry is None:
            continue
        matching += 1
        if order is not None:
            place = heapq.heappush if len(best) < top else heapq.heappushpop
            place(best, (order(entry), number, entry))
            continue
        page.add(entry, described(entry))
        if page.is_full():
            yield page.take()
    for _, _, entry in sorted(best, reverse=True):
        page.add(entry, described(entry))
        if page.is_full():
            yield page.take()
    yield page.take()
    return {"entries": [], "matching": matching, **totals()}


class _Page:
    """Descriptions, up to what fits a packet."""

    def __init__(self) -> None:
        self._entries: list[Message] = []
        self._key_bytes = 0
        self._taken_ns = monotonic_ns()

    def add(self, entry: Keyed, described: Message | None) -> None:
        if described is not None:
            self._entries.append(described)
            self._key_bytes += len(entry.key)

    def is_full(self) -> bool:
        return len(self._entries) == _PAGE_ENTRIES or self._key_bytes > _PAGE_BYTES // 4

    def is_late(self) -> bool:
        return monotonic_ns() - self._taken_ns > _REPORT_NS

    def take(self) -> Message:
        taken, self._entries, self._key_bytes = self._entries, [], 0
        self._taken_ns = monotonic_ns()
        return {"entries": taken}


def details_of(entity: Entity, checked_ns: int, fresh_ns: int) -> Message:
    """What there is to say of `entity`, looked at `checked_ns` ago and good for `fresh_ns` more."""
    return {
        "file": shown(entity.path),
        "type": entity.content_type.decode("latin-1"),
        "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in entity.fields],
        "etag": entity.etag.decode("latin-1"),
        "last_modified": entity.last_modified.decode("latin-1"),
        "identity": None if entity.identity is None else entity.identity._asdict(),
        "checked_seconds": seconds(checked_ns),
        "fresh_seconds": seconds(fresh_ns),
    }


def matches(glob: Glob | None, path: bytes) -> bool:
    """Whether `path` is one of those that are meant."""
    return glob is None or glob.match(shown(path)) is not None


def told(departures: Iterable[Departure], now_ns: int, plain: Callable[[bytes], bytes] = bytes) -> list[Message]:
    """The last of `departures`; `plain` makes the key of a worker of theirs."""
    return [
        {
            "seconds_ago": seconds(max(0, now_ns - departure.at_ns)),
            **_split(plain(departure.key)),
            "weight": departure.weight,
            "reason": departure.reason,
            "pushed_by": None if departure.pushed_by is None else _split(plain(departure.pushed_by))["path"],
        }
        for departure in list(departures)[-_TOLD:]
    ]


def _split(key: bytes) -> Message:
    path, coding, _ = parts_of(key)
    return {"path": shown(path)[:_TOLD_CHARACTERS], "coding": coding.decode()}


def seconds(ns: int) -> float:
    """So many nanoseconds in seconds, to the millisecond."""
    return round(ns / _NS, 3)
