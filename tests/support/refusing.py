"""Calls of the system that fail as they do where something is missing or forbidden."""

import os
from collections.abc import Callable
from typing import NoReturn


def refusing(code: int) -> Callable[..., NoReturn]:
    """A call that fails with this errno, whatever it is given."""

    def refuse(*arguments: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refuse
