# What the master takes from the system before it can begin. What is taken, `undo` gives back.
"""Opening the log, claiming the name, catching signals, making slots."""

import contextlib
import os
import resource
import select
import signal
import socket
from collections.abc import Mapping as Commands
from typing import TYPE_CHECKING

from wsrv.engine.log.destination import Destination, open_destination
from wsrv.engine.master.births import cache_cell, cells_for, rows_for
from wsrv.engine.master.control import ControlServer, Handler, LateHandler, listen
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.parts import Parts
from wsrv.engine.master.runtime import RuntimeFolder
from wsrv.engine.settings import SHARED, LogSettings, RuntimeSettings, Settings
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.sync.primitive import CELL_BYTES

if TYPE_CHECKING:
    from wsrv.engine.master.sharedcache import SharedCache
    from wsrv.engine.tls.certificates import Certificates


def raise_descriptor_limit() -> None:
    """Use all the descriptors that the system allows: a server has one a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_log(settings: LogSettings, voice: Voice, undo: contextlib.ExitStack) -> Destination:
    """The access log, open. Raises CannotStart."""
    try:
        log = open_destination(settings, voice.warn)
    except OSError as e:
        raise CannotStart(f"cannot write the access log {settings.path}: {e.strerror}") from e
    undo.callback(log.close)
    return log


def claim(settings: RuntimeSettings, name: str, voice: Voice, undo: contextlib.ExitStack) -> RuntimeFolder | None:
    """The runtime folder of `name`; None, and a warning, where nothing can be written. Raises CannotStart."""
    try:
        folder = RuntimeFolder.claim(settings.directory, name)
    except OSError as e:
        voice.warn(
            f"no control socket: cannot write in {settings.directory} ({e.strerror}); "
            "`wsrv stats` will not find this server (--runtime-dir names another place)"
        )
        return None
    undo.callback(folder.close)
    return folder


def catch_signals(is_init: bool, undo: contextlib.ExitStack) -> socket.socket:
    """Signals become bytes in a socket of the loop: a handler's flag alone would be seen late (PEP 475)."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        undo.enter_context(end)
    undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False))
    # Whoever ignores SIGCHLD, as some parents leave it to us, is not told how a child ended.
    undo.callback(signal.signal, signal.SIGCHLD, signal.signal(signal.SIGCHLD, signal.SIG_DFL))
    caught = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    # Under nohup(1) the end of the terminal is not meant for us.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    if is_init:
        caught.append(signal.SIGCHLD)
    for number in caught:
        undo.callback(signal.signal, number, signal.signal(number, lambda *_: None))
    return ours


def open_control(
    folder: RuntimeFolder | None,
    commands: Commands[str, Handler],
    late: Commands[str, LateHandler],
    epoll: select.epoll,
    voice: Voice,
    undo: contextlib.ExitStack,
) -> ControlServer | None:
    """The control socket in `folder`, in the loop already; None where there can be none."""
    if folder is None:
        return None
    try:
        listener = listen(folder)
    except OSError as e:
        voice.warn(f"no control socket in {folder.path} ({e.strerror})")
        return None
    control = ControlServer(listener, commands, late)
    control.register(epoll)
    undo.callback(control.close)
    return control


def load_certificates(settings: Settings, voice: Voice) -> "Certificates | None":
    """The certificates of the secure listeners; None where there is no such listener. Raises CannotStart."""
    if not any(one.secure for one in settings.listen):
        return None
    from wsrv.engine.tls.certificates import CertificateError, Certificates

    try:
        certificates = Certificates(settings.tls.certificates)
    except CertificateError as error:
        raise CannotStart(str(error)) from error
    for warning in certificates.warnings():
        voice.warn(warning)
    return certificates


def room_for(workers: int) -> int:
    """How many workers a server may come to have while it runs: twice those of the start, or one for each CPU."""
    return max(2 * workers, os.cpu_count() or 1)


class Terminal:
    """The terminal that this process was started from, if there was one."""

    def __init__(self) -> None:
        self._was_there = _has_terminal()

    def is_gone(self) -> bool:
        """Whether there was one, and it has been closed since."""
        return self._was_there and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def make_mapping(room: int, undo: contextlib.ExitStack) -> Mapping:
    """The memory that all processes share, for so many workers and as many that follow them."""
    mapping = Mapping(cells_for(room), CELL_BYTES, rows_for(room))
    undo.callback(mapping.close)
    return mapping


def make_cache(
    settings: Settings, parts: Parts, mapping: Mapping, room: int, undo: contextlib.ExitStack
) -> "SharedCache | None":
    """The cache of all workers, where they share one. Raises CannotStart."""
    if settings.cache.scope != SHARED:
        return None
    from wsrv.engine.master.sharedcache import SharedCache

    cell = mapping.cell(cache_cell(room))
    try:
        workers, rows = settings.process.workers, rows_for(room)
        cache = SharedCache(settings.cache, settings.hosts, workers, rows, parts.primitive, cell)
    except (OSError, MemoryError, OverflowError, ValueError) as error:
        raise CannotStart(f"cannot have {settings.cache.capacity_bytes} bytes of shared memory: {error}") from error
    undo.callback(cache.close)
    return cache
