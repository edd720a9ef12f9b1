# Who needs what of a primitive, and what is said to a person whose choice does not offer it.
"""Needs of a primitive."""

from typing import ClassVar

import pytest

from wsrv.engine.master.slot import NEEDS as SLOT_NEEDS
from wsrv.engine.sync.need import Need, obstacle
from wsrv.engine.sync.primitive import LOCK, SEMAPHORE, SURVIVES_OWNER
from wsrv.engine.worker.pool import NEEDS as POOL_NEEDS
from wsrv.plugins.primitives.eventfd import Eventfd
from wsrv.plugins.primitives.flock import Flock
from wsrv.plugins.primitives.posix import Posix
from wsrv.plugins.primitives.robust import Robust

SERVER = (*SLOT_NEEDS, *POOL_NEEDS)
EVERY = (Posix, Robust, Eventfd, Flock)
WRITER = Need("the shared cache's writer", SURVIVES_OWNER)


@pytest.mark.parametrize("primitive", [Posix, Robust, Eventfd])
def test_what_offers_locks_and_semaphores_fits_the_server(primitive: type[Posix]) -> None:
    assert obstacle(primitive, SERVER, EVERY) is None


def test_flock_is_refused_by_name_for_the_connection_queue_first() -> None:
    assert obstacle(Flock, SERVER, EVERY) == (
        "flock offers locks only, and the connection queue needs a semaphore; use --sync posix, robust or eventfd"
    )


def test_flock_is_refused_for_the_file_pool_too() -> None:
    assert "the file pool's queue needs a semaphore" in str(obstacle(Flock, POOL_NEEDS))


def test_what_offers_semaphores_only_is_refused_for_the_file_pools_lock() -> None:
    class Counting(Posix):
        NAME: ClassVar[str] = "counting"
        OFFERS: ClassVar[frozenset[str]] = frozenset({SEMAPHORE})

    assert str(obstacle(Counting, SERVER)).startswith(
        "counting offers semaphores only, and the file pool's queue needs a lock; "
    )


def test_what_does_not_survive_its_owner_is_refused_for_the_shared_caches_writer() -> None:
    assert obstacle(Posix, (*POOL_NEEDS, WRITER), EVERY) == (
        "posix offers locks and semaphores, and the shared cache's writer needs a lock that the death of its owner "
        "leaves free; use --sync robust"
    )
    assert obstacle(Robust, (*POOL_NEEDS, WRITER)) is None
    assert obstacle(Flock, (Need("somebody", LOCK), WRITER)) is None


class Absent(Posix):
    """Fits, and cannot work here."""

    NAME: ClassVar[str] = "absent"

    @classmethod
    def available(cls) -> str | None:
        return "it is not there"


class Faulty(Posix):
    """Fits, and fails when it is asked."""

    NAME: ClassVar[str] = "faulty"

    @classmethod
    def available(cls) -> str | None:
        raise OSError("somebody else's fault")


def test_nobody_is_sent_to_what_cannot_work_here() -> None:
    assert str(obstacle(Flock, SERVER, (Absent, Posix, Faulty, Robust))).endswith("; use --sync posix or robust")


def test_where_none_is_left_what_would_do_is_said() -> None:
    assert str(obstacle(Flock, (*SERVER, WRITER), (Absent, Faulty, Flock, Posix))).endswith(
        "; no --sync that works here offers lock and semaphore and survives-owner: wsrv plugins lists what each offers"
    )


def test_nobody_else_is_asked_when_the_choice_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Absent, "available", lambda: pytest.fail("asked"))
    assert obstacle(Posix, SERVER, (Absent,)) is None
