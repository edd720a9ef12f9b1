# What a service manager hands to the program that it starts, in the environment.
#
#   NOTIFY_SOCKET                        where it wants to be told what we do       sd_notify(3)
#   WATCHDOG_USEC, WATCHDOG_PID          how often it must hear of us               sd_watchdog_enabled(3)
#   LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES   sockets that it has opened, from 3 on  sd_listen_fds(3)
#
# Rule: what is meant for another process, as its pid tells, is not for us.
"""Service managers: systemd, and those who do as it does."""

import os
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from wsrv.cli.exits import USAGE, Stop

if TYPE_CHECKING:
    from wsrv.engine.settings import ServiceSettings

_FIRST_DESCRIPTOR = 3
_VARIABLES = (
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"),
    *("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"),
)


def take(environ: MutableMapping[str, str], pid: int) -> "ServiceSettings":
    """What is there for the process `pid`, taken out of `environ`: no child is to have it. Raises Stop."""
    found = settings_of(environ, pid)
    for variable in _VARIABLES:
        environ.pop(variable, None)
    return found


def settings_of(environ: Mapping[str, str], pid: int) -> "ServiceSettings":
    """What is there for the process `pid`. Raises Stop."""
    from wsrv.engine.settings import ServiceSettings

    notify = environ.get("NOTIFY_SOCKET", "")
    watchdog_usec = _number(environ, "WATCHDOG_USEC") if _is_meant(environ, "WATCHDOG_PID", pid) else 0
    return ServiceSettings(notify if notify.startswith(("/", "@")) else "", watchdog_usec / 1e6, _handed(environ, pid))


def _handed(environ: Mapping[str, str], pid: int) -> tuple[tuple[int, str], ...]:
    if not environ.get("LISTEN_PID") or not _is_meant(environ, "LISTEN_PID", pid):
        return ()
    count = _number(environ, "LISTEN_FDS")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    return tuple((_FIRST_DESCRIPTOR + number, names[number]) for number in range(count))


def _is_meant(environ: Mapping[str, str], variable: str, pid: int) -> bool:
    return not environ.get(variable) or _number(environ, variable) == pid


def _number(environ: Mapping[str, str], variable: str) -> int:
    text = environ.get(variable, "0")
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(1 << 64)):
        raise Stop(USAGE, f"{variable}: {text!r} is no number; whoever started wsrv has set it")
    return int(text)


def current(environ: MutableMapping[str, str] = os.environ) -> "ServiceSettings":
    """What is there for this process. Raises Stop."""
    return take(environ, os.getpid())
