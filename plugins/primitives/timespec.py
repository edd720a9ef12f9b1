# What the C library's timed waits are told: when to give up.
"""Deadlines as C sees them."""

import ctypes
import time
from typing import Any

_NS_A_SECOND = 1_000_000_000


class Timespec(ctypes.Structure):
    """struct timespec."""

    # long is right on 32-bit machines too: under these names glibc and musl keep the calls with 32-bit time.
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


def deadline(clock: int, seconds: float) -> Any:
    """A pointer to the moment of `clock` that is `seconds` from now."""
    return ctypes.byref(Timespec(*divmod(time.clock_gettime_ns(clock) + int(seconds * _NS_A_SECOND), _NS_A_SECOND)))


def span(seconds: float) -> Any:
    """A pointer to a length of time."""
    return ctypes.byref(Timespec(*divmod(int(seconds * _NS_A_SECOND), _NS_A_SECOND)))
