# A child of the master: how it begins, and how it ended.
#
# Rule 1: the master is one thread when it forks; a plugin that has started another is named and nothing is forked.
# Rule 2: a child closes every descriptor that is not on its list: a client's descriptor that it inherited would hold
#         back that client's FIN, the runtime folder's would keep a dead server's name taken.
# Rule 3: a child never returns into the master's frames; it ends in os._exit.
# Rule 4: signals wait across the fork. A child that met one with the master's handlers would lose it, or wake the
#         master with it: a drain right after a birth would never reach the newborn.
"""Forking."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from wsrv.engine.master.outcome import CannotStart

_PR_SET_NAME = 15
_EXIT_BUG = 70


def fork(keep: list[int], name: str, work: Callable[[], None]) -> int:
    """Fork a child that does `work` and ends; its pid. SIGTERM and SIGUSR2 wait until `work` unblocks them.

    Raises OSError where there can be no more processes.
    """
    strangers = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if strangers:
        raise CannotStart(f"a plugin has started thread {strangers[0]!r}, and a process with threads must not fork")
    _flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    status = _EXIT_BUG
    try:
        _settle_in(keep, name)
        signal.pthread_sigmask(signal.SIG_SETMASK, before | {signal.SIGTERM, signal.SIGUSR2})
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(status)


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # most real-time signals have no name
        return f"was killed by signal {-code}"


def _flush() -> None:
    """Leave nothing in the standard streams, where there are any and somebody takes it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def _settle_in(keep: list[int], name: str) -> None:
    """Become a child: no signals of the master's, no descriptors of the master's, a name of its own."""
    signal.set_wakeup_fd(-1)
    # A terminal sends Ctrl-C to everybody, and service managers send others; what they mean is the master's to say.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    begin = 3
    for fd in sorted(keep):
        if fd >= begin:
            os.closerange(begin, fd)
            begin = fd + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
    ctypes.PyDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
