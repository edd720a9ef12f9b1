# What the cache of this worker holds, and why: the questions `entries`, `show` and `clear`.
#
# A path is shown as it stands in a URL, but for the characters that everybody can read: `/naïve%20x.txt`. So what is
# shown can be typed, and no name does anything to a terminal.
#
# Rule: a step looks at a few hundred entries at most, and a page is made of what fits a packet.
"""Describing the entries of a worker's cache, and dropping them."""

import heapq
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from wsrv.engine.cache.policy import state_of
from wsrv.engine.cache.store import CLEARED, Departure
from wsrv.engine.http.negotiation import CODINGS
from wsrv.engine.ipc.question import Message
from wsrv.engine.static.glob import Glob
from wsrv.engine.static.hosts import Host
from wsrv.engine.worker.hottest import Hottest
from wsrv.engine.worker.prepared import Cached, Shelf
from wsrv.engine.worker.questions import Handler, Steps
from wsrv.engine.worker.routes import key_of

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

Sorting = Callable[[Cached], Any]


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
        self._orders: dict[str, Sorting] = {
            "hits": lambda cached: (cached.hits, cached.asked_ns),
            "bytes": lambda cached: len(cached.entity.body or b""),
            "weight": lambda cached: shelf.store.weight(cached.key),
            "age": lambda cached: -cached.since_ns,
            "last": lambda cached: cached.asked_ns,
        }

    def handlers(self) -> dict[str, Handler]:
        """What can be asked."""
        return {"entries": self.entries, "show": self.show, "clear": self.clear}

    # Questions.

    def entries(self, question: Message, now_ns: int) -> Steps:
        """The `top` entries by `sort` that match `glob`, or all of them, as they come; then what there is in all.

        Raises ValueError.
        """
        glob, top = glob_of(question), question.get("top", 0)
        sort = question.get("sort", "hits")
        if not isinstance(top, int) or not 0 <= top <= MOST_SORTED:
            raise ValueError(f"top is a number up to {MOST_SORTED}")
        if top and sort not in self._orders:
            raise ValueError(f"nobody sorts by {sort}; there are: {', '.join(self._orders)}")
        return self._entries(glob, top, self._orders.get(sort), now_ns)

    def _entries(self, glob: Glob | None, top: int, order: Sorting | None, now_ns: int) -> Steps:
        found: list[tuple[Any, bytes]] = []
        page: list[Message] = []
        length = matching = 0
        for number, cached in enumerate(self._held(glob)):
            if number % _STEP == _STEP - 1:
                yield None
            if cached is None:
                continue
            matching += 1
            if top and order is not None:
                place = heapq.heappush if len(found) < top else heapq.heappushpop
                place(found, (order(cached), cached.key))
                continue
            page.append(self.described(cached, now_ns))
            length += len(cached.key)
            if len(page) == _PAGE_ENTRIES or length > _PAGE_BYTES // 4:
                yield {"entries": page}
                page, length = [], 0
        for _, key in sorted(found, reverse=True):
            # It may have left since.
            if (cached := self._shelf.store.get(key)) is not None:
                page.append(self.described(cached, now_ns))
                length += len(key)
            if len(page) == _PAGE_ENTRIES or length > _PAGE_BYTES // 4:
                yield {"entries": page}
                page, length = [], 0
        if page:
            yield {"entries": page}
        return {"entries": [], "matching": matching, **self._totals(now_ns)}

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
        number = size = 0
        # First: what is cleared here must not be found there again.
        for step, (dropped, dropped_bytes) in enumerate(self._shelf.clear_shared(partial(_matches, glob))):
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
            if cached is not None and not _matches(glob, cached.path):
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
            "age_seconds": _seconds(now_ns - cached.since_ns),
            "hits": cached.hits,
            "idle_seconds": _seconds(now_ns - cached.asked_ns),
            "state": state_of(self._shelf.store.policy, cached.key),
        }

    def _details(self, cached: Cached, now_ns: int) -> Message:
        entity = cached.entity
        identity = entity.identity
        return {
            "file": shown(entity.path),
            "type": entity.content_type.decode("latin-1"),
            "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in entity.fields],
            "etag": entity.etag.decode("latin-1"),
            "last_modified": entity.last_modified.decode("latin-1"),
            "identity": None if identity is None else identity._asdict(),
            "checked_seconds": _seconds(now_ns - cached.checked_ns),
            "fresh_seconds": _seconds(self._shelf.fresh_for_ns(cached, now_ns)),
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
            "bequeathed": self._hottest.written,
            "departures": [_told(departure, now_ns) for departure in list(store.departures)[-_TOLD:]],
        }


def _matches(glob: Glob | None, path: bytes) -> bool:
    return glob is None or glob.match(shown(path)) is not None


def _told(departure: Departure, now_ns: int) -> Message:
    return {
        "seconds_ago": _seconds(max(0, now_ns - departure.at_ns)),
        **_split(departure.key),
        "weight": departure.weight,
        "reason": departure.reason,
        "pushed_by": None if departure.pushed_by is None else _split(departure.pushed_by)["path"],
    }


def _split(key: bytes) -> Message:
    path, _, rest = key.partition(b"\0")
    coding = rest.partition(b"\0")[0]
    return {"path": shown(path)[:_TOLD_CHARACTERS], "coding": coding.decode()}


def _seconds(ns: int) -> float:
    return round(ns / _NS, 3)
