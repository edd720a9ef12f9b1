"""Targets: the two languages of config files."""

import contextlib
from pathlib import Path

from wsrv.cli import configfile, serverconf, tomlfile
from wsrv.cli.exits import Stop
from wsrv.cli.values import survey


def toml(raw: bytes) -> None:
    """A wsrv.toml is read, or every fault of it is a line for a person."""
    with contextlib.suppress(UnicodeDecodeError):
        _judge("wsrv.toml", raw.decode())


def server_conf(raw: bytes) -> None:
    """So is a server.conf."""
    with contextlib.suppress(UnicodeDecodeError):
        _judge("server.conf", raw.decode())


def _judge(name: str, text: str) -> None:
    path = Path("/nowhere") / name
    try:
        file = (tomlfile if name.endswith(".toml") else serverconf).parse(path, text.replace("\r\n", "\n"))
        _, faults = survey({}, {}, file)
    except Stop as stop:
        faults = [str(stop)]
    for fault in faults:
        assert fault.isprintable(), "it does more than to be read"
    configfile.places(configfile.ConfigFile(path, {}, {}))
