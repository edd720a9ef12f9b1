# What the suites of locks and of semaphores share, and what both kinds of primitive must do.
"""The contract of a synchronisation primitive, as far as it is the same for all."""

import mmap
from collections.abc import Iterator
from typing import ClassVar

import pytest

from wsrv.engine.sync.primitive import CELL_BYTES, LOCK, SEMAPHORE, SURVIVES_OWNER, Lock, Primitive, Semaphore
from wsrv.plugins.checks import faults
from wsrv.testing.processes import Gate
from wsrv.testing.surroundings import Surroundings

PERMITS = 3
PROCESSES = 4
ROUNDS = 400


class Shared:
    """A shared mapping: cell 0 for the object under test, the words of cell 1 for the test's own counting."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 2 * CELL_BYTES)
        self.cell = memoryview(self.memory)[:CELL_BYTES]
        self.words = memoryview(self.memory)[CELL_BYTES:].cast("Q")

    def close(self) -> None:
        """Raises BufferError when somebody still holds the memory."""
        self.cell.release()
        self.words.release()
        self.memory.close()


def kept(guard: Lock | Semaphore, *gates: Gate) -> set[int]:
    """What a child must not close: what the guard names, and the gates."""
    return {*guard.fds(), *(gate.fd for gate in gates)}


class PrimitiveContract(Surroundings):
    """What every primitive does. Test with LockContract, SemaphoreContract or both: whatever it offers.

    A subclass names its class in `primitive`.
    """

    primitive: ClassVar[type[Primitive]]
    # What the suites test, of what a primitive may offer.
    covered: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture
    def shared(self, nothing_left_behind: None) -> Iterator[Shared]:
        made = Shared()
        yield made
        made.close()

    def test_the_class_can_be_registered(self) -> None:
        assert faults("primitive", self.primitive) == []

    def test_it_offers_what_is_known_and_is_tested_for_all_of_it(self) -> None:
        assert self.primitive.OFFERS.issubset({LOCK, SEMAPHORE, SURVIVES_OWNER})
        covered = {offer for base in type(self).__mro__ for offer in vars(base).get("covered", ())}
        assert covered == self.primitive.OFFERS & {LOCK, SEMAPHORE}

    def test_it_says_in_a_sentence_whether_it_is_available(self) -> None:
        reason = self.primitive.available()
        assert reason is None or " " in reason
