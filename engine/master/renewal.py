# What a running server is to become: the settings read again, by whoever knows where they come from.
"""A change of settings for a server that runs."""

from collections.abc import Callable
from dataclasses import dataclass

from wsrv.engine.cache.policy import Policy
from wsrv.engine.settings import Settings


class CannotRenew(Exception):
    """What is wrong with the settings, a line each. The server goes on as it is."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """`settings` hold what is in force only until a restart as it was; `pending` names that, a line each.

    `policy` is the one that they name; another may have been chosen since the start.
    """

    settings: Settings
    policy: type[Policy]
    pending: tuple[str, ...] = ()


# Reads the settings again. Raises CannotRenew.
Renew = Callable[[], Renewal]
