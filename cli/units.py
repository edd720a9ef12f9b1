# Kinds of values, one class each: the same for a flag, an environment variable and a line of wsrv.toml.
#
# Rule 1: a kind reads text, and the TOML types it names in `takes`; whatever else earns "… is not ALLOWED".
# Rule 2: a kind knows nothing of where a value came from; the reader of that place adds it to the message.
"""Parameter types: counts, sizes, times, names, places, parts."""

import contextlib
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from wsrv.engine.master.name import NAME_ALLOWED, is_name

if TYPE_CHECKING:
    from wsrv.plugins.registry import Kind as PartKind

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only from click 8.4 on

_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")

# Bare letters mean powers of 1024, as in nginx and dd; kB, MB and GB are the powers of 1000 that they say.
_BYTES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _BYTES |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}

_WRITTEN_BYTES = [
    (prefix + suffix, base**power)
    for suffix, base in (("iB", 1024), ("B", 1000))
    for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "K" if base == 1024 else "k"))
]

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_WRITTEN_SECONDS = (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))

# What a person writes for "work it out", and for "none", where a kind has that.
AUTO = "auto"
OFF = "off"

_MAX_SECONDS = 24 * 3600.0
_MAX_BYTES = 1024**5


class Kind(_ParamType):
    """What values a setting takes. `allowed` completes the sentence "… is not". With `auto`, AUTO is one of them."""

    name: str = "text"
    allowed: str = "text"
    takes: tuple[type, ...] = (str,)
    # Whether the option may be given again, and each adds to the value.
    several: bool = False

    def __init__(self, auto: bool = False) -> None:
        self.auto = auto

    def read(self, value: Any, base: str = "") -> Any:
        """The value as the engine wants it, or AUTO. Raises ValueError, the message a full clause.

        Relative paths are taken from `base`: the folder of the file that the value stands in.
        """
        if self.auto and value == AUTO:
            return AUTO
        if not isinstance(value, self.takes) or (isinstance(value, bool) and bool not in self.takes):
            raise self._refusal(value)
        try:
            return self._read_from(value, base)
        except (ValueError, ArithmeticError):
            raise self._refusal(value) from None

    def _read(self, value: Any) -> Any:
        return value

    def _read_from(self, value: Any, base: str) -> Any:
        return self._read(value)

    def _refusal(self, value: Any) -> ValueError:
        return ValueError(f"{value!r} is not {self.allowed_text}")

    @property
    def allowed_text(self) -> str:
        """What is allowed, for a person."""
        return f"{self.allowed}, or {AUTO}" if self.auto else self.allowed

    def write(self, value: Any) -> Any:
        """What TOML says for a value that `read` gave; read again, it is the same."""
        return value

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """For click: fails with a usage error."""
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Count(Kind):
    """A whole number within bounds."""

    name = "n"
    takes = (str, int)

    def __init__(self, low: int, high: int, auto: bool = False) -> None:
        super().__init__(auto)
        self._low = low
        self._high = high
        self.allowed = f"a whole number from {low} to {high}"

    def _read(self, value: str | int) -> int:
        number = int(value)
        if not self._low <= number <= self._high:
            raise ValueError
        return number


class Size(Kind):
    """A number of bytes."""

    name = "size"
    allowed = "a size such as 64MiB, 10MB, 512k or a plain number of bytes"
    takes = (str, int)

    def _read(self, value: str | int) -> int:
        number, unit = _split(value)
        size = round(number * _BYTES[unit.lower()]) if unit.lower() in _BYTES else -1
        if not 0 <= size <= _MAX_BYTES:
            raise ValueError
        return size

    def write(self, value: int) -> str | int:
        """The number in the largest unit that leaves no fraction."""
        return next((f"{value // n}{unit}" for unit, n in _WRITTEN_BYTES if value and value % n == 0), value)


class Seconds(Kind):
    """A length of time, in seconds as a float."""

    name = "time"
    takes = (str, int, float)

    def __init__(self, zero: bool = False, auto: bool = False) -> None:
        super().__init__(auto)
        self._zero = zero
        self.allowed = f"a time such as 30s, 500ms, 2m or plain seconds, {'' if zero else 'above 0 and '}up to 24h"

    def _read(self, value: str | float) -> float:
        number, unit = _split(value)
        seconds = number * _SECONDS[unit.lower()] if unit.lower() in _SECONDS else math.nan
        if not 0 <= seconds <= _MAX_SECONDS or (seconds == 0 and not self._zero):
            raise ValueError
        return seconds

    def write(self, value: float | str) -> str | float:
        """The number in the largest unit that leaves no fraction."""
        if isinstance(value, str):
            return value
        if value == 0:
            return "0s"
        return next((f"{value / n:.0f}{unit}" for unit, n in _WRITTEN_SECONDS if round(value / n) * n == value), value)


