# What happens in a run: rounds, one a transport, and the faults of each in order. All of it follows from the seed.
#
#   pass 1   every transport, each with another of PARTS
#   pass 2   every transport, each with the next of PARTS, and so on: with four passes every pair has met
#
# Rule: the faults of all rounds are one pack, shuffled once; each round begins where a share of it begins, so that a
#       short run deals all of them too.
"""Rounds and their faults, by a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.faults import FAULTS

# Primitives and scopes that fit: a shared cache wants a lock that survives its owner.
PARTS = (("posix", "process"), ("robust", "shared"), ("eventfd", "process"), ("robust", "process"))
_LEAST_ROUND_SECONDS = 15


@dataclass(frozen=True)
class Round:
    """One server's time. `faults`: their names, to be begun again when the round outlasts them."""

    transport: str
    primitive: str
    scope: str
    seconds: float
    seed: str
    faults: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called, and chosen by."""
        return f"{self.transport}/{self.primitive}/{self.scope}"


def rounds(seed: int, transports: dict[str, bool], seconds: int) -> list[Round]:
    """The rounds of a run of so many seconds. `transports`: for each whether it dispatches."""
    passes = min(len(PARTS), max(1, seconds // (_LEAST_ROUND_SECONDS * len(transports))))
    number = passes * len(transports)
    chance = random.Random(seed)
    pack = list(FAULTS)
    chance.shuffle(pack)
    shift = chance.randrange(len(PARTS))
    made = []
    for at in range(number):
        turn, place = divmod(at, len(transports))
        transport = list(transports)[place]
        primitive, scope = PARTS[(place + turn + shift) % len(PARTS)]
        begin = at * len(pack) // number
        dealt = _fitting(pack[begin:] + pack[:begin], transports[transport], scope == "shared")
        made.append(Round(transport, primitive, scope, seconds / number, f"{seed}/{at}", tuple(dealt)))
    return made


def _fitting(names: Sequence[str], dispatches: bool, shared: bool) -> list[str]:
    """Those of the faults that such a server can have; first those that others cannot have."""
    found = [name for name in names if FAULTS[name].dispatching <= dispatches and FAULTS[name].shared <= shared]
    return sorted(found, key=lambda name: not FAULTS[name].shared)
