# The listening sockets, and how to name them to a person.
#
# Rule 1: whoever cannot listen is told in one line which address, why, and what to do.
# Rule 2: a listener is non-blocking and closes on exec; what is set on it here, accepted sockets inherit.
# Rule 3: `::` takes IPv6 clients only, so that 0.0.0.0 and :: can both be listened on, in any order.
"""Opening listeners; the addresses they can be reached by."""

import array
import contextlib
import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from wsrv.engine.kernel import number
from wsrv.engine.master.holder import port_holder
from wsrv.engine.master.name import is_name
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.unix import UnixPath, listen_on_path
from wsrv.engine.settings import ListenSettings, TlsSettings
from wsrv.engine.worker.fastreaders import UNSENT_BYTES

# Seconds a connection may stay silent before accept sees it. With 5, a silent client reaches accept only after 7 s.
_DEFER_ACCEPT_SECONDS = 1
_SYN_COOKIES = Path("/proc/sys/net/ipv4/tcp_syncookies")
_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")

_SIOCGIFCONF = 0x8912
# struct ifreq (netdevice(7)): a name of 16 bytes, then a union whose largest member is struct ifmap.
_IFREQ_BYTES = struct.calcsize("16s2LH3B0L")
_INTERFACES_MOST = 1024
_LINK_LOCAL = 0x20  # scope in /proc/net/if_inet6

# Host, port, and for IPv6 the flow and the scope.
_Address = tuple[str, int] | tuple[str, int, int, int]


class Listener:
    """A listener of this server. `url` names it to a person; it is `secure` when it speaks TLS."""

    def __init__(self, made: socket.socket, secure: bool, path: UnixPath | None = None) -> None:
        self.socket = made
        self.secure = secure
        self.url = url(made, secure)
        self._path = path

    def with_secure(self, secure: bool) -> "Listener":
        """The same, which speaks TLS or does not. The two share what they listen on: one of them is to be closed."""
        return self if secure == self.secure else Listener(self.socket, secure, self._path)

    def close(self) -> None:
        """Listen no more, and take the name of a Unix socket away. By the master; again, it does nothing."""
        if self._path is not None:
            self._path.remove()
            self._path = None
        self.socket.close()


def open_listeners(settings: Sequence[ListenSettings], voice: Voice, undo: contextlib.ExitStack) -> list[Listener]:
    """A listener for each of `settings`, in their order. Raises CannotStart."""
    found = []
    for one in settings:
        made, path = _open(one)
        listener = Listener(made, one.secure, path)
        undo.callback(listener.close)
        found.append(listener)
    most, wanted = number(_SOMAXCONN), max(one.backlog for one in settings)
    if most is not None and most < wanted:
        voice.detail(f"net.core.somaxconn cuts the backlog from {wanted} to {most}")
    return found


def _open(settings: ListenSettings) -> tuple[socket.socket, UnixPath | None]:
    """What listens there, and its name in the file system where that is ours to remove. Raises CannotStart."""
    if settings.handed is not None:
        return adopt(settings.handed), None
    return (open_listener(settings), None) if settings.path is None else listen_on_path(settings, settings.path)


def adopt(fd: int) -> socket.socket:
    """The socket that a service manager has handed over as `fd`. Raises CannotStart."""
    fault = f"descriptor {fd}, which the service manager handed over, is no stream socket that listens"
    try:
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise CannotStart(fault) from error
    try:
        # SO_ACCEPTCONN: whether it listens (socket(7)).
        if listener.type != socket.SOCK_STREAM or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise CannotStart(fault)
        if listener.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise CannotStart(f"{fault} on TCP or on a path")
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    listener.set_inheritable(False)
    if listener.family != socket.AF_UNIX:
        _tune(listener)
    return listener


def server_name(listeners: Sequence[Listener]) -> str:
    """What a server is called that was given no name: its first port, or else its first path's last part."""
    for listener in listeners:
        if listener.socket.family != socket.AF_UNIX:
            return str(listener.socket.getsockname()[1])
    stem = Path(listeners[0].socket.getsockname()).stem
    return stem if is_name(stem) else "unix"


def redirect_port(settings: TlsSettings, listeners: Sequence[Listener]) -> int:
    """The port of the secure listener to which the others send their clients; 0 when they do not."""
    if not settings.redirect:
        return 0
    secure = (one.socket for one in listeners if one.secure and one.socket.family != socket.AF_UNIX)
    return next((int(found.getsockname()[1]) for found in secure), 0)


