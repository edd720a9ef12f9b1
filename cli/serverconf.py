# server.conf of the C server that wsrv grew from: lines KEY=value, spaces anywhere, comments after # or ;.
#
#     PORT = 8080                 -> server.port      NUM_WORKERS=4         -> server.workers
#     DOCUMENT_ROOT=./www         -> site.root        THREADS_PER_WORKER=10 -> server.threads
#     LOG_FILE="access.log"       -> log.file         MAX_QUEUE_SIZE=100    -> server.queue
#     CACHE_SIZE_MB=10  # comment -> cache.size       TIMEOUT_SECONDS=30    -> server.timeout
#     LOG_LEVEL=INFO              -> no setting: what comes nearest is an option of `serve`
#
# A key set to nothing counts as not set; of a key that stands twice the last one counts.
"""Reading server.conf."""

import re
from collections.abc import Iterator
from pathlib import Path

from wsrv.cli.configfile import ConfigFile

SETTING_OF = {
    "PORT": "server.port",
    "DOCUMENT_ROOT": "site.root",
    "NUM_WORKERS": "server.workers",
    "THREADS_PER_WORKER": "server.threads",
    "MAX_QUEUE_SIZE": "server.queue",
    "LOG_FILE": "log.file",
    "CACHE_SIZE_MB": "cache.size",
    "TIMEOUT_SECONDS": "server.timeout",
}
LOG_LEVEL = "LOG_LEVEL"
KEYS = (*SETTING_OF, LOG_LEVEL)

# The unit that stands in the key, as a setting writes it and as a person calls it.
_UNIT_OF = {"CACHE_SIZE_MB": ("MiB", "MiB"), "TIMEOUT_SECONDS": ("s", "seconds")}

_QUIET = ("ERROR", "ERR", "CRITICAL", "CRIT", "FATAL", "NONE", "OFF")
_VERBOSE = ("DEBUG", "TRACE", "VERBOSE")

# Behind a value a comment begins after a space, so that `#` and `;` may stand in a path.
_COMMENT = re.compile(r"\s[#;].*")
_QUOTED = re.compile(r"([\"'])(.*?)\1(?:\s+[#;].*|\s*)")


def parse(path: Path, text: str) -> ConfigFile:
    """The settings in `text`, which was read from `path`. What is wrong is left to be told with all other faults."""
    entries: dict[str, str] = {}
    lines: dict[str, int] = {}
    names: dict[str, str] = {}
    faults: list[tuple[int, str]] = []
    notes: list[str] = []
    for number, key, value in _assignments(text):
        where = f"{path}:{number}"
        if value is None:
            faults.append((number, f"{where}: {key!r} is not KEY=value"))
        elif key == LOG_LEVEL:
            notes.append(f"{where}: LOG_LEVEL={value} is no setting: {_said_of(value)}")
        elif key not in SETTING_OF:
            faults.append((number, f"{where}: no key is called {key}; {_hint(key)}"))
        elif key in _UNIT_OF and not value.isdecimal():
            faults.append((number, f"{where}: {key}: {value!r} is not a whole number of {_UNIT_OF[key][1]}"))
        else:
            setting = SETTING_OF[key]
            entries[setting] = value + _UNIT_OF.get(key, ("",))[0]
            lines[setting] = number
            names[setting] = key
    return ConfigFile(path, entries, lines, names, tuple(faults), tuple(notes))


def _assignments(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Line, key and value of every line that says something; None instead of a value where the line is none."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key:
            yield number, line.strip(), None
            continue
        quoted = _QUOTED.fullmatch(value)
        value = quoted[2] if quoted else _COMMENT.sub("", f" {value}", 1).strip()
        if value:
            yield number, key.upper(), value


def _said_of(level: str) -> str:
    if level.upper() in _VERBOSE:
        return "-v says more"
    if level.upper() in _QUIET:
        return "-q leaves nothing but errors"
    return "wsrv says how it starts and what goes wrong; -v says more, -q nothing but errors"


def _hint(key: str) -> str:
    from wsrv.cli.values import nearest

    near = nearest(key, KEYS)
    return f"did you mean {near}?" if near else f"there are: {', '.join(KEYS)}"
