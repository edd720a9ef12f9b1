"""The exchangeable parts, as classes: what serve chose by name."""

from dataclasses import dataclass

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.sync.primitive import Primitive


@dataclass(frozen=True, slots=True)
class Parts:
    """One transport, one primitive, one policy; and all `primitives` that there are, for the one that does not fit.

    `types` are content types by suffix that plugins add.
    """

    transport: type[Transport]
    primitive: type[Primitive]
    policy: type[Policy]
    primitives: tuple[type[Primitive], ...] = ()
    types: tuple[tuple[str, str], ...] = ()
