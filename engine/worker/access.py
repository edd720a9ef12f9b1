# Who may ask for the server's own paths.
#
# Rule 1: shown only to an allowed client address that asks for an allowed host, and never through a proxy that is not
#         named: a page on some web site could make a browser here ask (DNS rebinding), and a proxy hides who asks.
# Rule 2: a probe has a list of addresses of its own, and may name any host: a load balancer names an address. It learns
#         one word.
"""Access to paths of the server's own."""

import ipaddress
from collections.abc import Sequence

from wsrv.engine.http.head import host_of
from wsrv.engine.settings import UNIX, StatusSettings
from wsrv.engine.worker.connection import Connection
from wsrv.engine.worker.request import Request

_TELLTALES = (b"forwarded", b"x-forwarded-for", b"via")


class Clients:
    """Client addresses: networks, and `unix:` for whoever comes over a Unix socket."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in allowed if network != UNIX]
        # Not without being told: a proxy in front of the socket may pass on whoever comes, and say nothing of it.
        self._unix = UNIX in allowed

    def __contains__(self, conn: Connection) -> bool:
        try:
            address = conn.client_address()
        except OSError:
            return False
        if address is None:
            return self._unix
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


class Access:
    """Who may see what is below `/_wsrv/`."""

    def __init__(self, settings: StatusSettings) -> None:
        self._viewers = Clients(settings.allow)
        self._probes = Clients(settings.probes)
        self._hosts = frozenset(host.lower().encode() for host in settings.hosts)

    def may_see(self, conn: Connection, request: Request) -> bool:
        """Whether everything may be shown."""
        return not self._is_relayed(conn, request) and self._is_own_host(request) and conn in self._viewers

    def may_probe(self, conn: Connection, request: Request) -> bool:
        """Whether it may be told that the server is well."""
        return not self._is_relayed(conn, request) and conn in self._probes

    @staticmethod
    def _is_relayed(conn: Connection, request: Request) -> bool:
        return not conn.is_told() and _has_telltale(request)

    def _is_own_host(self, request: Request) -> bool:
        host = host_of(request.line, request.fields)
        if host == b"localhost" or host in self._hosts:
            return True
        try:
            return ipaddress.ip_address(host.decode("latin-1").strip("[]")).is_loopback
        except ValueError:
            return False


def is_from_here(conn: Connection, request: Request) -> bool:
    """Whether the client sits at this machine: no proxy says that it asks for others."""
    if _has_telltale(request):
        return False
    try:
        address = conn.client_address()
    except OSError:
        return False
    if address is None:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _has_telltale(request: Request) -> bool:
    return any(request.fields.get(name) is not None for name in _TELLTALES)
