"""The suites find what is wrong, and say what they have seen."""

from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from wsrv.plugins.policies.lru import Lru
from wsrv.testing.policy import Life, PolicyContract


class Hoarder(Lru):
    """Lets nobody go."""

    NAME: ClassVar[str] = "hoarder"

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        if weight > self._capacity_bytes:
            return [key]
        self._weights[key] = weight
        self._weight_bytes += weight
        return []


class Forgetful(Lru):
    """Removes, and does not subtract."""

    NAME: ClassVar[str] = "forgetful"

    def remove(self, key: bytes) -> None:
        self._weights.pop(key, None)


class Rude(Lru):
    """Refuses a key and sends others away after it."""

    NAME: ClassVar[str] = "rude"

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        victims = super().admit(key, weight)
        if victims and key not in victims:
            self.remove(key)
            return [key, *victims]
        return victims


@pytest.mark.parametrize(
    ("policy_class", "finding"),
    [
        (Hoarder, "bytes held, "),
        (Forgetful, "weight_bytes is"),
        (Rude, "a key was refused, and others left after it\nassert "),
    ],
)
def test_a_policy_that_breaks_its_promise_is_found_out(policy_class: type[Lru], finding: str) -> None:
    suite = PolicyContract()
    suite.__dict__["policy"] = policy_class
    with pytest.raises(AssertionError, match=finding):
        suite.test_a_policy_accounts_for_every_key_after_every_step()
    with pytest.raises(AssertionError, match=finding):
        run_state_machine_as_test(
            type("Short", (Life,), {"policy": policy_class}),
            settings=settings(deadline=None, phases=[Phase.generate], report_multiple_bugs=False, database=None),
        )
