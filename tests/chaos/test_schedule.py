"""Rounds of `make chaos` follow from their seed, and together cover what they should."""

from itertools import product

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.schedule import PARTS, rounds

TRANSPORTS = {"one": True, "two": True, "three": False, "four": False}


def test_the_same_seed_is_the_same_run_and_another_one_is_another() -> None:
    assert rounds(7, TRANSPORTS, 300) == rounds(7, TRANSPORTS, 300) != rounds(8, TRANSPORTS, 300)


def test_a_long_run_has_every_transport_with_all_parts() -> None:
    found = [(one.transport, (one.primitive, one.scope)) for one in rounds(1, TRANSPORTS, 300)]
    assert sorted(found) == sorted(product(TRANSPORTS, PARTS))


@pytest.mark.parametrize("seed", range(8))
def test_a_minute_has_every_transport_and_every_part_once_and_deals_most_faults(seed: int) -> None:
    found = rounds(seed, TRANSPORTS, 60)
    assert [one.transport for one in found] == list(TRANSPORTS)
    assert {(one.primitive, one.scope) for one in found} == set(PARTS)
    assert sum(one.seconds for one in found) == 60
    dealt = {name for one in found for name in one.faults[: len(FAULTS) // len(found) + 1]}
    assert len(dealt) > len(FAULTS) * 0.7


def test_no_server_has_faults_that_it_cannot_have() -> None:
    for one in rounds(3, TRANSPORTS, 300):
        dispatches, shared = TRANSPORTS[one.transport], one.scope == "shared"
        assert ("killed with queue" in one.faults) == dispatches
        assert ("keeper killed" in one.faults) == ("killed with cache_writer" in one.faults) == shared
