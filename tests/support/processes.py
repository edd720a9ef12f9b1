# psutil lets a bare ProcessLookupError through where a process is reaped between the opening and the reading of its
# stat file, and says NoSuchProcess of a child that ends between two questions. Neither is a fault of the server.
"""The children of a process, looked at while they come and go."""

import contextlib

import psutil

# A child that dies spoils one look. So many in a row are a fault of something else.
_LOOKS = 50


def children(process: psutil.Process, named: str = "", *, recursive: bool = False) -> list[psutil.Process]:
    """The children of `process` whose names begin with `named`, by name; those that die meanwhile are left out.

    Raises psutil.NoSuchProcess when `process` itself is gone.
    """
    for look in range(_LOOKS):
        try:
            found = process.children(recursive=recursive)
        except ProcessLookupError:
            if look == _LOOKS - 1:
                raise
        else:
            break
    if not named:
        return found
    names = [(_name(child), place) for place, child in enumerate(found)]
    return [found[place] for name, place in sorted(names) if name.startswith(named)]


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        name: str = process.name()
        return name
    return ""
