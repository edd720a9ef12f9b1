"""Which page --open opens, and what it says where it cannot."""

from pathlib import Path

import pytest

from tests.support.server import wait_for
from wsrv.cli.browser import open_page, page_of


class Said:
    """A voice that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    warn = detail = say


@pytest.mark.parametrize(
    ("urls", "page"),
    [
        (["http://127.0.0.1:8080/"], "http://127.0.0.1:8080/"),
        (["unix:/run/x", "http://[::1]:8080/"], "http://[::1]:8080/"),
        (["http://0.0.0.0:8080/"], "http://127.0.0.1:8080/"),
        (["https://[::]:8443/"], "https://[::1]:8443/"),
        (["unix:/run/x"], None),
        ([], None),
    ],
)
def test_page_is_one_that_a_browser_can_reach(urls: list[str], page: str | None) -> None:
    assert page_of(urls) == page


def test_browser_gets_the_page(tmp_path: Path) -> None:
    script, seen = tmp_path / "browser", tmp_path / "seen"
    script.write_text(f'#!/bin/sh\necho "$1" > {seen}.new\nmv {seen}.new {seen}\n')
    script.chmod(0o755)
    said = Said()
    open_page(["http://127.0.0.1:1/"], said, {"BROWSER": str(script), "PATH": "/usr/bin:/bin"})
    wait_for(seen.exists, "the browser")
    assert seen.read_text() == "http://127.0.0.1:1/\n"
    assert said.lines == []


def test_without_a_screen_there_is_a_line() -> None:
    said = Said()
    open_page(["http://127.0.0.1:1/"], said, {"PATH": "/usr/bin:/bin"})
    [line] = said.lines
    assert "no screen" in line
    assert line.endswith("http://127.0.0.1:1/")


def test_unix_socket_alone_is_told() -> None:
    said = Said()
    open_page(["unix:/x"], said, {"DISPLAY": ":0"})
    assert said.lines == ["--open: no browser can reach a Unix socket"]
