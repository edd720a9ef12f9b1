# The leak check and the bound of the contract suites hold here too.
"""Fixtures for the tests of guards."""

from tests.contracts.conftest import bounded, nothing_left_behind

__all__ = ["bounded", "nothing_left_behind"]
