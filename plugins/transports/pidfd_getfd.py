# The worker pulls the descriptor out of the master: pidfd_getfd(2). What travels is a number, in a ring both share.
#
#   ring, one a slot: entry `index` at place index modulo the number of places, 8 words (a cache line) each
#
#       0 number     master   the descriptor's number in the master
#       1 record     master   RECORD_BYTES, four words
#       5 declined   worker   1 when it could not have the descriptor, 0 when it has it
#
#   doorbell, an eventfd: how many of the newest entries nobody has claimed
#   settled, an eventfd:  how many of the oldest entries the worker has dealt with since the master last looked
#
#         done                                        published
#          |  settled  |  claimed by the worker  |  doorbell  |
#
# Rule 1: whoever reads the doorbell owns what it counted: the worker claims so many from the front, the master takes so
#   many back from the end. The kernel lets one of them have each, whatever the other was stopped in.
# Rule 2: the master keeps its copy open until the worker has settled the entry, so a number is never used again while
#   the worker may pull it; then it closes its copy. Until then a close in the worker gives the client no end.
# Rule 3: one write settles a batch, and it comes before the first read of any of it. So what a dead worker had not
#   settled nobody has read: its successor claims it again.
# Rule 4: what a worker cannot have (no descriptors left, no right) it declines; the master still has it and answers.
# Rule 5: nothing but the two eventfds orders memory between master and worker: entries are written before the doorbell
#   is, read after it was read, and `declined` likewise with `settled`. The kernel's lock on each does the rest.
"""Transport `pidfd_getfd`."""

import contextlib
import ctypes
import errno
import mmap
import os
import select
import socket
from collections.abc import Sequence
from typing import ClassVar

from wsrv.engine.ipc.record import RECORD, RECORD_BYTES, Arrival
from wsrv.engine.ipc.transport import Channel, ConnectionSource, Transport
from wsrv.plugins.hookspecs import hookimpl

# x86-64, arm64 and every other table since it was added in Linux 5.6. os.pidfd_getfd comes with Python 3.15.
_SYS_PIDFD_GETFD = 438
# prctl(2): who besides our ancestors may trace us, under Yama. Ourselves: that takes our descendants in.
_PR_SET_PTRACER = 0x59616D61

_WORD = 8
_ENTRY_WORDS = 8
_NUMBER, _RECORD, _DECLINED = 0, 1, 5
# What one take() returns at most, so that a worker's loop stays fair to its open connections.
ROUND = 64
# No errno: what the probe's child says when it could pull.
_WELL = 1 << 16

_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall


def pull(pidfd: int, number: int) -> int:
    """A descriptor of our own, close on exec, for descriptor `number` of the process behind `pidfd`. Raises OSError."""
    fd: int = _syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def _count(bell: int) -> int:
    """What an eventfd counts; it counts from zero again."""
    try:
        return os.eventfd_read(bell)
    except BlockingIOError:
        return 0


class _Ring:
    """The shared entries of one slot."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._mapping = mmap.mmap(-1, places * _ENTRY_WORDS * _WORD)
        self.bytes = memoryview(self._mapping)
        self.words = self.bytes.cast("Q")

    def at(self, index: int) -> int:
        """The first word of an entry."""
        return index % self.places * _ENTRY_WORDS

    def record(self, at: int) -> memoryview:
        """The record of the entry that begins at word `at`."""
        start = (at + _RECORD) * _WORD
        return self.bytes[start : start + RECORD_BYTES]

    def close(self) -> None:
        """Give the memory back."""
        self.words.release()
        self.bytes.release()
        self._mapping.close()


class PidfdGetfdSource:
    """The worker's end. Nothing is ever `lost`: what cannot be pulled stays with the master."""

    def __init__(self, ring: _Ring, first: int, master: int, doorbell: int, settled: int) -> None:
        """`first` is the oldest entry that no worker has settled."""
        self.lost = 0
        self.events = select.EPOLLIN
        self._ring = ring
        self._next = first
        self._master = master
        self._doorbell = doorbell
        self._settled = settled

    def fds(self) -> Sequence[int]:
        """The doorbell; readable while there is something to take."""
        return (self._doorbell,)

    def take(self) -> list[Arrival]:
        """Claim up to a round's worth, pull it and settle it. Empty only when nothing has arrived."""
        arrivals: list[Arrival] = []
        while not arrivals and (claimed := self._claim()):
            ring, words, master = self._ring, self._ring.words, self._master
            for index in range(self._next, self._next + claimed):
                at = ring.at(index)
                try:
                    fd = pull(master, words[at + _NUMBER])
                except OSError:
                    words[at + _DECLINED] = 1
                    continue
                words[at + _DECLINED] = 0
                arrivals.append((fd, RECORD.unpack(ring.record(at))))
            self._next += claimed
            os.eventfd_write(self._settled, claimed)
        return arrivals

    def _claim(self) -> int:
        claimed = _count(self._doorbell)
        if claimed > ROUND:
            os.eventfd_write(self._doorbell, claimed - ROUND)
            claimed = ROUND
        return claimed

    def close(self) -> None:
        """Take no more. The descriptors are the process's to close."""


