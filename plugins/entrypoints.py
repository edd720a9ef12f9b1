# Which plugins other distributions bring, found without importing any of them.
#
# Rule 1: nothing in somebody else's metadata, however broken, is an error here. What names our group and cannot be read
#   is found as an Unreadable one, so that it can be named; what does not name our group is passed over.
# Rule 2: importlib.metadata costs a quarter of `wsrv --help`: it is imported when some file names our group.
# Rule 3: of two distributions of one name the first on sys.path counts, as it does for imports.
"""Finding plugins by the entry-point group `wsrv`."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from importlib import metadata

GROUP = "wsrv"

# A plugin named here is not loaded. The callers of wsrv.plugins read it; the messages name it.
DISABLE_VARIABLE = "WSRV_DISABLE_PLUGINS"

# What stands for the name of a distribution whose metadata cannot be read.
_NAMELESS = "a distribution without a name"


@dataclass(frozen=True, slots=True)
class Origin:
    """A plugin by the name of its entry point, and the distribution that brings it."""

    plugin: str
    distribution: str
    version: str

    @property
    def release(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".rstrip()

    def __str__(self) -> str:
        return f"'{self.plugin}' ({self.release})"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands where an entry point would, when a distribution's list of them cannot be read."""

    why: str


def found() -> Iterator[tuple[Origin, Union["metadata.EntryPoint", Unreadable]]]:
    """Every entry point of our group, in the order of sys.path."""
    if not _may_be_there():
        return
    from importlib import metadata

    seen = set()
    for candidate in metadata.distributions():
        if not _names_our_group(candidate):
            continue
        distribution, name, version = _imported_instead_of(candidate)
        if name in seen:
            continue
        if name != _NAMELESS:
            seen.add(name)
        try:
            entries = [*distribution.entry_points.select(group=GROUP)]
        except Exception as error:  # a line that is no entry raises whatever came of reading it
            yield Origin(name, name, version), Unreadable(f"its entry_points.txt cannot be read ({error!r})")
            continue
        for entry in entries:
            yield Origin(entry.name, name, version), entry


def disabled(environ: Mapping[str, str]) -> list[str]:
    """The names in WSRV_DISABLE_PLUGINS, commas or spaces between."""
    return environ.get(DISABLE_VARIABLE, "").replace(",", " ").split()


def normalized(name: str) -> str:
    """The name of a distribution as packaging tools compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _may_be_there() -> bool:
    """Whether metadata may name our group. False is sure; where not everything is a plain folder, it may."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return True
    return any(_folder_may_name_it(folder or os.curdir) for folder in sys.path)


def _folder_may_name_it(folder: str) -> bool:
    try:
        names = os.listdir(folder)
    except NotADirectoryError:
        return True  # an archive
    except OSError:
        return False
    if any(name.lower().endswith(".egg") for name in (folder, *names)):
        return True
    return any(
        _file_names_it(os.path.join(folder, name, "entry_points.txt"))
        for name in names
        if name.lower().endswith((".dist-info", ".egg-info"))
    )


def _file_names_it(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return f"[{GROUP}]".encode() in stream.read()
    except OSError:
        return False


def _names_our_group(distribution: "metadata.Distribution") -> bool:
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except (OSError, UnicodeError):
        return False


def _imported_instead_of(candidate: "metadata.Distribution") -> tuple["metadata.Distribution", str, str]:
    """The first distribution of the candidate's name, often itself; its name and version."""
    from importlib import metadata

    try:
        first = metadata.distribution(candidate.name)
        return first, first.name, first.version
    except Exception:  # metadata that cannot be read raises whatever came of it
        return candidate, _NAMELESS, ""
