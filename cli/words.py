# Kinds of values that are words, or lists of words: one of a few, names of hosts, origins.
#
# What a list is in wsrv.toml may be an array there; everywhere else its parts are separated by commas.
"""Parameter types: choices, host names, origins, Cache-Control, statuses."""

import re
from typing import Any

import click
from click.shell_completion import CompletionItem

from wsrv.cli.units import OFF, Kind

ANY = "any"

# A name or an address, as Host has it; one star may stand for everything in front.
_HOST_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class OneOf(Kind):
    """One of a few words."""

    name = "word"

    def __init__(self, *words: str) -> None:
        super().__init__()
        self._words = words
        self.allowed = f"one of: {', '.join(words)}"

    def _read(self, value: str) -> str:
        if value not in self._words:
            raise ValueError
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The words."""
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


class Number(Kind):
    """One of a few whole numbers."""

    name = "n"
    takes = (str, int)

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self._numbers = numbers
        self.allowed = f"one of: {', '.join(map(str, numbers))}"

    def _read(self, value: str | int) -> int:
        if int(value) not in self._numbers:
            raise ValueError
        return int(value)


class Text(Kind):
    """Words that a kind of their own would not tell more about."""

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed

    def _read(self, value: str) -> str:
        if not value or not value.isprintable():
            raise ValueError
        return value


class CacheControl(Kind):
    """What Cache-Control says: AUTO, OFF, or a value of the field."""

    name = "value"
    allowed = "auto, off, or what Cache-Control is to say, such as max-age=600"

    def _read(self, value: str) -> str:
        if _FIELD_VALUE.fullmatch(value) is None:
            raise ValueError
        return value


class HostNames(Kind):
    """Names that Host may say, in lower case and without a port; `*.example.org` is every name below example.org."""

    name = "host,…"
    allowed = "a list of host names without port, such as example.org, *.example.org"
    takes = (str, list)

    def _read(self, value: str | list[Any]) -> tuple[str, ...]:
        names = tuple(name.lower().rstrip(".") for name in _words(value))
        if not names or not all(_HOST_NAME.fullmatch(name) for name in names):
            raise ValueError
        return names

    def write(self, value: tuple[str, ...]) -> str:
        """The names, separated by commas."""
        return ", ".join(value)


class Origins(Kind):
    """Whose pages may read what is served: none, all, or a list."""

    name = "origin,…"
    allowed = "off, any, or a list of origins such as https://example.org, http://localhost:5173"
    takes = (str, list)

    def _read(self, value: str | list[Any]) -> tuple[str, ...]:
        words = _words(value)
        if words == [OFF]:
            return ()
        if words in ([ANY], ["*"]):
            return ("*",)
        origins = tuple(word.lower() for word in words)
        if not origins or not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError
        return origins

    def write(self, value: tuple[str, ...]) -> str:
        """The origins, separated by commas, or the word for none or all."""
        return ANY if value == ("*",) else ", ".join(value) or OFF


class FieldTable(Kind):
    """Header fields: a table of names, each with a value or a list of them; "" takes the field away."""

    name = "table"
    allowed = 'a table of fields, such as { X-Frame-Options = "DENY" }; "" takes a field away'
    takes = (dict,)

    def _read(self, value: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        fields = []
        for name, given in value.items():
            values = given if isinstance(given, list) else [given]
            if not all(isinstance(one, str) for one in values):
                raise ValueError
            fields.append((name, tuple(one for one in values if one)))
        if not fields:
            raise ValueError
        return tuple(fields)

    def write(self, value: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, str | list[str]]:
        """The table again."""
        return {name: list(values) if len(values) > 1 else "".join(values) for name, values in value}


def _words(value: str | list[Any]) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not all(isinstance(part, str) for part in value):
        raise ValueError
    return [part.strip() for part in value]
