# What the master says and how it gives up, told apart from how a person is shown either.
#
# This file imports nothing but typing: whoever only wants to catch CannotStart gets no system module with it.
"""How the master speaks to whoever started it."""

from typing import Protocol


class CannotStart(Exception):
    """The server cannot start here. The message is one line for a person: what, why, and what to do about it."""


class Voice(Protocol):
    """Where the master's words go. None of the three waits or raises."""

    def say(self, text: str) -> None:
        """The few essential lines, such as the address."""

    def warn(self, text: str) -> None:
        """What works, but not as the person may expect."""

    def detail(self, text: str) -> None:
        """What only somebody who asked for it wants to read."""
