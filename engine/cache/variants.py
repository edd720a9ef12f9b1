# A policy may have parameters beside its capacity: those that its __init__ takes by keyword only, with a default that
# is a bool, an int, a float or a word. Whoever names the policy sets them behind a colon:
#
#   s3fifo                      all as they are
#   s3fifo:bounded=1            one set
#   mine:probes=8,share=0.25    two
"""Cache policies by name, with parameters."""

from collections.abc import Mapping
from functools import partialmethod
from inspect import Parameter, signature
from typing import Any, cast

from wsrv.engine.cache.policy import Policy

_BOOLS = {"1": True, "true": True, "0": False, "false": False}


class UnfitParameter(ValueError):
    """What stands behind the colon is nothing that this policy can be told."""


def variant(policies: Mapping[str, type[Policy]], name: str) -> type[Policy]:
    """The class called `name`; with parameters set, a class of that NAME made of it.

    KeyError when there is no such policy, UnfitParameter when it cannot be told that.
    """
    plain, colon, told = name.partition(":")
    policy = policies[plain]
    if not colon:
        return policy
    defaults = _defaults(policy)
    given: dict[str, Any] = {}
    for pair in told.split(","):
        parameter, _, text = pair.partition("=")
        if parameter not in defaults:
            has = f"its parameters: {', '.join(defaults)}" if defaults else "it has none"
            raise UnfitParameter(f"{plain}: no parameter '{parameter}'; {has}")
        try:
            given[parameter] = _read(type(defaults[parameter]), text)
        except (KeyError, ValueError):
            like = "0 or 1" if isinstance(defaults[parameter], bool) else f"a value like {defaults[parameter]}"
            raise UnfitParameter(f"{plain}: {parameter}={text}: not {like}") from None
    made = type(policy.__name__, (policy,), {"__doc__": policy.__doc__, "NAME": name})
    made.__init__ = partialmethod(policy.__init__, **given)  # type: ignore[misc]
    return cast("type[Policy]", made)


def _defaults(policy: type[Policy]) -> dict[str, Any]:
    return {
        parameter.name: parameter.default
        for parameter in signature(policy).parameters.values()
        if parameter.kind is Parameter.KEYWORD_ONLY and isinstance(parameter.default, (bool, int, float, str))
    }


def _read(kind: type, text: str) -> Any:
    return _BOOLS[text.lower()] if kind is bool else kind(text)
