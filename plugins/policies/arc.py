# Recency and frequency in two queues whose sizes teach themselves.
#
#   once:   [ ghosts of once  ][ once  ... ] <- new            target: bytes that `once` may have
#   twice:  [ ghosts of twice ][ twice ... ] <- asked for again
#
# The paper's names: T1, B1, T2, B2 and p. A request for a ghost says which queue was too short, and moves the target.
# All four are OrderedDicts of weights, oldest first.
"""Cache policy `arc`."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed

Queue = OrderedDict[bytes, int]


class Arc(Weighed):
    """Adaptive replacement cache (Megiddo, Modha: "ARC: a self-tuning, low overhead replacement cache", FAST '03).

    Departs from the paper: weights are bytes, and so are the lengths of the queues and the target, which one request
    for a ghost moves by its weight times the ratio of the paper; so one admission may evict several keys, of which the
    bounds of the directory (once with its ghosts: the capacity; everything: twice that) are kept. With equal weights
    it is the paper's.
    """

    NAME: ClassVar[str] = "arc"

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._once: Queue = OrderedDict()
        self._twice: Queue = OrderedDict()
        self._once_ghosts: Queue = OrderedDict()
        self._twice_ghosts: Queue = OrderedDict()
        self._once_bytes = 0
        self._once_ghost_bytes = 0
        self._twice_ghost_bytes = 0
        self._target_bytes = 0.0

    def hit(self, key: bytes) -> None:
        """`key` becomes the youngest of those asked for twice. KeyError when it is not held."""
        try:
            self._twice.move_to_end(key)
        except KeyError:
            weight = self._once.pop(key)
            self._once_bytes -= weight
            self._twice[key] = weight

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key`; a ghost comes among those asked for twice. Refused only when heavier than everything."""
        room = self._capacity_bytes - weight
        if room < 0:
            return [key]
        victims: list[bytes] = []
        if key in self._once_ghosts:
            ratio = max(1.0, self._twice_ghost_bytes / (self._once_ghost_bytes or 1))
            self._target_bytes = min(float(self._capacity_bytes), self._target_bytes + weight * ratio)
            self._once_ghost_bytes -= self._once_ghosts.pop(key)
            self._make_room(room, victims)
            self._twice[key] = weight
        elif key in self._twice_ghosts:
            ratio = max(1.0, self._once_ghost_bytes / (self._twice_ghost_bytes or 1))
            self._target_bytes = max(0.0, self._target_bytes - weight * ratio)
            self._twice_ghost_bytes -= self._twice_ghosts.pop(key)
            self._make_room(room, victims, at_the_target=True)
            self._twice[key] = weight
        else:
            self._shorten_once(room, victims)
            self._make_room(room, victims)
            self._once[key] = weight
            self._once_bytes += weight
        self._weights[key] = weight
        self._weight_bytes += weight
        self._shorten_the_directory()
        return victims

    def _shorten_once(self, room: int, victims: list[bytes]) -> None:
        """Keep once and its ghosts within the capacity: ghosts go, and without any left the oldest, ghostless."""
        while self._once_ghosts and self._once_bytes + self._once_ghost_bytes > room:
            self._once_ghost_bytes -= self._once_ghosts.popitem(last=False)[1]
        while self._once_bytes > room:
            key, weight = self._once.popitem(last=False)
            self._once_bytes -= weight
            self._let_go(key, weight, victims)

    def _make_room(self, room: int, victims: list[bytes], at_the_target: bool = False) -> None:
        """REPLACE of the paper, until no more than `room` is held."""
        while self._weight_bytes > room:
            over = self._once_bytes > self._target_bytes or (at_the_target and self._once_bytes == self._target_bytes)
            if self._once and (over or not self._twice):
                key, weight = self._once.popitem(last=False)
                self._once_bytes -= weight
                self._once_ghosts[key] = weight
                self._once_ghost_bytes += weight
            else:
                key, weight = self._twice.popitem(last=False)
                self._twice_ghosts[key] = weight
                self._twice_ghost_bytes += weight
            self._let_go(key, weight, victims)

    def _let_go(self, key: bytes, weight: int, victims: list[bytes]) -> None:
        del self._weights[key]
        self._weight_bytes -= weight
        victims.append(key)

    def _shorten_the_directory(self) -> None:
        """Everything known, ghosts and all, weighs no more than twice the capacity."""
        most = 2 * self._capacity_bytes - self._weight_bytes
        while self._twice_ghosts and self._once_ghost_bytes + self._twice_ghost_bytes > most:
            self._twice_ghost_bytes -= self._twice_ghosts.popitem(last=False)[1]

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held; it becomes no ghost."""
        if key in self._weights:
            weight = self._weights.pop(key)
            self._weight_bytes -= weight
            if key in self._once:
                del self._once[key]
                self._once_bytes -= weight
            else:
                del self._twice[key]

    def state(self, key: bytes) -> dict[str, object]:
        """Whether it was asked for once, or again. KeyError when it is not held."""
        self._weights[key]
        return {"queue": "twice" if key in self._twice else "once"}

    def order(self) -> Iterable[bytes]:
        """Those asked for once, then the others; in each, the one asked for longest ago first."""
        return (*self._once, *self._twice)

    def check_invariants(self) -> None:
        """Each key stands in one queue with its weight; the paper's bounds of the directory hold."""
        super().check_invariants()
        self._check_keys([*self._once, *self._twice], "queues")
        assert self._once | self._twice == self._weights, "a queue has another weight for a key"
        ghosts = [*self._once_ghosts, *self._twice_ghosts]
        assert len(set(ghosts)) == len(ghosts), "a key is a ghost twice"
        assert not self._weights.keys() & set(ghosts), "a key is held and a ghost"
        for queue, weight_bytes, name in (
            (self._once, self._once_bytes, "once"),
            (self._once_ghosts, self._once_ghost_bytes, "the ghosts of once"),
            (self._twice_ghosts, self._twice_ghost_bytes, "the ghosts of twice"),
        ):
            assert weight_bytes == sum(queue.values()), f"{name}: added up wrong"
        capacity_bytes = self._capacity_bytes
        assert 0 <= self._target_bytes <= capacity_bytes, f"the target is {self._target_bytes}"
        assert self._once_bytes + self._once_ghost_bytes <= capacity_bytes, "once and its ghosts are too long"
        known_bytes = self._weight_bytes + self._once_ghost_bytes + self._twice_ghost_bytes
        assert known_bytes <= 2 * capacity_bytes, f"the directory weighs {known_bytes} bytes"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Arc]
