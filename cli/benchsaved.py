# Figures that are kept: by name in a folder of this user's, or in a file that is named with its path.
"""What --save keeps and --baseline compares with."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsrv.cli.exits import USAGE, Stop


def _file(name: str) -> Path:
    if os.sep in name or name.endswith(".json"):
        return Path(name)
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "wsrv" / "bench" / f"{name}.json"


def save(name: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Keep the documents, in place of what was kept under the name. Raises Stop."""
    write(_file(name), json.dumps(list(found), indent=2) + "\n")


def write(file: Path, text: str) -> None:
    """Have the text in the file, in place of what was there. Raises Stop."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(file)
    except OSError as error:
        raise Stop(USAGE, f"cannot write {file}: {error.strerror}") from error


def load(name: str) -> list[dict[str, Any]]:
    """The documents that are kept under `name`. Raises Stop."""
    file = _file(name)
    try:
        found: Any = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise Stop(USAGE, f"there is no baseline {name}: {file} does not exist; make it with --save {name}") from error
    except OSError as error:
        raise Stop(USAGE, f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise Stop(USAGE, f"{file} is not what --save writes: {error}") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) and "settings" in each for each in found):
        raise Stop(USAGE, f"{file} is not what --save writes")
    runs: list[dict[str, Any]] = found
    return runs


def require_alike(known: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> None:
    """Stop where the runs were not made with the same settings: their figures cannot be compared."""
    if len(known) != len(found):
        raise Stop(USAGE, f"the baseline has {len(known)} runs, this has {len(found)}")
    differing = {
        f"{key} (baseline: {before['settings'].get(key)}, now: {now['settings'].get(key)})"
        for before, now in zip(known, found, strict=True)
        for key in before["settings"].keys() | now["settings"].keys()
        if before["settings"].get(key) != now["settings"].get(key)
    }
    if differing:
        raise Stop(USAGE, f"the baseline was made with other settings: {', '.join(sorted(differing))}")
