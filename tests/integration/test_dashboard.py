# The dashboard, driven by a real browser that can reach this machine and nothing else.
"""The dashboard shows what `wsrv stats` prints, says what is wrong, and keeps nobody out."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.browser import CHROMIUM, QUIET, Heard
from tests.support.launch import Launcher
from tests.support.program import surroundings
from tests.support.server import Server, Servers

pytestmark = pytest.mark.once("what a browser makes of the same bytes")

SECONDS = 30
MS = 1000 * SECONDS
SIX = ("active", "bytes", "200", "404", "5xx", "total")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def numbers(page: Page) -> dict[str, int]:
    """The report's six numbers, as the page shows them."""
    return {name: int(page.locator(f'[data-number="{name}"]').inner_text().replace(",", "")) for name in SIX}


def printed(server: Server) -> dict[str, int]:
    """The same as `wsrv stats --json` prints them."""
    stats = server.stats()
    by_status: dict[str, int] = stats["responses"]
    failed = sum(count for status, count in by_status.items() if status.startswith("5"))
    ours = {"active": stats["connections_active"], "bytes": stats["bytes_sent"], "total": stats["requests_total"]}
    return {**ours, "200": by_status.get("200", 0), "404": by_status.get("404", 0), "5xx": failed}


def watch(page: Page, server: Server, state: str = "live") -> None:
    """Open the dashboard, and wait until it shows something."""
    page.goto(f"{server.url}/_wsrv/")
    page.wait_for_selector(f'#connection[data-state="{state}"]', timeout=MS)
    page.wait_for_selector("#live:not([hidden])", timeout=MS)


def verdict(page: Page) -> str:
    """What the page says is wrong, or that nothing is."""
    return page.locator("#verdict").inner_text()


def waits(page: Page, what: Callable[[], bool], describe: str) -> None:
    """Wait for something that the page or the server has to come to; the page goes on meanwhile."""
    for _ in range(SECONDS * 10):
        if what():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{describe}: {verdict(page)!r}")


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes']}" for v in found if v["impact"] in ("serious", "critical")]


@pytest.fixture
def browser(nothing_left_behind: None, tmp_path: Path) -> Iterator[Browser]:
    """A browser with a home of its own."""
    env: dict[str, str | float | bool] = {**surroundings(tmp_path, XDG_RUNTIME_DIR=str(tmp_path))}
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=QUIET, env=env)
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def root(site: Path) -> Path:
    for number in range(12):
        (site / f"file-{number}.bin").write_bytes(os.urandom(1000 * number + 100))
    return site


