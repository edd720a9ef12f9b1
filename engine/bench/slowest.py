# Where the tail comes from, by the server's own log in JSON: each line has its duration, its worker, and whether it was
# a hit. What the slowest have more of than all together is what makes them slow.
"""The slowest requests of a log."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

SHARE = 0.01
_UNCACHED = "none"


def slowest(lines: Iterable[bytes]) -> dict[str, Any] | None:
    """The slowest SHARE of the requests in `lines` and all of them, by worker and by cache result; None of no lines."""
    every = sorted((_seen(json.loads(line)) for line in lines), key=itemgetter(0))
    if not every:
        return None
    few = every[-max(1, round(len(every) * SHARE)) :]
    return {
        "requests": len(few),
        "from_ms": round(1000 * few[0][0], 3),
        "by_worker": _shares(few, every, 1),
        "by_cache": _shares(few, every, 2),
    }


def _seen(line: Mapping[str, Any]) -> tuple[float, str, str]:
    return line["duration"], str(line["worker"]), line["cache"] or _UNCACHED


def _shares(
    few: Sequence[tuple[Any, ...]], every: Sequence[tuple[Any, ...]], column: int
) -> dict[str, dict[str, float]]:
    """For each of what stands in `column`, which share it has of the few, and of all."""
    of_few, of_all = (Counter(seen[column] for seen in those) for those in (few, every))
    return {
        name: {"of_slowest": round(of_few[name] / len(few), 3), "of_all": round(of_all[name] / len(every), 3)}
        for name in sorted(of_all)
    }