def open_listener(settings: ListenSettings) -> socket.socket:
    """A socket that listens on `settings.host` and `settings.port`; 0 takes a free port. Raises CannotStart."""
    host = settings.host.removeprefix("[").removesuffix("]")
    shown = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    family, address = _resolve(host, settings.port, shown)
    try:
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise CannotStart(f"cannot listen on {shown}: {error.strerror}") from error
    try:
        _prepare(listener)
        listener.bind(address)
        listener.listen(settings.backlog)
    except OSError as error:
        listener.close()
        raise CannotStart(f"cannot listen on {shown}: {_reason(error, family, address)}") from error
    return listener


def _resolve(host: str, port: int, shown: str) -> tuple[int, _Address]:
    """The family and address to bind. Of a name with several, an IPv4 one: it is what `localhost` means to most."""
    if not host:
        raise CannotStart("cannot listen: the host is empty; 0.0.0.0 takes every IPv4 address, :: every IPv6 address")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        reason = f"unknown host: {error.strerror}"
    except (UnicodeError, OSError, OverflowError) as error:
        reason = f"not a host: {error}"
    else:
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return family, cast(_Address, address)
    raise CannotStart(f"cannot listen on {shown}: {reason}")


def _prepare(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    _tune(listener)


def _tune(listener: socket.socket) -> None:
    """Set what accepted sockets inherit, and when they are accepted."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    # Without SYN cookies, a few hundred silent clients fill the queue of half-accepted connections for everybody.
    if number(_SYN_COOKIES):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_ACCEPT_SECONDS)


def _reason(error: OSError, family: int, address: _Address) -> str:
    if error.errno == errno.EADDRINUSE:
        packed = socket.inet_pton(family, address[0].partition("%")[0])
        holder = port_holder(packed, address[1])
        return f"in use{f' by {holder}' if holder else ''}; choose another --port, or --port 0 for a free one"
    if error.errno == errno.EACCES:
        first = number(_UNPRIVILEGED) or 1024
        return f"ports below {first} need root or CAP_NET_BIND_SERVICE; choose a higher --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no interface of this machine has that address; --host 0.0.0.0 takes all there are"
    return error.strerror or str(error)


def _url(host: str, port: int, secure: bool) -> str:
    scheme = "https" if secure else "http"
    # RFC 6874: the % before a zone is itself escaped.
    return f"{scheme}://[{host.replace('%', '%25')}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def url(listener: socket.socket, secure: bool = False) -> str:
    """Where it listens, as a URL without a path; of a Unix socket `unix:` and where it is."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"https://unix:{address}" if secure else f"unix:{address}"
    if listener.family == socket.AF_INET6 and address[3] and "%" not in address[0]:
        return _url(f"{address[0]}%{socket.if_indextoname(address[3])}", address[1], secure)
    return _url(address[0], address[1], secure)


def reach_addresses(listener: socket.socket, secure: bool = False) -> list[str]:
    """The URLs by which other machines may reach the listener; none when it is bound to a loopback address, or a path.

    A wildcard stands for the addresses of all interfaces, loopback and link-local ones apart.
    """
    if listener.family == socket.AF_UNIX:
        return []
    host, port = listener.getsockname()[:2]
    bound = ipaddress.ip_address(host.partition("%")[0])
    if bound.is_loopback:
        return []
    if not bound.is_unspecified:
        return [url(listener, secure)]
    found = _ipv6_addresses() if listener.family == socket.AF_INET6 else _ipv4_addresses()
    return [_url(h, port, secure) for h in found if not ipaddress.ip_address(h).is_loopback]


def _ipv4_addresses() -> list[str]:
    """The addresses of the interfaces that are up, by SIOCGIFCONF (netdevice(7))."""
    room = array.array("B", bytes(_INTERFACES_MOST * _IFREQ_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFCONF, struct.pack("iL", len(room), room.buffer_info()[0]))
        except OSError:
            return []
    used = struct.unpack("iL", answer)[0]
    entries = room.tobytes()
    # A sockaddr_in begins behind the name: family 2 bytes, port 2, address 4.
    found = [socket.inet_ntoa(entries[at + 20 : at + 24]) for at in range(0, used, _IFREQ_BYTES)]
    return list(dict.fromkeys(found))


def _ipv6_addresses() -> list[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text("ascii").splitlines()
    except OSError:
        return []
    rows = (line.split() for line in lines)
    return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])) for row in rows if int(row[3], 16) != _LINK_LOCAL]
