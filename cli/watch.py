# `wsrv stats --watch`: what happens now, drawn anew each second.
#
#   head      which server, since when, of which parts
#   rates     requests, bytes, errors, connections: now, and a line of what was
#   times     percentiles of the last ten seconds: of requests, and of the way from accept to worker
#   cache     ratio of now, what is held
#   workers   requests a second as bars, what waits for each, its connections
#   guards    how often locks and semaphores were taken and waited for
#
# Rule: a frame fits its terminal. What there is no room for is left out from below, workers past the last that fits are
#       counted.
"""The live view of a running server."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from wsrv.cli import figures, running, sparks
from wsrv.cli.samples import WINDOW, Document, Samples, number, total
from wsrv.cli.screen import Screen
from wsrv.cli.voice import colourful

if TYPE_CHECKING:
    from wsrv.engine.master.runtime import RunningServer

INTERVAL_SECONDS = 1.0
_LABEL = 13
_FIGURE = 11
_TALL_ROWS = 34
_TALL = 6
_LEAST_WORKERS = 2
_IDLERS = "pool_filled"

Paint = Callable[[str, str], str]
_BOLD, _DIM, _RED, _CYAN = "1", "2", "31", "36"


def watch(server: "RunningServer", as_json: bool) -> None:
    """Show what `server` does until somebody interrupts it, or the server ends. Raises Stop then."""
    if as_json:
        for document in _each_second(server):
            click.echo(json.dumps(document, separators=(",", ":")))
            sys.stdout.flush()
        return
    samples = Samples()
    if not sys.stdout.isatty():
        for document in _each_second(server):
            samples.add(document)
            click.echo("\n".join([*frame(samples, 80, 1000, _plainly), ""]))
            sys.stdout.flush()
        return
    paint = _coloured if colourful(sys.stdout) else _plainly
    with Screen() as screen:
        for document in _each_second(server):
            samples.add(document)
            screen.draw(frame(samples, *screen.size(), paint))


def _each_second(server: "RunningServer") -> Any:
    due = time.monotonic()
    while True:
        yield running.ask(server, {"command": "stats"})
        due += INTERVAL_SECONDS
        # After a pause of this process or of the server: on from now.
        due = max(due, time.monotonic() - INTERVAL_SECONDS)
        time.sleep(max(0.0, due - time.monotonic()))


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"


def _plainly(text: str, colour: str) -> str:
    return text


def frame(samples: Samples, width: int, rows: int, paint: Paint = _plainly) -> list[str]:
    """What is shown on a terminal of `width` columns and `rows` lines."""
    document = samples.last
    lines = [*_head(document, width, paint), "", *_rates(samples, width, _TALL if rows >= _TALL_ROWS else 1, paint)]
    lines += [
        _times("latency", samples, "latency_buckets", paint),
        _times("queue wait", samples, "queue_wait_buckets", paint),
    ]
    lines += [_cache(samples, width, paint), ""]
    guards = _guards(samples)
    room = rows - len(lines) - 2
    workers = _workers(samples, width, max(_LEAST_WORKERS, room - len(guards) - 1), paint)
    lines += workers
    if guards and rows - len(lines) > len(guards):
        lines += ["", *guards]
    return lines[:rows]


def _head(document: Document, width: int, paint: Paint) -> list[str]:
    listeners = "  ".join(map(str, document.get("listeners") or []))
    up = _duration(number(document, "uptime_seconds"))
    who = f"wsrv {figures.plain(str(document.get('version')))}  {figures.plain(str(document.get('name')))}"
    where = figures.shortened(figures.plain(listeners), max(8, width - len(who) - len(up) - 7))
    cache = document.get("cache") or {}
    parts = f"ipc {document.get('ipc')}  sync {document.get('sync')}"
    parts += f"  policy {cache.get('policy')}  scope {cache.get('scope')}"
    active = f"{number(document, 'connections_active'):,.0f} connections open"
    return [
        f"{paint(who, _BOLD)}  {where}  up {up}",
        paint(figures.shortened(figures.plain(f"{parts}  {active}"), width), _DIM),
    ]


def _rates(samples: Samples, width: int, height: int, paint: Paint) -> list[str]:
    def requests(document: Document) -> float:
        return number(document, "requests_total")

    def failures(document: Document) -> float:
        return total(document, "responses", "4") + total(document, "responses", "5")

    lines = _rate_lines("requests/s", samples.rates(requests), width, height, paint, _count)
    lines += _rate_lines("sent/s", samples.rates(_counting("bytes_sent")), width, 1, paint, _bytes)
    lines += _rate_lines("new conns/s", samples.rates(_counting("connections_total")), width, 1, paint, _count)
    errors = samples.rates(failures)
    lines += _rate_lines("4xx, 5xx/s", errors, width, 1, paint, _count, _RED if errors and errors[-1] else _CYAN)
    refused = samples.rates(lambda document: total(document, "connections_refused"))
    if refused and any(refused):
        lines += _rate_lines("refused/s", refused, width, 1, paint, _count, _RED)
    return lines


def _counting(*keys: str) -> Callable[[Document], float]:
    return lambda document: number(document, *keys)


def _counting_of(group: str, name: str, value: Any, key: str) -> Callable[[Document], float]:
    """The number `key` of that one of a list whose `name` is `value`."""

    def count(document: Document) -> float:
        return next((number(one, key) for one in document.get(group) or [] if one.get(name) == value), 0.0)

    return count


def _rate_lines(
    label: str,
    rates: Sequence[float],
    width: int,
    height: int,
    paint: Paint,
    written: Callable[[float], str],
    colour: str = _CYAN,
) -> list[str]:
    now = written(rates[-1]) if rates else "-"
    peak = f"  most {written(max(rates))}" if rates else ""
    room = max(4, width - _LABEL - _FIGURE - 2 - len("  most 999.9M"))
    chart = sparks.columns(rates, room, height)
    first = f"{label:<{_LABEL}}{paint(f'{now:>{_FIGURE}}', _BOLD)}  {paint(chart[0], colour)}{paint(peak, _DIM)}"
    return [first, *(" " * (_LABEL + _FIGURE + 2) + paint(row, colour) for row in chart[1:])]


def _times(label: str, samples: Samples, key: str, paint: Paint) -> str:
    names = ("p50", "p90", "p99", "p99.9")
    found = samples.percentiles(key, (0.5, 0.9, 0.99, 0.999))
    texts = "  ".join(
        f"{name} {paint(f'{_milliseconds(value):>8}', _BOLD)}" for name, value in zip(names, found, strict=True)
    )
    return f"{label:<{_LABEL}}{texts}  {paint(f'{WINDOW} s', _DIM)}"


def _cache(samples: Samples, width: int, paint: Paint) -> str:
    cache = samples.last.get("cache") or {}
    hits, misses, evictions = (samples.rate(_counting("cache", key)) for key in ("hits", "misses", "evictions"))
    ratio = f"{100 * hits / (hits + misses):.1f} % hits" if hits + misses else "not asked"
    size, capacity = number(cache, "size_bytes"), number(cache, "capacity_bytes")
    text = f"{number(cache, 'objects'):,.0f} objects  {figures.size(size)} of {figures.size(capacity)}"
    text += f"  {evictions:,.0f} evictions/s"
    room = max(4, min(20, width - _LABEL - 13 - len(text) - 4))
    share = size / capacity if capacity else 0.0
    return f"{'cache':<{_LABEL}}{paint(f'{ratio:<13}', _BOLD)}{paint(sparks.bar(share, room), _CYAN)}  {text}"


def _workers(samples: Samples, width: int, most: int, paint: Paint) -> list[str]:
    workers = samples.last.get("workers") or []
    queues = {one.get("slot"): one for one in samples.last.get("queue") or []}
    rates = [samples.rate(_counting_of("workers", "slot", one.get("slot"), "requests_total")) for one in workers]
    highest = max(rates, default=0.0)
    tail_width = len("  1024/1024   99999  99.9s")
    room = max(4, width - 8 - 9 - 12 - 2 - tail_width)
    heads = f"{'worker':>6}  {'pid':>7}  {'requests/s':>10}  {'':<{room}}  {'queue':>9}  {'open':>6}  {'beat':>5}"
    lines = [paint(heads, _DIM)]
    shown = workers if len(workers) <= most - 1 else workers[: max(1, most - 2)]
    for one, rate in zip(shown, rates, strict=False):
        queue = queues.get(one.get("slot")) or {}
        depth = "kernel" if queue.get("depth") is None else f"{queue['depth']}/{queue.get('capacity')}"
        beat = one.get("heartbeat_age_seconds")
        late = beat is None or beat > 3
        bar = sparks.bar(rate / highest if highest else 0.0, room)
        lines.append(
            f"{_plain(one.get('slot')):>6}  {_plain(one.get('pid')):>7}  {paint(f'{_count(rate):>10}', _BOLD)}  "
            f"{paint(bar, _CYAN)}  {depth:>9}  {number(one, 'connections_active'):>6,.0f}  "
            f"{paint(f'{_plain(beat if beat is None else figures.duration(beat)):>5}', _RED if late else _DIM)}"
        )
    if len(shown) < len(workers):
        lines.append(paint(f"        and {len(workers) - len(shown)} more", _DIM))
    return lines


def _guards(samples: Samples) -> list[str]:
    used = [one for one in samples.last.get("sync_objects") or [] if number(one, "acquired")]
    if not used:
        return []
    lines = [f"{'guard':<13}  {'taken/s':>10}  {'waited for/s':>12}  {'waiting ms/s':>12}"]
    for one in used:
        name = one.get("name")
        taken, contended, waited = (
            samples.rate(_counting_of("sync_objects", "name", name, key))
            for key in ("acquired", "contended", "wait_ms")
        )
        # Threads of the pool wait for work, which tells nothing of contention.
        waits = ("-", "idle") if name == _IDLERS else (_count(contended), f"{waited:,.1f}")
        lines.append(f"{figures.plain(str(name)):<13}  {_count(taken):>10}  {waits[0]:>12}  {waits[1]:>12}")
    return lines


def _plain(value: Any) -> str:
    return "-" if value is None else figures.plain(str(value))


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def _bytes(value: float) -> str:
    return figures.size(value)


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d}:{minutes:02d}:{rest:02d}" if days else f"{hours:02d}:{minutes:02d}:{rest:02d}"
