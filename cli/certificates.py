# Certificates and their keys, as a person names them: two lists of files, the first key for the first certificate.
"""The kind of `tls.cert` and `tls.key`, and what they mean together."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.units import AUTO, OFF, Kind

if TYPE_CHECKING:
    from wsrv.cli.values import Value
    from wsrv.engine.settings import CertificateFiles


class Places(Kind):
    """Files, as a tuple of absolute paths. With `off`, OFF stands for none."""

    name = "path"
    takes = (str, list)
    several = True

    def __init__(self, auto: bool = False, off: bool = False) -> None:
        super().__init__(auto)
        self._off = off
        self.allowed = f"a list of paths{', or off' if off else ''}"

    def _read_from(self, value: str | list[Any], base: str) -> tuple[str, ...]:
        if self._off and value == OFF:
            return ()
        paths = [path.strip() for path in value.split(",")] if isinstance(value, str) else value
        if not paths or not all(isinstance(path, str) and path and "\0" not in path for path in paths):
            raise ValueError
        return tuple(os.path.abspath(os.path.join(base, os.path.expanduser(path))) for path in paths)

    def write(self, value: tuple[str, ...] | str) -> str | list[str]:
        """The paths as a list, or the word."""
        if isinstance(value, str):
            return value
        return list(value) or OFF


def settings_of(values: Mapping[str, "Value"]) -> "tuple[CertificateFiles, ...]":
    """The pairs as the engine takes them. Raises Stop when they do not pair."""
    from wsrv.engine.settings import CertificateFiles

    cert, key = values["tls.cert"], values["tls.key"]
    keys = cert.value if key.value == AUTO else key.value
    if len(keys) != len(cert.value):
        raise Stop(
            USAGE, f"{key.origin}: there are {len(keys)} keys for {len(cert.value)} certificates; each needs its own"
        )
    return tuple(CertificateFiles(Path(one), Path(other)) for one, other in zip(cert.value, keys, strict=True))
