# What a service manager is told: sd_notify(3), a datagram of lines to the socket that it names.
#
# Rule: nothing waits for the manager, and nothing depends on it.
"""Telling a service manager what the server does."""

import contextlib
import socket
from time import CLOCK_MONOTONIC, clock_gettime_ns

from wsrv.engine.settings import ServiceSettings

_SECOND_NS = 1_000_000_000


class Notifier:
    """Tells `settings.notify`, where it is set. To be closed."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._address = f"\0{settings.notify[1:]}" if settings.notify.startswith("@") else settings.notify
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        # Twice in the time that the manager allows (sd_watchdog_enabled(3)).
        self._period_ns = int(settings.watchdog_seconds * _SECOND_NS) // 2
        self._due_ns = 0

    def ready(self) -> None:
        """It serves; or it does again, after a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins (Type=notify-reload: the time tells it from one that was asked for later)."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """It drains."""
        self._tell("STOPPING=1")

    def tick(self, now_ns: int) -> None:
        """Feed the watchdog, when it is due."""
        if self._period_ns and now_ns >= self._due_ns:
            self._due_ns = now_ns + self._period_ns
            self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), self._address)

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
