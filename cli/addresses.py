# Where to listen, as a person writes it:
#
#   8080   :8080             the port, on `server.host`
#   127.0.0.1:8080  [::1]:8080  localhost:8080
#   unix:/run/site.sock      a Unix socket
#   https://0.0.0.0:8443     any of these over TLS; http:// may stand before one that is not
#   https://8443
#
# Rule 1: what `read` gives is again such text, with a path made absolute; `settings_of` makes settings of it.
# Rule 2: sockets of a service manager are listened on besides. Where nobody says an address, there are no others; they
#         speak TLS when they are called https, and with a certificate all do when none is called so.
# Rule 3: `server.listen` says all. `server.host` and `server.port` are the short form: they count when it says nothing,
#         or when they come from a layer that outranks it. With a certificate that one listener is secure.
"""The kind of `server.listen`, and the listeners that the settings mean."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.units import AUTO, Kind

if TYPE_CHECKING:
    from wsrv.cli.values import Value
    from wsrv.engine.settings import ListenSettings

_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?:unix:(?P<path>[^\0]+)|(?:(?P<host>[^\s:/\[\]@?#]+|\[[0-9A-Fa-f:.]+(?:%[^\s\]]+)?\])?:)?(?P<port>[0-9]{1,5})/?)",
    re.IGNORECASE,
)
_MAX_PORT = 65535
# struct sockaddr_un (unix(7)): 108 bytes, the last of them NUL.
_MAX_PATH_BYTES = 107
# What a service manager calls a socket for TLS (FileDescriptorName= in systemd.socket(5)).
_SECURE_NAME = "https"
# From the strongest to the weakest.
_LAYERS = ("flag", "environment", "file", "default")


class Address(NamedTuple):
    """An address taken apart. `host` is empty where only a port was said; `path` where it is no Unix socket."""

    secure: bool
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        where = f"unix:{self.path}" if self.path else f"{self.host}:{self.port}" if self.host else str(self.port)
        return f"https://{where}" if self.secure else where


def parse(text: str) -> Address:
    """What `text` says. Raises ValueError."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"] or 0) > _MAX_PORT:
        raise ValueError
    secure = (match["scheme"] or "").lower() == "https"
    return Address(secure, match["host"] or "", int(match["port"] or 0), match["path"] or "")


class Addresses(Kind):
    """Addresses to listen on, as a tuple of texts."""

    name = "address"
    allowed = "a list of addresses such as 8080, 127.0.0.1:8080, [::1]:8080, unix:/run/site.sock, https://0.0.0.0:8443"
    takes = (str, list)
    several = True

    def _read_from(self, value: str | list[str], base: str) -> tuple[str, ...]:
        texts = value.split(",") if isinstance(value, str) else value
        found = tuple(str(_absolute(parse(text), base)) for text in texts)
        if not found:
            raise ValueError
        return found

    def write(self, value: tuple[str, ...] | str) -> str | list[str]:
        """The addresses as a list."""
        return value if value == AUTO else list(value)


def _absolute(address: Address, base: str) -> Address:
    if not address.path:
        return address
    path = os.path.abspath(os.path.join(base, os.path.expanduser(address.path)))
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise ValueError
    return address._replace(path=path)


def in_force(values: Mapping[str, "Value"]) -> "Value":
    """What `server.listen` is: AUTO also where `server.host` or `server.port` outrank it.

    Raises Stop when one layer says both where to listen and a port.
    """
    listen, port, host = (values[key] for key in ("server.listen", "server.port", "server.host"))
    if listen.value == AUTO:
        return listen
    if listen.layer == port.layer:
        raise Stop(USAGE, f"{port.origin} and {listen.origin} exclude each other; write the port into the addresses")
    stronger = min((port, host), key=lambda value: _LAYERS.index(value.layer))
    if _LAYERS.index(stronger.layer) < _LAYERS.index(listen.layer):
        return replace(stronger, value=AUTO)
    return listen


def first_port(values: Mapping[str, "Value"]) -> int:
    """The port of the first address that has one; 0 where it is not known yet, or there is none."""
    listen = in_force(values).value
    if listen == AUTO:
        port: int = values["server.port"].value
        return port
    return next((address.port for address in map(parse, listen) if not address.path), 0)


def settings_of(values: Mapping[str, "Value"], handed: Sequence[tuple[int, str]] = ()) -> "tuple[ListenSettings, ...]":
    """The listeners as the engine takes them, from values in force; `handed` are descriptors of a service manager, with
    their names. Raises Stop when TLS is asked for and cannot be.
    """
    if not handed:
        return _opened(values)
    from wsrv.engine.settings import ListenSettings

    cert = bool(values["tls.cert"].value)
    named = [name for _, name in handed if name == _SECURE_NAME]
    if named and not cert:
        raise Stop(USAGE, "a socket of the service manager is called https: it needs --tls-cert FILE --tls-key FILE")
    found = tuple(ListenSettings(handed=fd, secure=cert and (not named or name == _SECURE_NAME)) for fd, name in handed)
    said = any(values[key].layer != "default" for key in ("server.listen", "server.port", "server.host"))
    return (*found, *_opened(values)) if said else found


def _opened(values: Mapping[str, "Value"]) -> "tuple[ListenSettings, ...]":
    """Those that are ours to open."""
    from wsrv.engine.settings import ListenSettings

    host, mode = values["server.host"].value, values["server.socket_mode"].value
    listen, cert = values["server.listen"], values["tls.cert"]
    if listen.value == AUTO:
        if values["tls.redirect"].value:
            origin = values["tls.redirect"].origin
            raise Stop(USAGE, f"{origin} needs two listeners, such as --listen 80 --listen https://443")
        return (ListenSettings(host, values["server.port"].value, secure=bool(cert.value)),)
    addresses = [parse(text) for text in listen.value]
    secure = any(address.secure for address in addresses)
    if secure and not cert.value:
        raise Stop(USAGE, f"{listen.origin}: https:// needs a certificate: --tls-cert FILE --tls-key FILE")
    redirect = values["tls.redirect"]
    if redirect.value and not (secure and any(not address.secure and not address.path for address in addresses)):
        raise Stop(USAGE, f"{redirect.origin} needs two listeners, such as --listen 80 --listen https://443")
    if cert.value and not secure:
        raise Stop(USAGE, f"{cert.origin}: {listen.origin} has no https:// address that the certificate is for")
    return tuple(
        ListenSettings(path=Path(address.path), mode=mode, secure=address.secure)
        if address.path
        else ListenSettings(
            address.host.removeprefix("[").removesuffix("]") or host, address.port, secure=address.secure
        )
        for address in addresses
    )


class Mode(Kind):
    """The permissions of a file, in octal."""

    name = "mode"
    allowed = "permissions in octal such as 0660"

    def _read(self, value: Any) -> int:
        mode = int(value, 8)
        if not 0 <= mode <= 0o777:
            raise ValueError
        return mode

    def write(self, value: int) -> str:
        """Four octal digits."""
        return f"{value:04o}"
