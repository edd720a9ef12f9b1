# The leak check and the bound of the contract suites hold here too.
"""Fixtures for the tests of the plugins."""

from tests.contracts.conftest import bounded, clients, nothing_left_behind

__all__ = ["bounded", "clients", "nothing_left_behind"]