def _split(value: str | float) -> tuple[float, str]:
    if not isinstance(value, str):
        return float(value), ""
    match = _NUMBER_AND_UNIT.fullmatch(value.strip())
    if match is None:
        raise ValueError
    return float(match[1]), match[2]


class Host(Kind):
    """A host name or an address."""

    name = "host"
    allowed = "a host name or an IP address"

    def _read(self, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError
        return value.strip()


class Networks(Kind):
    """Networks of clients, as a tuple of CIDR texts."""

    name = "cidr,…"
    allowed = "a list of networks such as 127.0.0.0/8, ::1, separated by commas"

    def _read(self, value: str) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(part)) for part in _parts(value))

    def write(self, value: tuple[str, ...]) -> str:
        """The networks, separated by commas."""
        return ", ".join(value)


class Hosts(Kind):
    """Host names, in lower case."""

    name = "host,…"
    allowed = "a list of host names, separated by commas"

    def _read(self, value: str) -> tuple[str, ...]:
        names = tuple(part.lower() for part in _parts(value))
        if not all(name.isprintable() and name.isascii() and not set(name) & set(" /:@") for name in names):
            raise ValueError
        return names

    def write(self, value: tuple[str, ...]) -> str:
        """The names, separated by commas."""
        return ", ".join(value)


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


class ServerName(Kind):
    """What a running server is called."""

    name = "name"
    allowed = f"a name: {NAME_ALLOWED}"

    def _read(self, value: str) -> str:
        if not is_name(value):
            raise ValueError
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The servers that run."""

        def names() -> Iterable[str]:
            from wsrv.cli.running import servers

            return [server.name for server in servers(ctx.params.get("runtime_dir"))]

        return _complete(names, incomplete)


class Place(Kind):
    """A file or a folder; made absolute, `~` read as the home.

    With `dash`, `-` stands for a standard stream; with `off`, OFF for none.
    """

    name = "path"
    allowed = "a path"

    def __init__(self, dash: bool = False, folder: bool = False, auto: bool = False, off: bool = False) -> None:
        super().__init__(auto)
        self._words = {word for word, there in (("-", dash), (AUTO, auto), (OFF, off)) if there}
        self._folder = folder

    def read(self, value: Any, base: str = "") -> str:
        """The path, a relative one taken from `base`: the folder of the file it stands in."""
        path = str(super().read(value))
        if path in self._words:
            return path
        return os.path.abspath(os.path.join(base, os.path.expanduser(path)))

    def _read(self, value: str) -> str:
        if not value or "\0" in value:
            raise ValueError
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Left to the shell."""
        return [CompletionItem(incomplete, type="dir" if self._folder else "file")]


class Part(Kind):
    """The name of an exchangeable part of the registry. Whether there is such a part, cli/parts.py finds out."""

    name = "name"
    allowed = "the name of a part"

    def __init__(self, kind: "PartKind") -> None:
        super().__init__()
        self.kind: PartKind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The names that are registered."""

        def those() -> Iterable[str]:
            from wsrv.cli.parts import names

            return names(self.kind)

        return _complete(those, incomplete)


class LogFormat(Kind):
    """The name of a format of the access log."""

    name = "name"

    def _read(self, value: str) -> str:
        if value not in _log_formats():
            raise ValueError
        return value

    @property
    def allowed_text(self) -> str:
        """The formats there are."""
        return f"a log format; there are: {', '.join(_log_formats())}"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The formats there are."""
        return _complete(_log_formats, incomplete)


def _log_formats() -> list[str]:
    from wsrv.engine.log.format import FORMATS

    return sorted(FORMATS)


def _complete(names: Callable[[], Iterable[str]], incomplete: str) -> list[CompletionItem[Any]]:
    # A person in the middle of a line wants no traceback there, whatever a plugin did.
    with contextlib.suppress(Exception):
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]
    return []
