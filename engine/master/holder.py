# Who holds a port, as far as /proc tells.
#
# Rule 1: one bounded look. Whoever could not be found in time stays unknown.
# Rule 2: what another process calls itself is not to be trusted on a terminal: unprintable characters are replaced.
#
# A line of /proc/net/tcp, the fields used here marked (proc(5)):
#
#   sl  local_address rem_address   st tx:rx tr:when retrnsmt uid timeout inode
#   0:  0100007F:1F90 00000000:0000 0A ...                                12345
#       ^^^^^^^^^^^^^               ^^                                    ^^^^^
"""Which process listens on an address."""

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"
# The server has failed to start by then: a name is worth the wait, on a busy machine too.
_LOOK_SECONDS = 2.0
_COMMAND_CHARACTERS = 60


def port_holder(address: bytes, port: int, proc: Path = Path("/proc")) -> str | None:
    """The process that listens where `address` (packed, 4 or 16 bytes) and `port` would, as `command (pid N)`.

    None when it cannot be seen: another user's, in another namespace, or gone by now.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(address, port, proc)}
    if not sockets:
        return None
    until = time.monotonic() + _LOOK_SECONDS
    for process in proc.iterdir():
        if time.monotonic() > until:
            return None
        if process.name.isdecimal() and _holds(process, sockets):
            return f"{_command(process)} (pid {process.name})"
    return None


def _listening_inodes(address: bytes, port: int, proc: Path) -> Iterator[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            host, _, number = fields[1].partition(":")
            if fields[3] == _LISTEN and int(number, 16) == port and _collide(_unpack(host), address):
                yield fields[9]


def _unpack(host: str) -> bytes:
    """The address as inet_pton packs it: the kernel prints each 32-bit word as a number of this machine."""
    return b"".join(struct.pack("=I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8))


def _collide(one: bytes, other: bytes) -> bool:
    return one == other or not any(one) or not any(other)


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(os.readlink(fd) in sockets for fd in (process / "fd").iterdir())
    except OSError:  # it ended meanwhile, or is another user's
        return False


def command_of(pid: int, proc: Path = Path("/proc")) -> str:
    """The command line of a process, fit for a terminal."""
    return _command(proc / str(pid))


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").replace("\0", " ")
        name = words or (process / "comm").read_text().strip()
    except OSError:
        return "a process"
    shown = "".join(c if c.isprintable() else "?" for c in name)
    return shown if len(shown) <= _COMMAND_CHARACTERS else shown[: _COMMAND_CHARACTERS - 1] + "…"
