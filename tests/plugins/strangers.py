"""Distributions made up for a test: a module and the metadata that pip would have installed with it."""

from pathlib import Path

GOOD = """
from typing import ClassVar
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.lru import Lru
WSRV_API = 1
class Good(Lru):
    "As good as lru."
    NAME: ClassVar[str] = "good"
@hookimpl
def wsrv_register_policies():
    return [Good]
"""

PRIMITIVES = """
from typing import ClassVar
from wsrv.engine.sync.primitive import SEMAPHORE
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.primitives.posix import Posix
WSRV_API = 1
class Warm(Posix):
    "As good as posix."
    NAME: ClassVar[str] = "warm"
class Cold(Warm):
    "As good, elsewhere."
    NAME: ClassVar[str] = "cold"
    @classmethod
    def available(cls):
        return "it is too cold here; heat the room"
class Half(Warm):
    "Semaphores only."
    NAME: ClassVar[str] = "half"
    OFFERS: ClassVar[frozenset[str]] = frozenset({SEMAPHORE})
@hookimpl
def wsrv_register_primitives():
    return [Warm, Cold, Half]
"""

COMMAND = """
import click
from wsrv.plugins.hookspecs import hookimpl
WSRV_API = 1
@hookimpl
def wsrv_register_commands(cli):
    @cli.command()
    def hello():
        "Say hello."
        click.echo("hello")
"""


def install(folder: Path, distribution: str, code: str | None, entry: str = "{module}", version: str = "1.0") -> str:
    """Put a distribution into `folder`, one module with this code; the name of its plugin.

    The module and the plugin are named after the distribution; `entry` is what the entry point leads to.
    """
    module = distribution.replace("-", "_")
    if code is not None:
        (folder / f"{module}.py").write_text(code)
    metadata = folder / f"{module}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[wsrv]\n{module} = {entry.format(module=module)}\n")
    return module


def entry_points(folder: Path, module: str, text: str) -> None:
    """Give an installed distribution another list of entry points."""
    (folder / f"{module}-1.0.dist-info" / "entry_points.txt").write_text(text)
