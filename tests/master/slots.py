# Worker slots without workers: real channels and real semaphores, and nobody who takes.
"""Slots for tests of the master."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsrv.engine.ipc.record import Arrival
from wsrv.engine.master.generation import Generation
from wsrv.engine.master.slot import Slot
from wsrv.engine.settings import RuntimeSettings, Settings, SiteSettings
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.primitives.posix import Posix
from wsrv.plugins.transports.socketpair import SocketpairChannel

_NOWHERE = Path("/nonexistent")
GENERATION = Generation(0, Settings(SiteSettings(_NOWHERE, _NOWHERE), RuntimeSettings(_NOWHERE)), [], None, None, Lru)


@contextmanager
def open_slots(*capacities: int) -> Iterator[list[Slot]]:
    """A slot for each capacity, its queue empty."""
    memory = mmap.mmap(-1, CELL_BYTES * max(1, len(capacities)))
    view = memoryview(memory)
    slots = []
    for number, capacity in enumerate(capacities):
        cell = view[number * CELL_BYTES : (number + 1) * CELL_BYTES]
        queue = Posix.semaphore("queue", cell, capacity)
        slots.append(Slot(number, SocketpairChannel(capacity), queue, capacity, GENERATION))
    try:
        yield slots
    finally:
        for slot in slots:
            for fd, _ in slot.channel.reclaim():
                os.close(fd)
            slot.channel.close()
            slot.queue.close()


def taken(slot: Slot) -> list[Arrival]:
    """What a worker in `slot` would find, with its descriptors closed again; the permits are not given back."""
    found = []
    source = slot.channel.source()
    while batch := source.take():
        found += batch
    for fd, _ in found:
        os.close(fd)
    return found
