# Which entries are hot, told while it is cheap to know.
#
# An answer is rendered once in each second in which it is asked for, so the shelf has seen whatever was asked for; the
# others have only cooled down. The heat of a key is its hits, each worth half of one that comes a minute later.
#
# Rule: a tick looks at what has stirred, a bounded number; the first to stir in a second are the hottest.
"""The heat of a worker's entries, and the list of the hottest for its successor."""

import heapq

from wsrv.engine.shm.hottest import MOST_KEYS, HotList
from wsrv.engine.worker.prepared import Shelf

_HALF_LIFE_NS = 60_000_000_000
_WRITE_NS = 1_000_000_000
# Hits grow in worth instead of the old ones being halved; past this, all are brought down.
_MOST_HALVINGS = 500.0


class Hottest:
    """Keeps `found`, if there is one, as the keys of `shelf` that are asked for most."""

    def __init__(self, shelf: Shelf, found: HotList | None) -> None:
        self._shelf = shelf
        self._found = found
        self._heat: dict[bytes, float] = {}
        self._since_ns = 0
        self._written_ns = 0
        # How many were held when the list was written.
        self._held = 0
        self._written: list[bytes] = []

    @property
    def written(self) -> int:
        """How many keys a successor would find."""
        return len(self._written)

    def tick(self, now_ns: int) -> None:
        """Take in what has stirred since the last call; now and then write the list down."""
        stirred = self._shelf.stirred
        if self._found is None or not (stirred or self._held != len(self._shelf.store)):
            stirred.clear()
            return
        worth = self._worth(now_ns)
        heat = self._heat
        for cached in filter(None, map(self._shelf.store.get, stirred)):
            asked = cached.hits + 1  # and the request that it was loaded for
            heat[cached.key] = heat.get(cached.key, 0.0) + (asked - cached.counted) * worth
            cached.counted = asked
        stirred.clear()
        if now_ns - self._written_ns >= _WRITE_NS:
            self._written_ns = now_ns
            self._held = len(self._shelf.store)
            self._write(self._found)

    def _worth(self, now_ns: int) -> float:
        """What a hit of now is worth, in hits of when this was last 1."""
        worth: float = 2.0 ** min(_MOST_HALVINGS, (now_ns - self._since_ns) / _HALF_LIFE_NS)
        if worth >= 2.0**_MOST_HALVINGS:
            self._since_ns = now_ns
            self._heat = {key: heat / worth for key, heat in self._heat.items()}
            return 1.0
        return worth

    def _write(self, found: HotList) -> None:
        held = self._shelf.store
        self._heat = {key: heat for key, heat in self._heat.items() if held.get(key) is not None}
        keys = heapq.nlargest(MOST_KEYS, self._heat, key=self._heat.__getitem__)
        if len(self._heat) > 2 * MOST_KEYS:
            self._heat = {key: self._heat[key] for key in keys}
        if keys != self._written:
            self._written = keys[: found.write(keys)]
