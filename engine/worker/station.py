# What a worker is given by the master, and what it says at its end.
"""The Station of a worker process."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import ConnectionSource
from wsrv.engine.shm.hottest import HotList
from wsrv.engine.shm.row import Ledger
from wsrv.engine.sync.primitive import Semaphore
from wsrv.engine.worker.pool import PoolLocks

if TYPE_CHECKING:
    from wsrv.engine.shm.clients import ClientTable
    from wsrv.engine.tls.certificates import Certificates
    from wsrv.engine.worker.sharedshelf import SharedMemory

# What a worker says on its line when it takes nothing more.
LEAVING = b"leaving"


@dataclass(frozen=True, slots=True)
class Station:
    """What the master hands to a worker: where connections come from, where counts go, and its guards.

    `queue` takes the permits of arrivals back; None where the master does not dispatch. `line` leads to the master,
    for questions; on `asked` the master asks; `master` is its pidfd, `ready` an eventfd by which it hears that the
    worker serves. `certificates` are for its secure listeners; `secure_port` is where the other ones send their
    clients, or 0. `clients` is what client addresses have, where that is bounded. `policies`: those that the
    cache may be told to change to. `hottest` is where a successor finds what was hot here, `legacy` what was hot
    with the predecessor. `shared` is the cache of all workers, where there is one; `row` is the number by which this
    one is known there.
    """

    source: ConnectionSource
    queue: Semaphore | None
    pool: PoolLocks
    ledger: Ledger
    line: socket.socket
    asked: socket.socket
    master: int
    ready: int
    certificates: "Certificates | None" = None
    secure_port: int = 0
    clients: "ClientTable | None" = None
    policies: Mapping[str, type[Policy]] = field(default_factory=dict)
    hottest: HotList | None = None
    legacy: Sequence[bytes] = ()
    shared: "SharedMemory | None" = None
    row: int = 0
