# Forked processes for tests: bounded, reaped, and loud when they fail.
#
# A child closes what it was not told to keep, as a worker does: so a suite that passes has also shown that what a
# part names as kept is enough.
"""Children that run a function, gates to hold them at, and a census of what is open."""

import contextlib
import gc
import os
import resource
import select
import signal
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

# No test waits longer than this for another process; long enough for a loaded machine, and never slept through.
BOUND_SECONDS = 20.0


def open_fds() -> set[int]:
    """The descriptors of this process."""
    with os.scandir("/proc/self/fd") as entries:
        listed = {int(entry.name) for entry in entries}
    return {fd for fd in listed if _is_open(fd)}  # without the listing's own


def child_pids() -> set[int]:
    """The children of this process that nobody has waited for, whether they run or have ended."""
    found: set[int] = set()
    with os.scandir("/proc/self/task") as threads:
        for thread in threads:
            with contextlib.suppress(FileNotFoundError):  # it has ended
                found.update(map(int, Path(thread.path, "children").read_text("ascii").split()))
    return found


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def leave_free(descriptors: int) -> Callable[[], None]:
    """Lower this process's limit so that it can open so many more; what sets it back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = open_fds()
    free = [number for number in range(len(taken) + descriptors + 1) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[descriptors], limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def wait_readable(fd: int) -> None:
    """Wait until `fd` is readable. Raises AssertionError after BOUND_SECONDS."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(BOUND_SECONDS * 1000), f"nothing came from descriptor {fd} in {BOUND_SECONDS} s"


class Gate:
    """An eventfd that passes one waiter for each time it was opened. To be kept by the child that uses it."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)

    def open(self) -> None:
        os.eventfd_write(self.fd, 1)

    def wait(self) -> None:
        wait_readable(self.fd)
        os.eventfd_read(self.fd)

    def close(self) -> None:
        os.close(self.fd)


class Child:
    """A forked process that runs `work` with only the descriptors of `keep` (and 0, 1, 2) open.

    Used in a with statement: at its end the child has ended by itself with success, or AssertionError is raised with
    the child's traceback. When the body fails the child is killed.
    """

    def __init__(self, work: Callable[[], None], keep: Collection[int] = ()) -> None:
        self._report, report = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run(work, {0, 1, 2, report, *keep}, report)
        os.close(report)
        self._pidfd = os.pidfd_open(self.pid)
        self._reaped = False

    def join(self) -> None:
        """Wait for the end. Raises AssertionError when it was no success, or took too long."""
        try:
            wait_readable(self._pidfd)
        except AssertionError:
            self.kill()
            raise AssertionError(f"the child did not end in {BOUND_SECONDS} s") from None
        status = self._reap()
        assert status == 0, f"the child ended with {status}\n{os.read(self._report, 1 << 16).decode()}"

    def wait_stopped(self) -> None:
        """Wait until it is stopped. Raises AssertionError when it has ended instead."""
        found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert found is not None, "waitid waits"
        assert found.si_code == os.CLD_STOPPED, "it has ended"

    def wait_killed(self) -> None:
        """Wait until SIGKILL has ended it, whoever sent it."""
        wait_readable(self._pidfd)
        status = self._reap()
        assert status == -signal.SIGKILL, f"it ended with {status}\n{os.read(self._report, 1 << 16).decode()}"

    def go_on(self) -> None:
        """Let it run again after a stop."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._reap()

    def _reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self._reaped = True
        return os.waitstatus_to_exitcode(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._reaped:
                if error is None:
                    self.join()
                else:
                    self.kill()
        finally:
            os.close(self._pidfd)
            os.close(self._report)


def _run(work: Callable[[], None], keep: set[int], report: int) -> NoReturn:
    """The child's whole life."""
    status = 1
    # A collection that walks what the parent had writes to all of it, and each page is copied for that.
    gc.freeze()
    try:
        for fd in open_fds() - keep:
            os.close(fd)
        work()
        status = 0
    except BaseException:
        os.write(report, traceback.format_exc().encode())
    finally:
        os._exit(status)
