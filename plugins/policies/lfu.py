# What was asked for least often leaves first; of equals, the one that has been an equal for longest.
#
#   1: a, d, k   <->   2: c   <->   7: b, e        levels, by frequency; the keys of each in order of arrival there
#
# Levels are a doubly linked list without gaps to search: a hit moves a key to the level above, made if it is missing,
# and a level that is left empty goes. So hit, admit and remove are O(1) (Shah, Mitra, Matani).
"""Cache policy `lfu`."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed


class Level:
    """Keys of one frequency, and the levels next to it. The lowest is frequency 0: it is empty and always there."""

    __slots__ = ("above", "below", "frequency", "keys")

    def __init__(self, frequency: int, below: "Level | None") -> None:
        self.frequency = frequency
        self.keys: OrderedDict[bytes, None] = OrderedDict()
        self.below = below
        self.above: Level | None = None
        if below is not None:
            self.above, below.above = below.above, self
            if self.above is not None:
                self.above.below = self

    def unlink(self) -> None:
        """Take it out of the list."""
        if self.below is not None:
            self.below.above = self.above
        if self.above is not None:
            self.above.below = self.below


class Lfu(Weighed):
    """Least frequently used, in constant time (Shah, Mitra, Matani: "An O(1) algorithm for implementing the LFU cache
    eviction scheme", 2010). A key's frequency counts from its admission and is forgotten when it leaves; nothing ages.

    Departs from the paper: weights are bytes, so one admission may evict several keys; ties are settled, first in,
    first out. Evicts before it inserts.
    """

    NAME: ClassVar[str] = "lfu"

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._ground = Level(0, None)
        self._levels: dict[bytes, Level] = {}

    def hit(self, key: bytes) -> None:
        """Move `key` one level up. KeyError when it is not held."""
        level = self._levels[key]
        above = level.above
        higher = level.frequency + 1
        if above is None or above.frequency != higher:
            if len(level.keys) == 1:  # nobody else is here: the level itself goes up
                level.frequency = higher
                return
            above = Level(higher, level)
        del level.keys[key]
        above.keys[key] = None
        self._levels[key] = above
        if not level.keys:
            level.unlink()

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key` with frequency 1; the lowest leave until it fits. Refused only when heavier than everything."""
        room = self._capacity_bytes - weight
        if room < 0:
            return [key]
        victims = []
        while self._weight_bytes > room:
            lowest = self._ground.above
            assert lowest is not None, "weight without keys"
            victim, _ = lowest.keys.popitem(last=False)
            if not lowest.keys:
                lowest.unlink()
            del self._levels[victim]
            self._weight_bytes -= self._weights.pop(victim)
            victims.append(victim)
        first = self._ground.above
        if first is None or first.frequency != 1:
            first = Level(1, self._ground)
        first.keys[key] = None
        self._levels[key] = first
        self._weights[key] = weight
        self._weight_bytes += weight
        return victims

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held, and how often it was asked for."""
        level = self._levels.pop(key, None)
        if level is not None:
            del level.keys[key]
            if not level.keys:
                level.unlink()
            self._weight_bytes -= self._weights.pop(key)

    def state(self, key: bytes) -> dict[str, object]:
        """How often it was asked for. KeyError when it is not held."""
        return {"frequency": self._levels[key].frequency}

    def order(self) -> Iterable[bytes]:
        """Level by level."""
        level = self._ground.above
        while level is not None:
            yield from level.keys
            level = level.above

    def check_invariants(self) -> None:
        """Walk the levels: rising, linked both ways, none empty, each key in the one that it believes itself in."""
        super().check_invariants()
        found: list[bytes] = []
        below, level = self._ground, self._ground.above
        while level is not None:
            assert level.below is below, f"level {level.frequency} is not linked to the one below"
            assert level.frequency > below.frequency, f"level {level.frequency} stands above {below.frequency}"
            assert level.keys, f"level {level.frequency} is empty"
            for key in level.keys:
                assert self._levels.get(key) is level, f"{key!r} stands in a level that is not its own"
            found += level.keys
            below, level = level, level.above
        self._check_keys(found, "levels")
        assert self._levels.keys() == self._weights.keys(), "levels are known for other keys than those held"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Lfu]