def test_numbers_move_under_load_and_equal_what_stats_prints(servers: Servers, root: Path, browser: Browser) -> None:
    server = servers(root, "--workers", "2")
    for number in range(12):
        assert server.get(f"/file-{number}.bin").status == 200
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    heard = Heard(page)
    watch(page, server)
    before = numbers(page)
    load = subprocess.Popen(
        ["wrk", "-t1", "-c8", "-d4", f"{server.url}/index.html"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        seen: list[int] = []
        while load.poll() is None:
            page.wait_for_timeout(200)
            seen.append(numbers(page)["total"])
        assert seen == sorted(seen)
        assert len(set(seen)) > 2, "the numbers move while there is load"
    finally:
        load.wait(SECONDS)
    assert server.get("/missing").status == 404
    # The stream itself adds bytes each second.
    still = ("active", "200", "404", "5xx", "total")

    def agree() -> bool:
        shown, told = numbers(page), printed(server)
        return [shown[name] for name in still] == [told[name] for name in still] and shown["total"] > before["total"]

    waits(page, agree, "the six numbers to be those of wsrv stats")
    assert printed(server)["bytes"] >= numbers(page)["bytes"] > before["bytes"]
    # Every part has something to show.
    waits(page, lambda: "/missing" in page.locator("#errors").inner_text(), "the error to be shown")
    waits(page, lambda: "/file-11.bin" in page.locator("#entries").inner_text(), "the biggest entry to be shown")
    assert page.locator("figure canvas").count() == 5
    assert page.locator("#workers tbody tr").count() == 2
    assert {"200", "404"} <= set(page.locator("#answers tbody th").all_inner_texts())
    assert "queue" in page.locator("#locks").inner_text()
    assert "All is well" in verdict(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert serious(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    # The charts are drawn anew in their new width first.
    waits(
        page, lambda: page.evaluate("document.documentElement.scrollWidth") == 390, "the page to be as wide as a phone"
    )
    assert serious(page) == []
    # A table that is wider has a shadow where it goes on; and no loop turned 0 µs ago.
    shaded = "getComputedStyle(document.querySelector('#workers').parentElement).backgroundAttachment"
    assert page.evaluate(shaded) == "local, local, scroll, scroll"
    assert "\t0 µs ago" not in page.locator("#workers").inner_text()
    assert heard.complaints == []
    assert all(url.startswith(f"{server.url}/_wsrv/") for url in heard.statuses)
    assert set(heard.statuses.values()) == {200}


def test_it_says_what_is_wrong_and_that_it_is_over(launch: Launcher, root: Path, browser: Browser) -> None:
    server = launch(root, "--workers", "2")
    page = browser.new_page()
    watch(page, server)
    assert "All is well" in verdict(page)
    # The worker that does not serve this page: the page would be as silent as its worker.
    waits(page, lambda: any(w["connections_active"] for w in server.stats()["workers"]), "the stream to be counted")
    other = min(server.stats()["workers"], key=lambda worker: worker["connections_active"])
    os.kill(other["pid"], signal.SIGSTOP)
    try:
        waits(page, lambda: f"Worker {other['slot']} stands still" in verdict(page), "a worker that stands still")
    finally:
        os.kill(other["pid"], signal.SIGCONT)
    waits(page, lambda: "stands still" not in verdict(page), "the worker to go on")
    os.kill(other["pid"], signal.SIGKILL)
    waits(page, lambda: f"Worker {other['slot']} was replaced once" in verdict(page), "a worker that was replaced")
    # The worker of this very page: the stream begins again with another one.
    mine = max(server.stats()["workers"], key=lambda worker: worker["connections_active"])
    os.kill(mine["pid"], signal.SIGKILL)
    waits(page, lambda: f"Worker {mine['slot']} was replaced" in verdict(page), "its own worker to be replaced")
    page.wait_for_selector('#connection[data-state="live"]', timeout=MS)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        waits(page, lambda: "The master does not answer" in verdict(page), "a master that stands still")
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    page.wait_for_selector('#connection[data-state="live"]', timeout=MS)
    waits(page, lambda: "master" not in verdict(page), "the master to go on")
    assert server.status_after_term() == 0
    waits(page, lambda: "cannot be reached" in verdict(page), "the end of the server")
    assert page.locator("#connection-text").inner_text() == "No connection"


def test_without_events_it_asks_without_scripts_it_is_tables(servers: Servers, root: Path, browser: Browser) -> None:
    server = servers(root, "--workers", "1")
    page = browser.new_page()
    heard = Heard(page)
    page.add_init_script("delete window.EventSource")
    watch(page, server, "polling")
    assert server.get("/").status == 200
    waits(page, lambda: numbers(page)["total"] == 1, "the request to be seen")
    assert heard.complaints == []
    page.close()
    plain = browser.new_context(java_script_enabled=False).new_page()
    heard = Heard(plain)
    plain.goto(f"{server.url}/_wsrv/")
    fetched = plain.locator("time").inner_text()
    assert (
        plain.locator("table", has_text="Since the start")
        .locator("tr", has_text="Total requests")
        .locator("td")
        .inner_text()
        == "1"
    )
    assert not plain.locator("#live").is_visible()
    assert not plain.locator("#connection").is_visible()
    assert server.get("/").status == 200

    def fetched_again() -> bool:
        return plain.locator("time").inner_text() != fetched and "2" in plain.locator("main").inner_text()

    waits(plain, fetched_again, "the page to fetch itself again")
    assert heard.complaints == []


def test_it_is_used_by_keyboard_and_rests_when_told_to(servers: Servers, root: Path, browser: Browser) -> None:
    server = servers(root, "--workers", "1")
    page = browser.new_page()
    watch(page, server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the numbers"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "numbers"
    page.keyboard.press("Tab")
    assert page.evaluate("[document.activeElement.name, document.activeElement.value]") == ["range", "300"]
    page.keyboard.press("ArrowLeft")
    assert page.locator('[name="range"]:checked').input_value() == "60"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pause"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    assert page.locator("#connection-text").inner_text() == "Paused"
    before = numbers(page)
    assert server.get("/").status == 200
    waits(page, lambda: printed(server)["total"] == 1, "the request to be counted")
    assert numbers(page) == before
    page.keyboard.press("Enter")
    page.wait_for_selector('#connection[data-state="live"]', timeout=MS)
    waits(page, lambda: numbers(page)["total"] == 1, "the page to go on")
