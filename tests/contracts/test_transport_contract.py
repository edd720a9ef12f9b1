"""Every registered transport does what the protocol says."""

import pytest

from tests.contracts.transport_accepting import AcceptingContract
from tests.contracts.transport_dispatching import DispatchingContract
from wsrv.engine.ipc.transport import Transport
from wsrv.plugins.registry import load


def _suite(transport: type[Transport]) -> type:
    """The tests of `transport`, or one that says why it cannot work here."""
    contract = DispatchingContract if transport.DISPATCHES else AcceptingContract
    suite = type(f"Test_{transport.NAME}", (contract,), {"transport": transport})
    reason = transport.available()
    return suite if reason is None else pytest.mark.skip(reason=reason)(suite)


for _transport in load().transports.values():
    globals()[f"Test_{_transport.NAME}"] = _suite(_transport)
