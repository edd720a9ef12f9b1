# Whether a class can be what it is registered as: asked once, at registration, of everybody's classes.
#
# What a kind must have is read off its protocol in the engine, so that the two cannot differ. Signatures are compared
# by whether they take the arguments that the protocol passes; what the methods do is for the suites in wsrv.testing.
"""What a class lacks to be a transport, a primitive or a cache policy."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, Literal

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.sync.primitive import LOCK, SEMAPHORE, Primitive

Kind = Literal["transport", "primitive", "policy"]

PROTOCOLS: Mapping[Kind, type] = {"transport": Transport, "primitive": Primitive, "policy": Policy}

# It is typed on command lines and into config files.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def faults(kind: Kind, part: Any) -> list[str]:
    """What is wrong with `part`, a few words each; empty when it can be registered as `kind`."""
    if not isinstance(part, type):
        return ["an object, not a class"]
    found = [*_name_faults(part)]
    if not part.__doc__ and sys.flags.optimize < 2:  # -OO strips them
        found.append("no docstring")
    protocol = PROTOCOLS[kind]
    found += _attribute_faults(protocol, part)
    for name, member in vars(protocol).items():
        if isinstance(member, property):
            if _holder(protocol, part, name) is None:
                found.append(f"no property {name}")
        elif isinstance(member, (FunctionType, classmethod)) and member.__module__ == protocol.__module__:
            found += _method_faults(protocol, part, name, member)
    return found


def _name_faults(part: type) -> Iterator[str]:
    name = getattr(part, "NAME", None)
    if name is None:
        yield "no NAME"
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"NAME is {name!r}, not a word of a-z, 0-9, '-', '_' and '.'"


def _attribute_faults(protocol: type, part: type) -> Iterator[str]:
    for name in inspect.get_annotations(protocol):
        if name == "NAME":
            continue
        value = getattr(part, name, None)
        if value is None:
            yield f"no {name}"
        elif name == "DISPATCHES" and not isinstance(value, bool):
            yield f"DISPATCHES is {value!r}, not a bool"
        elif name == "OFFERS" and not (isinstance(value, (set, frozenset)) and value & {LOCK, SEMAPHORE}):
            yield f"OFFERS is {value!r}, not a set that has {LOCK!r} or {SEMAPHORE!r} in it"


def _method_faults(protocol: type, part: type, name: str, member: Any) -> Iterator[str]:
    of_the_class = isinstance(member, classmethod)
    parameters = [*inspect.signature(member.__func__ if of_the_class else member).parameters][1:]
    if name == "__init__":
        if not _takes(part, parameters):
            yield f"it is not made with ({', '.join(parameters)})"
        return
    wanted = f"{'classmethod' if of_the_class else 'method'} {name}({', '.join(parameters)})"
    holder = _holder(protocol, part, name)
    if holder is None:
        yield f"no {wanted}"
    elif name in vars(holder):
        method = vars(holder)[name]
        bound = of_the_class or isinstance(method, (classmethod, staticmethod))
        if not _takes(getattr(part, name), parameters if bound else ["self", *parameters]):
            yield f"{name} is no {wanted}"


def _takes(method: Any, arguments: list[str]) -> bool:
    """Whether it can be called with so many; what has no signature (some of C's) is believed."""
    if not callable(method):
        return False
    try:
        signature = inspect.signature(method)
    except ValueError:
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _holder(protocol: type, part: type, name: str) -> type | None:
    """The class that has or announces `name`: `part` or one of its bases, but not the protocol with its empty bodies.

    An annotation announces what __init__ sets: for a hot method that is a bound method of something else.
    """
    for base in part.__mro__:
        if base is not protocol and (name in vars(base) or name in inspect.get_annotations(base)):
            return base
    return None
