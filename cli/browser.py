# Opening a browser, for `wsrv serve --open`.
#
# Rule 1: what goes wrong here is a line, never the end of the server.
# Rule 2: the browser is nobody's child: not the server's, which waits for its own, and not in its process group, so
#         Ctrl+C ends the server alone.
"""Showing a page to the person in front of the screen."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from wsrv.engine.master.outcome import Voice

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
_START_SECONDS = 10
_ANYWHERE = (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:"))


def page_of(urls: Sequence[str]) -> str | None:
    """The URL to open of those that a server listens on; None where no browser can."""
    url = next((url for url in urls if url.startswith(("http://", "https://"))), None)
    for written, meant in _ANYWHERE if url is not None else ():
        url = url.replace(written, meant, 1) if url is not None else None
    return url


def open_page(urls: Sequence[str], voice: Voice, environ: Mapping[str, str] = os.environ) -> None:
    """Open the page of a server that listens on `urls`, or say why not. Never raises."""
    url = page_of(urls)
    if url is None:
        voice.warn("--open: no browser can reach a Unix socket")
        return
    if not any(environ.get(name) for name in _SCREENS):
        voice.warn(f"--open: there is no screen here (no DISPLAY, WAYLAND_DISPLAY or BROWSER); the page is {url}")
        return
    # The shell starts it in the background and ends; whoever collects orphans has it then. `webbrowser` knows what this
    # desktop opens pages with, and heeds BROWSER.
    command = ["sh", "-c", '"$@" >/dev/null 2>&1 &', "sh", sys.executable, "-m", "webbrowser", url]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
            timeout=_START_SECONDS,
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        voice.warn(f"--open: the browser cannot be started: {error}; the page is {url}")
