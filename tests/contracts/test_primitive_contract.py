"""Every registered synchronisation primitive does what the protocol says, across processes."""

import pytest

from wsrv.engine.sync.primitive import LOCK, SEMAPHORE, Primitive
from wsrv.plugins.registry import load
from wsrv.testing.primitive_lock import LockContract
from wsrv.testing.primitive_semaphore import SemaphoreContract

CONTRACTS = {LOCK: LockContract, SEMAPHORE: SemaphoreContract}


def _suite(primitive: type[Primitive]) -> type:
    """The tests of what `primitive` offers, or one that says why it cannot work here."""
    contracts = tuple(contract for offer, contract in CONTRACTS.items() if offer in primitive.OFFERS)
    suite = type(f"Test_{primitive.NAME}", contracts, {"primitive": primitive})
    reason = primitive.available()
    return suite if reason is None else pytest.mark.skip(reason=reason)(suite)


for _primitive in load().primitives.values():
    globals()[f"Test_{_primitive.NAME}"] = _suite(_primitive)
