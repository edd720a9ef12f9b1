# Descriptors that a process which takes connections keeps for everything else: a whole batch under way, files,
# children, clients that are being refused.
#
# The kernel gives out the lowest free number. So a connection whose number lies in the reserve says that all below are
# taken, by whatever it may be, and nothing needs to be counted.
"""The reserve of descriptors."""

import resource

# A batch is 64 connections; the rest is for the others.
_RESERVED = 128


def first_reserved() -> int:
    """The lowest descriptor number that no connection may keep. Of a small limit, half is kept."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - min(_RESERVED, limit // 2)
