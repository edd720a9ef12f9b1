# The cache of all workers, as the master has it: memory, lock and bell made before the first fork, and the keeper.
#
# Rule: of the bytes that may be cached most are the arena's; the workers' fronts share the rest, so that the whole is
#       what `cache.size` says.
"""The shared cache: what is made of it at start, and what is said of it."""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.shared.arena import (
    BLOCK_BYTES,
    CONTENT,
    DROPS,
    ENTRIES,
    EVICTIONS,
    FREE_BLOCKS,
    GENERATION,
    REFUSALS,
    Arena,
)
from wsrv.engine.cache.shared.claims import release_all
from wsrv.engine.settings import SHARED, CacheSettings, HostSettings
from wsrv.engine.shm import row
from wsrv.engine.static.hosts import host_names
from wsrv.engine.sync.need import Need
from wsrv.engine.sync.primitive import LOCK, SURVIVES_OWNER, Lock, Primitive
from wsrv.engine.worker.keeping import serve_cache
from wsrv.engine.worker.sharedshelf import SharedMemory

_USER = "the shared cache's writer"
NEEDS = (Need(_USER, LOCK), Need(_USER, SURVIVES_OWNER))
# Of the bytes, the fronts of all workers have one in so many.
_FRONTS_SHARE = 4


class SharedCache:
    """Made once, by the master, before the first fork."""

    def __init__(
        self,
        settings: CacheSettings,
        hosts: tuple[HostSettings, ...],
        workers: int,
        rows: int,
        primitive: type[Primitive],
        cell: memoryview,
    ) -> None:
        """`rows`: of statistics, one for each worker that may live at the same time. Raises OSError."""
        self.learn(settings, hosts)
        fronts_bytes = settings.capacity_bytes // _FRONTS_SHARE
        lock: Lock = primitive.lock("cache_writer", cell)
        self._arena = Arena(settings.capacity_bytes - fronts_bytes, rows, settings.max_object_bytes)
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.memory = SharedMemory(self._arena, lock, bell, fronts_bytes // workers)
        self._fronts_bytes = fronts_bytes

    def learn(self, settings: CacheSettings, hosts: tuple[HostSettings, ...]) -> None:
        """What keepers to come say of entries: the names of their sites, and which look at a file was too long ago."""
        self._names = host_names(hosts)
        self._revalidate_ns = int(settings.revalidate_seconds * 1e9)

    def memory_of(self, workers: int) -> SharedMemory:
        """The memory as one of so many workers has it."""
        return self.memory._replace(front_bytes=self._fronts_bytes // workers)

    def fds(self) -> list[int]:
        """What a child that uses it has to keep."""
        return [self.memory.bell, *self.memory.lock.fds()]

    def keep(self, make_policy: Callable[[int], Policy], lifeline: int, asked: socket.socket) -> None:
        """Be the keeper: the body of its process, which is asked on `asked`."""
        memory = (self._arena, self.memory.lock, make_policy, self.memory.bell)
        serve_cache(*memory, lifeline, asked, self._names, self._revalidate_ns)

    def forget(self, row: int) -> None:
        """Let go of what a worker that is dead was about to load."""
        release_all(self._arena, row)

    def close(self) -> None:
        """Give back the bell and the lock. When no child is left."""
        os.close(self.memory.bell)
        self.memory.lock.close()

    def figures(self, counts: Sequence[int]) -> dict[str, Any]:
        """What the document says of the cache instead of one worker's figures; `counts` are all workers' together."""
        header = self._arena.header
        real_bytes = (self._arena.blocks - header[FREE_BLOCKS]) * BLOCK_BYTES
        return {
            "scope": SHARED,
            "size_bytes": real_bytes + counts[row.SIZE_BYTES],
            "objects": header[ENTRIES],
            "evictions": header[EVICTIONS],
            "shared": {
                "capacity_bytes": self._arena.capacity_bytes,
                "real_bytes": real_bytes,
                "logical_bytes": header[CONTENT],
                "hits": counts[row.SHARED_HITS],
                "refusals": header[REFUSALS],
                "unstored": counts[row.UNSTORED],
                "torn_reads": counts[row.TORN],
                "hits_untold": header[DROPS],
                "repairs": header[GENERATION],
            },
            "fronts": {
                "size_bytes": counts[row.SIZE_BYTES],
                "objects": counts[row.OBJECTS],
                "evictions": counts[row.EVICTIONS],
            },
        }
