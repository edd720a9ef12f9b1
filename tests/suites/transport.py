# What is asked of every transport, whether the master dispatches with it or not.
"""The contract of a transport, as far as it is the same for all."""

from typing import ClassVar

from wsrv.engine.ipc.transport import Transport
from wsrv.plugins.checks import faults
from wsrv.testing.surroundings import Surroundings


class TransportContract(Surroundings):
    """What every transport does. Test with DispatchingContract or AcceptingContract.

    A subclass names its class in `transport`.
    """

    transport: ClassVar[type[Transport]]
    # What the suite is for.
    dispatches: ClassVar[bool]

    def test_the_class_can_be_registered(self) -> None:
        assert faults("transport", self.transport) == []

    def test_the_suite_is_the_one_for_its_kind(self) -> None:
        assert self.transport.DISPATCHES is self.dispatches

    def test_it_says_in_a_sentence_whether_it_is_available(self) -> None:
        reason = self.transport.available()
        assert reason is None or " " in reason
