# The control command `policy`: which one the caches follow, and another one for all of them.
#
#   {"command": "policy"}                    ─> {"policy": "lru", "since_seconds": …, "hits": …, …, "known": […]}
#   {"command": "policy", "name": "sieve"}   ─> {"before": {…}, "after": {…}, "left": 3, "silent": [], "gone": []}
#                                            ─> {"fault": "unknown", "known": […]}
#                                            ─> {"fault": "parameter" or "unavailable", "why": "…"}
#
# Rule: workers to come follow the new policy from the moment it is asked for; nobody falls between.
"""Changing the cache policy of a running server."""

from collections.abc import Callable, Mapping
from time import monotonic_ns
from typing import Any

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.variants import UnfitParameter, variant
from wsrv.engine.ipc.question import Message
from wsrv.engine.master.control import Reply
from wsrv.engine.master.inquiry import Inquiries, Inquiry
from wsrv.engine.master.supervise import Nursery
from wsrv.engine.settings import SHARED

_COUNTED = ("hits", "misses", "evictions")


class PolicySwitch:
    """Says which policy the caches follow, and changes it. `counts` gives what the caches count, since the start."""

    def __init__(
        self,
        policies: Mapping[str, type[Policy]],
        nursery: Nursery,
        inquiries: Inquiries,
        counts: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._policies = policies
        self._nursery = nursery
        self._inquiries = inquiries
        self._counts = counts
        # When the policy became the one that it is, and what had been counted then.
        self._since_ns = monotonic_ns()
        self._then: dict[str, int] = dict.fromkeys(_COUNTED, 0)

    def ask(self, request: Message, reply: Reply) -> None:
        """Answer the command."""
        name = request.get("name")
        if name is None:
            reply.end({**self._figures(), "known": [*self._policies]})
            return
        try:
            wanted = variant(self._policies, str(name))
        except KeyError:
            reply.end({"fault": "unknown", "known": [*self._policies]})
            return
        except UnfitParameter as error:
            reply.end({"fault": "parameter", "why": str(error)})
            return
        if self._nursery.coming is not None:
            reply.end({"fault": "unavailable", "why": "the server is reloading; try again in a moment"})
        elif (why := self._obstacle(wanted)) is not None:
            reply.end({"fault": "unavailable", "why": why})
        else:
            self._change(wanted, reply)

    def _obstacle(self, policy: type[Policy]) -> str | None:
        try:
            return policy.available(self._nursery.current.settings.cache)
        except Exception as error:  # of a plugin
            return f"available() raised {type(error).__name__}: {error}"

    def _change(self, policy: type[Policy], reply: Reply) -> None:
        before = self._figures()
        generation = self._nursery.current
        old, generation.policy = generation.policy, policy
        answers: list[Message] = []

        def over(inquiry: Inquiry) -> None:
            if faults := [str(answer["error"]) for answer in answers if "error" in answer]:
                if len(faults) == len(answers):
                    generation.policy = old
                reply.end({"error": f"{policy.NAME}: {faults[0]}"})
                return
            self._since_ns = monotonic_ns()
            self._then = {key: self._counts()[key] for key in _COUNTED}
            held = {key: sum(answer[key] for answer in answers) for key in ("objects", "size_bytes")}
            if generation.settings.cache.scope == SHARED:
                # What the workers speak of are their fronts.
                held = {}
                self._nursery.renew_keeper()
            reply.end(
                {
                    "before": before,
                    "after": {**self._figures(), **held},
                    "left": sum(answer["left"] for answer in answers),
                    "workers": len(answers),
                    "silent": sorted(inquiry.silent),
                    "gone": sorted(inquiry.gone),
                }
            )

        self._inquiries.ask(
            {"ask": "policy", "name": policy.NAME}, lambda worker, page, last: answers.append(page), over
        )

    def _figures(self) -> dict[str, Any]:
        """What the caches hold, and what was counted since the policy is the one that it is."""
        counts = self._counts()
        return {
            "policy": self._nursery.current.policy.NAME,
            "since_seconds": round((monotonic_ns() - self._since_ns) / 1e9, 3),
            "objects": counts["objects"],
            "size_bytes": counts["size_bytes"],
            **{key: counts[key] - self._then[key] for key in _COUNTED},
        }
