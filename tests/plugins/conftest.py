# The leak check of the contract suites holds here too.
"""Fixtures for the tests of the plugins."""

from tests.contracts.conftest import clients, nothing_left_behind

__all__ = ["clients", "nothing_left_behind"]
