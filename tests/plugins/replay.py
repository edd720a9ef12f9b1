"""Requests of a trace, played to a policy as a cache in front of it would."""

from collections.abc import Iterable

from wsrv.engine.cache.policy import Policy


def replay(policy: Policy, trace: Iterable[tuple[bytes, int]]) -> list[bool]:
    """Whether each request was a hit."""
    hits = []
    for key, weight in trace:
        found = key in policy
        if found:
            policy.hit(key)
        else:
            policy.admit(key, weight)
        hits.append(found)
    return hits
