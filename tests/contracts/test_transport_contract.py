"""Every registered transport does what the protocol says."""

import pytest

from wsrv.engine.ipc.transport import Transport
from wsrv.plugins.registry import load
from wsrv.testing.transport_accepting import AcceptingContract
from wsrv.testing.transport_dispatching import DispatchingContract


def _suite(transport: type[Transport]) -> type:
    """The tests of `transport`, or one that says why it cannot work here."""
    contract = DispatchingContract if transport.DISPATCHES else AcceptingContract
    suite = type(f"Test_{transport.NAME}", (contract,), {"transport": transport})
    reason = transport.available()
    return suite if reason is None else pytest.mark.skip(reason=reason)(suite)


for _transport in load().transports.values():
    globals()[f"Test_{_transport.NAME}"] = _suite(_transport)
