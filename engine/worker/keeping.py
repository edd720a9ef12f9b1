# The keeper's process: it goes round, and answers what the master asks about the shared cache.
#
# Rule 1: a round comes first, then answers, for a millisecond at most: room for what workers store is what it is for.
# Rule 2: entries are shown as they are when they are looked at; nothing is held up for a list.
"""The process of the shared cache's keeper."""

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from time import monotonic_ns

from wsrv.engine.cache.policy import Policy, state_of
from wsrv.engine.cache.shared.arena import BLOCK_BYTES, CONTENT, ENTRIES, EVICTIONS, FREE_BLOCKS, Arena, WriterLock
from wsrv.engine.cache.shared.keeper import Keeper, policy_bytes
from wsrv.engine.cache.shared.reading import Listed, Reader
from wsrv.engine.ipc.question import Message
from wsrv.engine.worker.inspection import details_of, glob_of, listed, matches, meant, seconds, shown, told
from wsrv.engine.worker.questions import Handler, Questions, Steps
from wsrv.engine.worker.routes import parts_of
from wsrv.engine.worker.sharedshelf import entity_of, key_of_shared

# How long the keeper sleeps: after a round with something to do, and after one without.
_ROUND_SECONDS = 0.05
_NAP_SECONDS = 0.25


class SharedInspection:
    """Answers questions about the arena that `keeper` keeps. `hosts`: the names of sites, by their tags."""

    def __init__(
        self, arena: Arena, lock: WriterLock, keeper: Keeper, hosts: Mapping[bytes, str], revalidate_ns: int
    ) -> None:
        self._arena = arena
        self._reader = Reader(arena, lock)
        self._keeper = keeper
        self._hosts = hosts
        self._revalidate_ns = revalidate_ns

    def handlers(self) -> dict[str, Handler]:
        """What can be asked."""
        return {"entries": self.entries, "show": self.show}

    def entries(self, question: Message, now_ns: int) -> Steps:
        """As a worker's answer, of what is held for all. Raises ValueError."""
        glob = glob_of(question)
        return listed(
            question,
            (entry if matches(glob, _path(entry)) else None for entry in self._reader.entries()),
            {
                "hits": lambda entry: (entry.hits, entry.last_hit_ns),
                "bytes": lambda entry: entry.body_bytes,
                "weight": lambda entry: entry.real_bytes,
                "age": lambda entry: -entry.stored_ns,
                "last": _asked_ns,
            },
            lambda entry: self._described(entry, now_ns),
            lambda: self._totals(now_ns),
        )

    def show(self, question: Message, now_ns: int) -> Steps:
        """As a worker's answer: everything about what is held for all under a path."""
        return self._show(meant(str(question.get("key", ""))), now_ns)

    def _show(self, path: bytes, now_ns: int) -> Steps:
        return (
            yield from listed(
                {},
                (entry if _path(entry) == path else None for entry in self._reader.entries()),
                {},
                lambda entry: self._detailed(entry, now_ns),
                dict,
            )
        )

    def _described(self, entry: Listed, now_ns: int) -> Message:
        path, coding, tag = parts_of(key_of_shared(entry.key))
        key, policy = entry.tag.to_bytes(8, "little"), self._keeper.policy
        return {
            "path": shown(path),
            "host": self._hosts.get(tag, ""),
            "coding": coding.decode(),
            "bytes": entry.body_bytes,
            "weight": entry.real_bytes,
            "age_seconds": seconds(max(0, now_ns - entry.stored_ns)),
            "hits": entry.hits,
            "idle_seconds": seconds(max(0, now_ns - _asked_ns(entry))),
            # What was stored a moment ago the policy does not know yet.
            "state": state_of(policy, key) if key in policy else {},
        }

    def _detailed(self, entry: Listed, now_ns: int) -> Message | None:
        held = self._reader.get(entry.key)
        if held is None:
            return None
        checked_ns = max(0, now_ns - held.checked_ns)
        details = details_of(entity_of(held), checked_ns, max(0, self._revalidate_ns - checked_ns))
        return {**self._described(entry, now_ns), **details, "prepared": [], "lines": 0}

    def _totals(self, now_ns: int) -> Message:
        header = self._arena.header
        return {
            "policy": self._keeper.policy.NAME,
            "objects": header[ENTRIES],
            "size_bytes": (self._arena.blocks - header[FREE_BLOCKS]) * BLOCK_BYTES,
            "logical_bytes": header[CONTENT],
            "evictions": header[EVICTIONS],
            "bequeathed": 0,
            "departures": told(self._keeper.departures, now_ns, key_of_shared),
        }


def _path(entry: Listed) -> bytes:
    return parts_of(key_of_shared(entry.key))[0]


def _asked_ns(entry: Listed) -> int:
    return entry.last_hit_ns or entry.stored_ns


def serve_cache(
    arena: Arena,
    lock: WriterLock,
    make_policy: Callable[[int], Policy],
    bell: int,
    lifeline: int,
    asked: socket.socket,
    hosts: Mapping[bytes, str],
    revalidate_ns: int,
) -> None:
    """Be the keeper: the body of its process. The master asks on `asked`. Ends with the lifeline, as the log writer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(arena, lock, make_policy(policy_bytes(arena)))
    inspection = SharedInspection(arena, lock, keeper, hosts, revalidate_ns)
    with select.epoll() as epoll:
        epoll.register(bell, select.EPOLLIN)
        epoll.register(lifeline, select.EPOLLIN)
        questions = Questions(asked, epoll, inspection.handlers())
        questions.listen()
        for fd in _rounds(keeper, epoll):
            if fd == lifeline:
                return
            if fd == bell:
                os.eventfd_read(bell)
            elif fd == questions.fileno():
                questions.turn(monotonic_ns())


def _rounds(keeper: Keeper, epoll: select.epoll) -> Iterator[int]:
    """Go round for ever; what is ready in between."""
    while True:
        pause_seconds = _ROUND_SECONDS if keeper.turn() else _NAP_SECONDS
        for fd, _ in epoll.poll(pause_seconds):
            yield fd
