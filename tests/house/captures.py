# TERMINAL.md is what this writes: `make captures`. Two terminals look at one server under load, at the same time.
#
# The load is bounded: a constant rate below what the machine can do, by Zipf's law over files of all sizes, some of
# which are not there; it ends by itself.
"""Captures of what wsrv shows on a terminal."""

import random
import subprocess
import tempfile
from pathlib import Path

from tests.support.launch import Launcher
from tests.support.server import WSRV
from tests.support.tmux import Terminal

PAGE = Path(__file__).resolve().parents[2] / "TERMINAL.md"
SIZES = ((80, 24), (160, 48))
_CONNECTIONS, _SECONDS = 16, 80
# Requests a second over connections that stay, and over such as are closed after each.
_KEPT, _CLOSED = 350, 50
# So long that lines are seen.
_WATCHED = 40

_HEAD = """# wsrv on a terminal

Two terminals, of 80 columns by 24 lines and of 160 by 48, in front of one server under load: a constant rate of
requests, by Zipf's law over some hundred files, one of which is not there, and a cache too small for all of them.
`make captures` makes this page anew. Colour is left out here; it is off with `NO_COLOR`, and where there is no
terminal.
"""


def _site(folder: Path) -> list[str]:
    """Files as a site has them, and their paths, the most popular first."""
    draw = random.Random(8)
    paths = ["/", "/css/site.css", "/js/app.3f9a1c2b.js", "/img/logo.svg", "/favicon.ico"]
    paths += [f"/articles/2026/{number:02}/index.html" for number in range(1, 41)]
    paths += [f"/img/photos/{number:03}.jpg" for number in range(60)]
    for path in paths:
        if path == "/favicon.ico":
            continue
        file = folder / (path.removeprefix("/") or "index.html")
        file.parent.mkdir(parents=True, exist_ok=True)
        size = draw.randrange(20_000, 90_000) if file.suffix == ".jpg" else draw.randrange(800, 12_000)
        file.write_bytes(draw.randbytes(size) if file.suffix == ".jpg" else b"<p>wsrv serves</p>\n" * (size // 19))
    return paths


def captured(folder: Path) -> dict[str, list[str]]:
    """For each command what it showed, on each terminal."""
    site = folder / "site"
    site.mkdir()
    paths = folder / "paths"
    paths.write_text("\n".join(_site(site)) + "\n")
    launcher = Launcher(folder)
    found: dict[str, list[str]] = {}
    try:
        options = ["--workers", "3", "--name", "site", "--cache-size", "3MiB", "--log-format", "json"]
        server = launcher(site, *options)
        load = [*WSRV, "bench", server.url, "--urls", str(paths), "--zipf", "1", "-c", str(_CONNECTIONS)]
        load += ["-d", f"{_SECONDS}s", "--processes", "1", "--json"]
        for rate in (["--rate", str(_KEPT)], ["--rate", str(_CLOSED), "--no-keepalive"]):
            launcher.process([*load, *rate], stderr=subprocess.DEVNULL)
        variables = {"WSRV_RUNTIME_DIR": str(server.runtime)}
        small, large = (Terminal(folder, *size, variables) for size in SIZES)
        with small, large:
            for terminal in (small, large):
                terminal.type("clear; wsrv stats --watch")
            for terminal in (small, large):
                terminal.wait(lambda shown: f"up 00:00:{_WATCHED}" in shown, "a history", 2 * _WATCHED)
            found["wsrv stats --watch"] = [small.shown(), large.shown()]
            for terminal in (small, large):
                terminal.interrupt()
            for line in (
                "wsrv stats",
                "wsrv cache inspect --top 10",
                "wsrv log tail -n 18",
                "wsrv log tail --count-by path",
            ):
                found[line] = [terminal.run(line) for terminal in (small, large)]
    finally:
        launcher.end()
    return found


def page(found: dict[str, list[str]]) -> str:
    """TERMINAL.md."""
    parts = [_HEAD]
    for line, texts in found.items():
        parts.append(f"## {line}\n")
        for (columns, lines), text in zip(SIZES, texts, strict=True):
            parts.append(f"{columns} by {lines}:\n\n```\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write TERMINAL.md anew."""
    with tempfile.TemporaryDirectory(prefix="wsrv-captures-") as folder:
        PAGE.write_text(page(captured(Path(folder))))


if __name__ == "__main__":
    main()
