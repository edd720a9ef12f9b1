# What children give up before they read the first byte of a client.
#
#              workers, keeper                                  with a transport that traces the master
#   sandbox    a Landlock domain each: read the roots,          one domain for all, entered by the master before the
#              the program and what it needs; write nothing     first fork: log and runtime folder can be written
#   --user     another user and group, no capabilities          refused
#   always     no new privileges                                the same, the master too
#
# Rule 1: a domain is made at the birth of a worker, from the paths of then: a root that was replaced is in the domain
#         of workers to come (engine/static/root.py has the present ones leave).
# Rule 2: what a worker imports late is imported before it becomes somebody who may not read it.
# Rule 3: the log writer keeps the master's rights: it makes files in folders of others, and reads no client's bytes
#         but as text to copy.
"""Confinement: another user, no new privileges, Landlock."""

import contextlib
import importlib
import json
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsrv.engine.ipc.transport import Transport
from wsrv.engine.master import landlock
from wsrv.engine.master.fork import fork
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.settings import ConfineSettings, Settings
from wsrv.engine.static.root import may_list

# Modules that workers import when they first need them.
_LATE_MODULES = (
    "brotli",
    "bcrypt",
    "encodings.idna",
    "wsrv.engine.worker.sampling",
    "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd",
)
# Libraries that modules of the interpreter are bound to, what the loader knows of them, and the zones of the clock.
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime")
_SYSTEM_MORE = ("/usr/share/zoneinfo", "/dev/null", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Confinement:
    """How children are confined. `sandboxed`: by Landlock; `together`: the master with them, in one domain."""

    settings: ConfineSettings
    sandboxed: bool
    together: bool

    @classmethod
    def plan(cls, settings: Settings, transport: type[Transport], voice: Voice) -> "Confinement":
        """What can be had here. Raises CannotStart where that is not what was asked for, after a child has tried it."""
        wish = settings.confine
        together = getattr(transport, "TRACES", False)
        if wish.user and os.geteuid() not in (0, wish.uid):
            raise CannotStart(f"only root can have workers run as {wish.user}; start as root, or without --user")
        if wish.user and together and os.geteuid() != wish.uid:
            raise CannotStart(
                f"{transport.NAME}: worker and master would run as different users, which the kernel refuses here "
                "(EPERM); use --ipc socketpair, or drop --user"
            )
        sandboxed = wish.sandbox != "off" and _landlock(wish, voice)
        if sandboxed and together:
            voice.say(
                f"with --ipc {transport.NAME} master and workers are confined as one: a root that is replaced by "
                "another folder is not served before a restart, and a config file that is replaced not read"
            )
        if wish.user and os.geteuid() == 0:
            for module in _LATE_MODULES:
                importlib.import_module(module)
        plan = cls(wish, sandboxed, together)
        plan.check(settings, voice)
        return plan

    def check(self, settings: Settings, voice: Voice) -> None:
        """Have a child confine itself as a worker does, and read what it has to. Raises CannotStart."""
        if not self.sandboxed and not self.settings.user:
            return
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            child = fork([theirs], "wsrv: trial", lambda: self._tell(settings, theirs))
        finally:
            os.close(theirs)
        with open(ours, "rb") as pipe:
            said = pipe.read()
        with contextlib.suppress(ChildProcessError):  # where SIGCHLD is ignored, as some parents leave it
            os.waitpid(child, 0)
        faults, warnings = json.loads(said or b'[["a child that tried it died of it"], []]')
        if faults:
            raise CannotStart("cannot confine workers: " + "; ".join(faults))
        for warning in warnings:
            voice.warn(warning)

    def master(self, settings: Settings) -> None:
        """Confine the master, where it is confined with its workers. Before the first fork. Raises CannotStart."""
        if self.together and self.sandboxed:
            writes = {settings.runtime.directory, *(one.path.parent for one in settings.listen if one.path)}
            if settings.log.path != "-":
                writes.add(Path(settings.log.path).parent)
            if settings.status.file is not None:
                writes.add(settings.status.file.parent)
            try:
                landlock.keep_privileges_out()
                reads = [*_program(), *_served(settings), *map(str, settings.site.withheld)]
                landlock.restrict(reads, map(str, writes), alone=False)
            except OSError as error:
                raise CannotStart(f"cannot enter a sandbox: {error.strerror}; --sandbox off does without") from error

    def worker(self, settings: Settings) -> None:
        """Confine this process, a worker of `settings`. Raises OSError."""
        self._enter([*_program(), *_served(settings)])

    def keeper(self) -> None:
        """Confine this process, the keeper of a shared cache: it reads no file at all. Raises OSError."""
        self._enter([*_program()])

    def _enter(self, reads: list[str]) -> None:
        landlock.keep_privileges_out()
        if self.sandboxed and not self.together:
            landlock.restrict(reads, [], alone=True)
        wish = self.settings
        if wish.user and os.geteuid() != wish.uid:
            # In this order: whoever is no longer root can change neither groups nor group.
            os.initgroups(wish.user, wish.gid)
            os.setresgid(wish.gid, wish.gid, wish.gid)
            os.setresuid(wish.uid, wish.uid, wish.uid)

    def _tell(self, settings: Settings, pipe: int) -> None:
        """The trial, in the child: what fails, and what is worth a warning, as two lists of sentences."""
        faults, warnings = [], []
        try:
            self.worker(settings)
        except OSError as error:
            faults.append(f"{error.strerror}; --sandbox off does without Landlock" if self.sandboxed else str(error))
        else:
            who = self.settings.user or "a confined worker"
            sites = (settings.site, *(host.site for host in settings.hosts))
            roots = sorted({one.root for one in sites})
            faults = [f"{who} may not read the folder {root}" for root in roots if not may_list(root)]
            files = sorted({rule.file for one in sites for rule in one.auth})
            faults += [f"{who} may not read the password file {file}" for file in files if not os.access(file, os.R_OK)]
            if not may_list(settings.site.pages):
                warnings = [f"{who} may not read {settings.site.pages}: plain error pages, no dashboard"]
        os.write(pipe, json.dumps((faults, warnings)).encode())


def _landlock(wish: ConfineSettings, voice: Voice) -> bool:
    """Whether there is Landlock. Raises CannotStart where it is required and there is none."""
    if landlock.version():
        return True
    why = "the kernel has no Landlock (Linux 5.13), does not enable it, or a seccomp filter hides it"
    if wish.sandbox == "require":
        raise CannotStart(f"--sandbox require: {why}")
    voice.warn(f"workers are not confined to what they serve: {why}; --sandbox off says that this is meant")
    return False


def _served(settings: Settings) -> Iterator[str]:
    """What workers read for clients: roots, pages, and the folders of files that are renewed by renaming."""
    for one in (settings.site, *(host.site for host in settings.hosts)):
        yield from (str(path) for path in (one.root, one.pages, one.templates, settings.status.pages) if path)
        for rule in one.auth:
            yield from _folders_of(rule.file)
    for files in settings.tls.certificates:
        yield from (folder for file in (files.cert, files.key) for folder in _folders_of(file))


def _folders_of(file: Path) -> tuple[str, str]:
    """Where a file stands, and where what it links to does: a renewed link leads to a neighbour of that."""
    return str(file.parent), os.path.dirname(os.path.realpath(file))


def _program() -> set[str]:
    """What the program is made of: the interpreter's folders, and those of every module that is loaded."""
    found = {path for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
    found |= {*site.getsitepackages(), site.getusersitepackages(), *_SYSTEM, *_SYSTEM_MORE}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__":
            found.add(os.path.dirname(os.path.realpath(file)))
    return found
