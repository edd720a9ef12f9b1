# Another policy for the cache of this worker, while it serves: the question `policy`.
"""Changing the policy of a running worker."""

from collections.abc import Mapping
from typing import Any

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.store import Store
from wsrv.engine.cache.variants import variant
from wsrv.engine.ipc.question import Message
from wsrv.engine.worker.questions import Steps

# Keys handed over before others have a turn.
_STEP = 128


class Change:
    """Changes the policy of `store` to one of `policies`, each made with `capacity_bytes`."""

    def __init__(self, store: Store[Any], policies: Mapping[str, type[Policy]], capacity_bytes: int) -> None:
        self._store = store
        self._policies = policies
        self._capacity_bytes = capacity_bytes

    def policy(self, question: Message, now_ns: int) -> Steps:
        """Change to the policy `name`; what is held then, and how many entries it did not take. Raises ValueError."""
        name = str(question.get("name"))
        try:
            return self._change(variant(self._policies, name))
        except KeyError:
            raise ValueError(f"no policy is called {name}") from None

    def _change(self, policy: type[Policy]) -> Steps:
        store = self._store
        while store.changes:
            yield None
        before = len(store)
        for number, _ in enumerate(store.succeed(policy(self._capacity_bytes))):
            if number % _STEP == _STEP - 1:
                yield None
        return {"objects": len(store), "size_bytes": store.size_bytes, "left": max(0, before - len(store))}
