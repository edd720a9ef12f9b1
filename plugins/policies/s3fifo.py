# Three queues, none of which a hit moves: newcomers wait in a small one, and most leave from there.
#
#   new ──> small (10 %) ──asked for twice or more──> main (90 %) ──asked for: again to the young end──┐
#             │ else                                     │ else                        ^──────────────┘
#             v                                          v
#           ghost: keys that left lately               gone
#             └──asked for again──> main
#
# All three are OrderedDicts of weights, oldest first; `_asked` counts the hits of what is held, up to 3.
"""Cache policy `s3fifo`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed

SMALL_SHARE = 0.1
GHOST_SHARE = 0.9

# Hits are counted up to here (two bits), and this many in the small queue lead into the main one.
MOST_ASKED = 3
PROMOTED_FROM = 2


class S3Fifo(Weighed):
    """S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP '23).

    Departs from the paper: weights are bytes, so one admission may evict several keys; and, as the authors' simulator
    does, it evicts from the main queue only when that is above its own share, and fills the main queue from the
    outside until the first key has left. Evicts before it inserts. With `bounded`, what the small queue could not hold
    is refused, as that simulator refuses it; a server that has to hold files of any size does without.
    """

    NAME: ClassVar[str] = "s3fifo"

    # A function over the counts, made in __init__: a method would look them up in the object first.
    hit: Callable[[bytes], None]

    def __init__(self, capacity_bytes: int, *, bounded: bool = False) -> None:
        super().__init__(capacity_bytes)
        self._small_share_bytes = int(capacity_bytes * SMALL_SHARE)
        self._main_share_bytes = capacity_bytes - self._small_share_bytes
        self._ghost_share_bytes = int(capacity_bytes * GHOST_SHARE)
        self._bounded = bounded
        self._heaviest_bytes = self._small_share_bytes if bounded else capacity_bytes
        self._small: OrderedDict[bytes, int] = OrderedDict()
        self._main: OrderedDict[bytes, int] = OrderedDict()
        self._ghost: OrderedDict[bytes, int] = OrderedDict()
        self._small_bytes = 0
        self._ghost_bytes = 0
        self._has_evicted = False
        asked: dict[bytes, int] = {}
        self._asked = asked

        def hit(key: bytes) -> None:
            times = asked[key]
            if times < MOST_ASKED:
                asked[key] = times + 1

        self.hit = hit

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key`, into the main queue when it is a ghost. Refused when heavier than everything.

        With `bounded` also when heavier than the small queue's share; and when just as heavy, unless it is a ghost,
        after others have left for it.
        """
        ghost_weight = self._ghost.pop(key, None)
        if ghost_weight is not None:
            self._ghost_bytes -= ghost_weight
        if weight > self._heaviest_bytes:
            return [key]
        victims: list[bytes] = []
        room = self._capacity_bytes - weight
        while self._weight_bytes > room:
            if self._small_bytes == 0 or self._weight_bytes - self._small_bytes > self._main_share_bytes:
                self._evict_from_main(victims)
            else:
                self._evict_from_small(victims)
        is_ghost = ghost_weight is not None
        if self._bounded and weight == self._small_share_bytes and not is_ghost:
            return [*victims, key]
        at_first = not self._has_evicted and self._small_bytes >= self._small_share_bytes
        if is_ghost or at_first:
            self._main[key] = weight
        else:
            self._small[key] = weight
            self._small_bytes += weight
        self._asked[key] = 0
        self._weights[key] = weight
        self._weight_bytes += weight
        return victims

    def _evict_from_small(self, victims: list[bytes]) -> None:
        """Take one victim; those before it that were asked for go to the main queue."""
        while self._small:
            key, weight = self._small.popitem(last=False)
            self._small_bytes -= weight
            if self._asked[key] < PROMOTED_FROM:
                self._remember(key, weight)
                self._let_go(key, victims)
                return
            self._asked[key] = 0
            self._main[key] = weight

    def _evict_from_main(self, victims: list[bytes]) -> None:
        """Take one victim; those before it that were asked for go to the young end, one request poorer."""
        while self._main:
            key, weight = self._main.popitem(last=False)
            if not self._asked[key]:
                self._let_go(key, victims)
                return
            self._asked[key] -= 1
            self._main[key] = weight

    def _let_go(self, key: bytes, victims: list[bytes]) -> None:
        self._has_evicted = True
        del self._asked[key]
        self._weight_bytes -= self._weights.pop(key)
        victims.append(key)

    def _remember(self, key: bytes, weight: int) -> None:
        if weight > self._ghost_share_bytes:
            return
        self._ghost[key] = weight
        self._ghost_bytes += weight
        while self._ghost_bytes > self._ghost_share_bytes:
            self._ghost_bytes -= self._ghost.popitem(last=False)[1]

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held; it becomes no ghost."""
        if key in self._weights:
            self._weight_bytes -= self._weights.pop(key)
            del self._asked[key]
            if key in self._main:
                del self._main[key]
            else:
                self._small_bytes -= self._small.pop(key)

    def state(self, key: bytes) -> dict[str, object]:
        """In which queue, and how often it was asked for there. KeyError when it is not held."""
        return {"queue": "main" if key in self._main else "small", "frequency": self._asked[key]}

    def order(self) -> Iterable[bytes]:
        """The small queue, then the main one; in each, those that were asked for after the others."""
        for queue in (self._small, self._main):
            yield from sorted(queue, key=self._asked.__getitem__)

    def check_invariants(self) -> None:
        """Each key stands in one queue with its weight; ghosts are not held and stay within their share."""
        super().check_invariants()
        self._check_keys([*self._small, *self._main], "queues")
        assert self._small | self._main == self._weights, "a queue has another weight for a key"
        self._check_keys(self._asked, "counts")
        assert all(0 <= times <= MOST_ASKED for times in self._asked.values()), "a count is out of its bounds"
        assert self._small_bytes == sum(self._small.values()), "the small queue is added up wrong"
        assert self._ghost_bytes == sum(self._ghost.values()), "the ghosts are added up wrong"
        assert self._ghost_bytes <= self._ghost_share_bytes, f"{self._ghost_bytes} bytes of ghosts"
        assert not self._ghost.keys() & self._weights.keys(), "a key is held and a ghost"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [S3Fifo]
