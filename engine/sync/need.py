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


def obstacle(primitive: type[Primitive], needs: Iterable[Need], others: Iterable[type[Primitive]] = ()) -> str | None:
    """None, or in a sentence the first of `needs` that `primitive` does not meet, and which of `others` meet all."""
    needs = tuple(needs)
    for need in needs:
        if need.offer not in primitive.OFFERS:
            return (
                f"{primitive.NAME} offers {_offers(primitive)}, and {need.user} needs {_NEEDED[need.offer]}; "
                f"{_remedy(needs, others)}"
            )
    return None


def fitting(needs: Iterable[Need], others: Iterable[type[Primitive]]) -> list[str]:
    """The names of those of `others` that meet all of `needs` and work here."""
    wanted = {need.offer for need in needs}
    return [other.NAME for other in others if wanted <= other.OFFERS and _is_available(other)]


def _remedy(needs: tuple[Need, ...], others: Iterable[type[Primitive]]) -> str:
    names = fitting(needs, others)
    if names:
        *front, last = names
        return f"use --sync {', '.join(front)} or {last}" if front else f"use --sync {last}"
    wanted = {need.offer for need in needs}
    words = [kind for kind in (LOCK, SEMAPHORE, SURVIVES_OWNER) if kind in wanted]
    return f"no --sync that works here offers {' and '.join(words)}: wsrv plugins lists what each offers"


def _is_available(primitive: type[Primitive]) -> bool:
    try:
        return primitive.available() is None
    except Exception:  # somebody else's, who was not chosen: its fault is told by whoever chooses it
        return False


def _offers(primitive: type[Primitive]) -> str:
    made = [word for offer, word in _OFFERED.items() if offer in primitive.OFFERS]
    return f"{made[0]} only" if len(made) == 1 else " and ".join(made)
