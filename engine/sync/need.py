# What the users of a primitive need of it, and whether it offers that.
"""Needs, stated beside whoever has them, and the refusal of a primitive that does not meet them."""

from collections.abc import Iterable
from typing import NamedTuple

from wsrv.engine.sync.primitive import LOCK, SEMAPHORE, SURVIVES_OWNER, Primitive

_NEEDED = {
    LOCK: "a lock",
    SEMAPHORE: "a semaphore",
    SURVIVES_OWNER: "a lock that the death of its owner leaves free",
}
_OFFERED = {LOCK: "locks", SEMAPHORE: "semaphores"}


class Need(NamedTuple):
    """`user` is who, for a sentence; `offer` one of LOCK, SEMAPHORE and SURVIVES_OWNER."""

    user: str
    offer: str


def obstacle(primitive: type[Primitive], needs: Iterable[Need]) -> str | None:
    """None, or in a sentence the first of `needs` that `primitive` does not meet, and what would."""
    needs = tuple(needs)
    wanted = [kind for kind in (LOCK, SEMAPHORE, SURVIVES_OWNER) if any(need.offer == kind for need in needs)]
    for need in needs:
        if need.offer not in primitive.OFFERS:
            return (
                f"{primitive.NAME} offers {_offers(primitive)}, and {need.user} needs {_NEEDED[need.offer]}; "
                f"use a --sync that offers {' and '.join(wanted)}: wsrv plugins lists what each offers"
            )
    return None


def _offers(primitive: type[Primitive]) -> str:
    made = [word for offer, word in _OFFERED.items() if offer in primitive.OFFERS]
    return f"{made[0]} only" if len(made) == 1 else " and ".join(made)
