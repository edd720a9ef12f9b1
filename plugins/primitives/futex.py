# Futexes: words of shared memory that processes change in one step and sleep on (futex(2)).
#
# Rule 1: FUTEX_WAKE_OP adds and wakes in one system call: neither a death nor a SIGSTOP comes between the two.
# Rule 2: what cannot block is called through PyDLL, which keeps the GIL; what waits goes through CDLL. See posix.py.
"""A counting word that can be waited for."""

import ctypes
import errno
import os
import platform
import struct
from typing import Any

from wsrv.plugins.primitives.timespec import span

# asm/unistd.h. The call has an old number on every machine; only those with 64-bit words are known here.
_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221, "s390x": 238}
_NUMBER = ctypes.c_long(_NUMBERS.get(platform.machine(), -1) if struct.calcsize("P") == 8 else -1)
# linux/futex.h. None is FUTEX_PRIVATE: those who wait are in several processes.
_WAIT, _WAKE, _WAKE_OP = 0, 1, 5
_OP_ADD = 1 << 28
_OPERAND_SHIFT = 12
# The operand has 12 bits, a sign among them.
_OPERAND_MASK = 0xFFF
_MOST_AT_ONCE = 2047
_ALL = 2**31 - 1

_quick = ctypes.PyDLL(None, use_errno=True).syscall
_slow = ctypes.CDLL(None, use_errno=True).syscall


def machine_is_known() -> bool:
    """Whether the number of the futex call is known for this machine."""
    return _NUMBER.value >= 0


class Futex:
    """The signed 32-bit word at `address`; `quiet`, the address of another, is one that nobody waits on."""

    __slots__ = ("_at", "_quiet_at")

    def __init__(self, address: int, quiet: int) -> None:
        self._at: Any = ctypes.byref(ctypes.c_char.from_address(address))
        self._quiet_at: Any = ctypes.byref(ctypes.c_char.from_address(quiet))

    def add(self, count: int) -> None:
        """Add `count`, and wake as many of those who wait. Raises OSError."""
        while count > 0:
            step = min(count, _MOST_AT_ONCE)
            self._change(self._at, step, step)
            count -= step

    def subtract(self, count: int) -> None:
        """Take `count` off, and wake nobody. Raises OSError."""
        while count > 0:
            step = min(count, _MOST_AT_ONCE)
            # The call wakes one sleeper at least, so it wakes where none sleeps.
            self._change(self._quiet_at, 1, -step)
            count -= step

    def _change(self, wake_at: Any, wake: int, operand: int) -> None:
        operation = _OP_ADD | (operand & _OPERAND_MASK) << _OPERAND_SHIFT
        if _quick(_NUMBER, wake_at, _WAKE_OP, wake, None, self._at, operation) < 0:
            _must_be()

    def wait_while_zero(self, seconds: float) -> None:
        """Sleep while the word is 0, for so long at most. May end early. Raises OSError."""
        if _slow(_NUMBER, self._at, _WAIT, 0, span(seconds), None, 0) < 0:
            _must_be(errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT)

    def wake_all(self) -> None:
        """Wake everybody who waits. Raises OSError."""
        if _quick(_NUMBER, self._at, _WAKE, _ALL, None, None, 0) < 0:
            _must_be()


def _must_be(*expected: int) -> None:
    """Raises OSError unless the last call failed with one of these."""
    code = ctypes.get_errno()
    if code not in expected:
        raise OSError(code, f"futex: {os.strerror(code)}")
