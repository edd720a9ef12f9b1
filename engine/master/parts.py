"""The exchangeable parts, as classes: what serve chose by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.sync.primitive import Primitive


@dataclass(frozen=True, slots=True)
class Parts:
    """One transport, one primitive, one policy; and all `primitives` that there are, for the one that does not fit.

    `types` are content types by suffix that plugins add; `policies` all that there are, by name: a running server may
    change to another.
    """

    transport: type[Transport]
    primitive: type[Primitive]
    policy: type[Policy]
    primitives: tuple[type[Primitive], ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    policies: Mapping[str, type[Policy]] = field(default_factory=dict)
