# Who comes in must have been asked for more often than those who would leave for it.
#
#   new ──> window (1 %, LRU) ──candidate──> main (99 %): probation ──asked for──> protected (80 % of main)
#                                  │             ^ its oldest are the victims   <──too long──┘
#                                  └── loses: leaves
#
# The frequency of what is held is exact, in `_counts`; that of the rest is in a sketch. A key takes its count along
# when it comes and leaves it there when it goes, so that a hit touches a dict and no sketch.
"""Cache policy `wtinylfu`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.sketch import MOST, Sketch
from wsrv.plugins.policies.weighed import Weighed

Queue = OrderedDict[bytes, int]

WINDOW_SHARE = 0.01
PROTECTED_SHARE = 0.8

# All counts are halved after this many requests for each key held (10 in Caffeine, too), and no sooner than this.
SAMPLES_A_KEY = 10
FEWEST_SAMPLES = 640

# Cells in a row of the sketch for each key held: the sample has up to ten times as many keys.
CELLS_A_KEY = 8


class WTinyLfu(Weighed):
    """W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: a highly efficient cache admission policy", ACM Transactions on
    Storage 13:4, 2017), with the byte weights of Einziger, Eytan, Friedman, Manes: "Lightweight robust size aware
    cache management", ACM Transactions on Storage 18:3, 2022: a candidate is compared with the sum of the
    frequencies of all that would leave for it.

    Departs from the papers: frequencies of keys that are held are exact; the sketch holds the others, grows with the
    number of keys, and has no doorkeeper. The window does not adapt, and lends what it does not use. Nothing is random.
    What is heavier than the window's share is a candidate at once.

    O(1) a hit, but for those that protected sends back: as many as weigh what comes in. An admission looks at those
    that would leave for it, O(1) where weights are alike; counts are halved so seldom that it is O(1) a request.
    """

    NAME: ClassVar[str] = "wtinylfu"

    # A function over the queues, made in __init__: a method would look them up in the object first.
    hit: Callable[[bytes], None]

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._window_share_bytes = int(capacity_bytes * WINDOW_SHARE)
        self._protected_share_bytes = int((capacity_bytes - self._window_share_bytes) * PROTECTED_SHARE)
        self._window: Queue = OrderedDict()
        self._probation: Queue = OrderedDict()
        self._protected: Queue = OrderedDict()
        self._window_bytes = 0
        self._protected_bytes = 0
        self._sketch = Sketch()
        self._samples = 0
        counts: dict[bytes, int] = {}
        self._counts = counts
        window, make_younger, promote = self._window, self._protected.move_to_end, self._promote

        def hit(key: bytes) -> None:
            try:
                make_younger(key)
            except KeyError:
                if key in window:
                    window.move_to_end(key)
                else:
                    promote(key)
            times = counts[key]
            if times < MOST:
                counts[key] = times + 1
                self._samples += 1

        self.hit = hit

    def _promote(self, key: bytes) -> None:
        """From probation to protected; the oldest protected ones that are too many go back."""
        weight = self._probation.pop(key)
        self._protected[key] = weight
        self._protected_bytes += weight
        while self._protected_bytes > self._protected_share_bytes:
            oldest, oldest_weight = self._protected.popitem(last=False)
            self._protected_bytes -= oldest_weight
            self._probation[oldest] = oldest_weight

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key`; it, or what the window pushes out for it, contends for a place in the main part.

        Refused when heavier than everything, or when it contends at once and loses.
        """
        self._age()
        times = min(self._sketch.count(key) + 1, MOST)
        self._samples += 1
        if weight > self._capacity_bytes:
            self._sketch.raise_to(key, times)
            return [key]
        self._counts[key] = times
        self._weights[key] = weight
        self._weight_bytes += weight
        victims: list[bytes] = []
        if weight > self._window_share_bytes:
            self._contend(key, weight, victims)
            return victims
        self._window[key] = weight
        self._window_bytes += weight
        while self._window_bytes > self._window_share_bytes or self._weight_bytes > self._capacity_bytes:
            candidate, candidate_weight = self._window.popitem(last=False)
            self._window_bytes -= candidate_weight
            self._contend(candidate, candidate_weight, victims)
        return victims

    def _contend(self, candidate: bytes, weight: int, victims: list[bytes]) -> None:
        """Take `candidate`, counted in `_weight_bytes` and in no queue, into the main part; or let it go."""
        too_many_bytes = self._weight_bytes - self._capacity_bytes
        if too_many_bytes > 0:
            others = self._who_would_leave(too_many_bytes, self._counts[candidate])
            if others is None:
                self._let_go(candidate, victims)
                return
            for other in others:
                self._take_out(other)
                self._let_go(other, victims)
        self._probation[candidate] = weight

    def _who_would_leave(self, weight_bytes: int, times: int) -> list[bytes] | None:
        """Those next to leave that weigh `weight_bytes`; None when they were asked for `times` or more, all together.

        The window's come last: what is nearly as heavy as the capacity has no room beside them.
        """
        found: list[bytes] = []
        for queue in (self._probation, self._protected, self._window):
            for key, weight in queue.items():
                times -= self._counts[key]
                if times <= 0:
                    return None
                found.append(key)
                weight_bytes -= weight
                if weight_bytes <= 0:
                    return found
        raise AssertionError("what is held weighs less than it is thought to")

    def _take_out(self, key: bytes) -> None:
        """Out of its queue."""
        if key in self._probation:
            del self._probation[key]
        elif key in self._protected:
            self._protected_bytes -= self._protected.pop(key)
        else:
            self._window_bytes -= self._window.pop(key)

    def _let_go(self, key: bytes, victims: list[bytes]) -> None:
        self._sketch.raise_to(key, self._counts.pop(key))
        self._weight_bytes -= self._weights.pop(key)
        victims.append(key)

    def _age(self) -> None:
        """Halve all counts when the sample is full, and let the sketch grow with the number of keys."""
        held = len(self._weights)
        if held * CELLS_A_KEY > self._sketch.cells:
            self._sketch.grow()
        if self._samples >= max(SAMPLES_A_KEY * held, FEWEST_SAMPLES):
            self._samples //= 2
            self._sketch.halve()
            for key, times in self._counts.items():
                self._counts[key] = times // 2

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held; how often it was asked for is remembered."""
        if key in self._weights:
            self._take_out(key)
            self._let_go(key, [])

    def state(self, key: bytes) -> dict[str, object]:
        """In which queue, and how often it was asked for. KeyError when it is not held."""
        segments = (("window", self._window), ("probation", self._probation), ("protected", self._protected))
        queue = next((name for name, keys in segments if key in keys), "none")
        return {"queue": queue, "frequency": self._counts[key]}

    def order(self) -> Iterable[bytes]:
        """Those on probation, those that have just come, those that are protected."""
        return (*self._probation, *self._window, *self._protected)

    def check_invariants(self) -> None:
        """Each key stands in one queue with its weight; no queue is above its share; counts are within bounds."""
        super().check_invariants()
        self._check_keys([*self._window, *self._probation, *self._protected], "queues")
        assert self._window | self._probation | self._protected == self._weights, "a queue has another weight for a key"
        self._check_keys(self._counts, "counts")
        assert all(0 <= times <= MOST for times in self._counts.values()), "a count is out of its bounds"
        for queue, weight_bytes, share_bytes, name in (
            (self._window, self._window_bytes, self._window_share_bytes, "the window"),
            (self._protected, self._protected_bytes, self._protected_share_bytes, "protected"),
        ):
            assert weight_bytes == sum(queue.values()), f"{name}: added up wrong"
            assert weight_bytes <= share_bytes, f"{name}: {weight_bytes} bytes, {share_bytes} are its share"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [WTinyLfu]
