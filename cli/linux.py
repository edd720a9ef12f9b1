# What wsrv needs of the system, asked before anything is imported that only Linux has.
"""Whether a server can run on this system at all."""

import platform
import re
import sys

from wsrv.cli.exits import CANNOT_START, Stop

# openat2 and pidfd_getfd, both of 5.6, are the youngest calls that nothing else can stand in for.
_KERNEL = (5, 6)


def require_linux() -> None:
    """Raises Stop where there is no Linux of at least 5.6."""
    needs = f"wsrv needs Linux {_KERNEL[0]}.{_KERNEL[1]} or later"
    if not sys.platform.startswith("linux"):
        raise Stop(CANNOT_START, f"{needs}; this is {platform.system() or sys.platform}")
    release = platform.release()
    version = re.match(r"(\d+)\.(\d+)", release)
    if version and (int(version[1]), int(version[2])) < _KERNEL:
        raise Stop(CANNOT_START, f"{needs}; this is Linux {release}")
