# The proxies that are named in the settings: whose word counts of whom they speak for.
"""Named proxies, and what they say."""

import socket
from ipaddress import ip_address, ip_network

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.forwarded import Client, client_of
from wsrv.engine.http.proxy_header import Address, plain
from wsrv.engine.log.format import Format
from wsrv.engine.settings import UNIX, ProxySettings

# Verdicts on addresses are remembered up to this many, then forgotten all at once.
_MAX_VERDICTS = 10_000


class Proxies:
    """The named ones. `protocol`: their connections begin with a PROXY header."""

    def __init__(self, settings: ProxySettings, log_format: Format) -> None:
        self.protocol = settings.protocol
        self._networks = [ip_network(network) for network in settings.named if network != UNIX]
        self._unix = UNIX in settings.named
        self._field = settings.field
        self._format = log_format
        self._verdicts: dict[tuple[int, bytes], bool] = {}

    def sent(self, family: int, packed: bytes) -> bool:
        """Whether a connection with this record is a named proxy's."""
        key = (family, packed)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self.names(address_of(family, packed))
        return verdict

    def names(self, address: Address | None) -> bool:
        """Whether it is a named one; None stands for the other end of a Unix socket."""
        if address is None:
            return self._unix
        return any(address in network for network in self._networks)

    def client_of(self, peer: Address | None, fields: Fields) -> Client:
        """For whom the proxy `peer` asks."""
        return client_of(peer, fields, self.names, self._field)

    def opening(self, address: Address | None) -> bytes:
        """How log lines of such a client begin."""
        return self._format.opening(b"-" if address is None else str(address).encode())


def address_of(family: int, packed: bytes) -> Address | None:
    """The address of a record; None for a Unix socket."""
    if family == socket.AF_INET:
        return ip_address(packed[:4])
    return plain(ip_address(packed)) if family == socket.AF_INET6 else None
