"""The suites find what is wrong, and say what they have seen."""

from typing import ClassVar

import pytest

from wsrv.plugins.policies.lru import Lru
from wsrv.testing.policy import PolicyContract


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
    """Refuses a key and sends others away for it."""

    NAME: ClassVar[str] = "rude"

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        victims = super().admit(key, weight)
        if victims and key not in victims:
            self.remove(key)
            return [*victims, key]
        return victims


@pytest.mark.parametrize(
    ("policy_class", "finding"),
    [
        (Hoarder, "bytes held, "),
        (Forgetful, "weight_bytes is"),
        (Rude, "a key was refused, and others left for it\nassert "),
    ],
)
def test_a_policy_that_breaks_its_promise_is_found_out(policy_class: type[Lru], finding: str) -> None:
    suite = PolicyContract()
    suite.__dict__["policy"] = policy_class
    with pytest.raises(AssertionError, match=finding):
        suite.test_a_policy_accounts_for_every_key_after_every_step()