class PidfdGetfdChannel:
    """The master's end. Raises OSError."""

    def __init__(self, capacity: int) -> None:
        self.lost = 0
        self._ring = _Ring(capacity)
        self._master = os.pidfd_open(os.getpid())
        self._doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._settled = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._done = 0
        self._published = 0
        # Where the next worker begins. Only of use while there is none.
        self._first = 0

    def send(self, batch: Sequence[Arrival]) -> int:
        """Publish as many as there are places for. The master's copies are closed by settle()."""
        ring, words = self._ring, self._ring.words
        if len(batch) > ring.places - (self._published - self._done):
            self._close_pulled()
        count = min(len(batch), ring.places - (self._published - self._done))
        if not count:
            return 0
        for index, (fd, record) in enumerate(batch[:count], self._published):
            at = ring.at(index)
            words[at + _NUMBER] = fd
            RECORD.pack_into(ring.record(at), 0, *record)
        self._published += count
        os.eventfd_write(self._doorbell, count)
        return count

    def depth(self) -> int:
        """Connections published that no worker has settled, and those that it declined until settle() returns them."""
        settled = self._look_at_settled()
        words, at = self._ring.words, self._ring.at
        pulled = sum(not words[at(index) + _DECLINED] for index in range(self._done, self._done + settled))
        return self._published - self._done - pulled

    def settle_fd(self) -> int:
        """An eventfd, readable when the worker has settled something."""
        return self._settled

    def settle(self) -> list[Arrival]:
        """Close the copies of what the worker has pulled; what it declined comes back."""
        back: list[Arrival] = []
        words = self._ring.words
        for _ in range(_count(self._settled)):
            at = self._ring.at(self._done)
            if words[at + _DECLINED]:
                back.append(self._entry(self._done))
            else:
                os.close(words[at + _NUMBER])
            self._done += 1
        return back

    def _close_pulled(self) -> None:
        """Close the copies of what the worker has pulled, up to the first that it declined: settle() returns that."""
        settled = _count(self._settled)
        words = self._ring.words
        while settled and not words[(at := self._ring.at(self._done)) + _DECLINED]:
            os.close(words[at + _NUMBER])
            self._done += 1
            settled -= 1
        if settled:
            os.eventfd_write(self._settled, settled)

    def _look_at_settled(self) -> int:
        settled = _count(self._settled)
        if settled:
            os.eventfd_write(self._settled, settled)
        return settled

    def reclaim(self) -> list[Arrival]:
        """Take back what no worker has claimed. What one has claimed it settles when it goes on, or dies."""
        unclaimed = _count(self._doorbell)
        first = self._published - unclaimed
        ours = [self._entry(index) for index in range(first, self._published)]
        # As if they had never been published: the worker, wherever it stands, owns entries before these only.
        self._published = first
        return ours

    def vacated(self) -> None:
        """What a dead worker had claimed and not settled nobody has read: its successor claims it again."""
        self._first = self._done + self._look_at_settled()
        _count(self._doorbell)
        if self._published > self._first:
            os.eventfd_write(self._doorbell, self._published - self._first)

    def _entry(self, index: int) -> Arrival:
        at = self._ring.at(index)
        return self._ring.words[at + _NUMBER], RECORD.unpack(self._ring.record(at))

    def kept_fds(self) -> list[int]:
        """The doorbell, the eventfd that answers it, and the way to the master."""
        return [self._doorbell, self._settled, self._master]

    def source(self) -> ConnectionSource:
        """The worker's end, on what it has inherited."""
        return PidfdGetfdSource(self._ring, self._first, self._master, self._doorbell, self._settled)

    def close(self) -> None:
        """Close what nobody has pulled, and what the channel is made of."""
        for fd, _ in self.settle():
            os.close(fd)
        for index in range(self._done, self._published):
            os.close(self._entry(index)[0])
        for fd in self.kept_fds():
            os.close(fd)
        self._ring.close()


class PidfdGetfd:
    """pidfd_getfd(2), Linux 5.6: what the report's authors learned of too late."""

    NAME: ClassVar[str] = "pidfd_getfd"
    DISPATCHES: ClassVar[bool] = True
    TRACES: ClassVar[bool] = True

    @classmethod
    def available(cls) -> str | None:
        """None, or why a child of this process may not pull a descriptor out of it. A child tries."""
        _let_descendants_trace_us()
        code = _try_in_a_child()
        if not code:
            return None
        if code == errno.ENOSYS:
            return "the kernel has no pidfd_getfd (Linux 5.6), or hides it; use --ipc socketpair"
        return (
            f"the kernel refuses that a worker pulls descriptors out of the master ({errno.errorcode.get(code, code)}):"
            " a seccomp filter, Yama's ptrace_scope above 1, or another user; use --ipc socketpair"
        )

    @classmethod
    def open(cls, listeners: Sequence[socket.socket], slots: int, capacity: int) -> list[Channel]:
        """One ring a slot. The master's own descriptors pay for what waits: `capacity` a slot. Raises OSError."""
        _let_descendants_trace_us()
        return [PidfdGetfdChannel(capacity) for _ in range(slots)]


def _let_descendants_trace_us() -> None:
    """Under Yama's scope 1 only ancestors may trace; the call fails where there is no Yama, and need not succeed."""
    _libc.prctl(_PR_SET_PTRACER, os.getpid(), 0, 0, 0)


def _try_in_a_child() -> int:
    """The errno with which a child fails to pull a descriptor out of this process; 0 when it does not fail."""
    master = os.pidfd_open(os.getpid())
    verdict = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(pull(master, master))
            os.eventfd_write(verdict, _WELL)
        except OSError as error:
            os.eventfd_write(verdict, error.errno or errno.EIO)
        finally:
            os._exit(0)
    # Where SIGCHLD is ignored, as some parents leave it, waiting ends in ECHILD.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    code = _count(verdict) or errno.EIO
    os.close(verdict)
    os.close(master)
    return 0 if code == _WELL else code


@hookimpl
def wsrv_register_transports() -> list[type[Transport]]:
    return [PidfdGetfd]
