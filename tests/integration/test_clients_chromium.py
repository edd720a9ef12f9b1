# A real browser, driven by Playwright. It takes modules and WebAssembly only under the right types, and seeks in a
# video only by ranges. It can reach this machine and nothing else: all names but the loopback address lead nowhere.
"""Chromium shows a site whole, without a word on its console."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.support.browser import CHROMIUM, QUIET, Heard
from tests.support.media import font, png, wasm, webm
from tests.support.program import surroundings
from tests.support.server import Server, Servers, wait_for

pytestmark = pytest.mark.once("what a browser makes of the same bytes")

SECONDS = 120
COLOURS = [(40 * (second % 6), 255 - 40 * (second % 6), 128) for second in range(SECONDS)]

INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>whole</title>
<link rel="icon" href="icon.svg"><link rel="manifest" href="site.webmanifest"><link rel="stylesheet" href="look.css">
<script type="importmap">{"imports": {"sums": "/lib/sums.mjs"}}</script>
<script type="module" src="main.js"></script>
<p><span id="plain">A</span> <span id="boxed">A</span></p>
<p><img id="svg" src="icon.svg" alt=""><img id="png" src="dot.png" alt=""></p>
<video id="video" src="film.webm" preload="metadata" muted></video>
</html>
"""
MAIN = """import { doubled } from 'sums'
const wasm = await WebAssembly.instantiateStreaming(fetch('sum.wasm'))
await document.fonts.load('20px Boxes')
await document.fonts.ready
const lazy = await import('./lib/lazy.js')
const width = id => document.getElementById(id).getBoundingClientRect().width
window.results = {
  module: doubled(21),
  lazy: lazy.default,
  wasm: wasm.instance.exports.add(40, 2),
  fonts: [...document.fonts].map(face => face.family + ' ' + face.status),
  wider: width('boxed') > 1.5 * width('plain'),
  json: (await (await fetch('numbers.json')).json()).answer,
  pictures: ['svg', 'png'].map(id => document.getElementById(id).naturalWidth),
}
"""
SEEK = """async ([seconds]) => {
  const video = document.getElementById('video')
  if (video.readyState < 1) await new Promise(done => video.addEventListener('loadedmetadata', done, { once: true }))
  const seeked = new Promise((done, failed) => {
    video.addEventListener('seeked', done, { once: true })
    video.addEventListener('error', () => failed(video.error.message), { once: true })
  })
  video.currentTime = seconds
  await seeked
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = 1
  const context = canvas.getContext('2d')
  context.drawImage(video, 0, video.videoHeight * 3 / 4, 10, 10, 0, 0, 1, 1)
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
}"""


@pytest.fixture
def root(site: Path) -> Path:
    """A page and all that it loads."""
    (site / "lib").mkdir()
    texts = {
        "index.html": INDEX,
        "main.js": MAIN,
        "lib/sums.mjs": "export const doubled = number => 2 * number\n",
        "lib/lazy.js": "export default 'later'\n",
        "look.css": "@font-face { font-family: Boxes; src: url(boxes.woff2) format('woff2') }\n"
        "#boxed { font: 20px Boxes }\n#plain { font: 20px sans-serif }\n",
        "icon.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><path d="M0 0h9v9z"/></svg>\n',
        "site.webmanifest": '{"name": "whole", "start_url": "/", "icons": [{"src": "icon.svg", "sizes": "any"}]}\n',
        "numbers.json": '{"answer": 42}\n',
    }
    for name, text in texts.items():
        (site / name).write_text(text)
    for name, content in {"boxes.woff2": font("Boxes"), "sum.wasm": wasm(), "dot.png": png()}.items():
        (site / name).write_bytes(content)
    (site / "film.webm").write_bytes(webm(COLOURS))
    return site


@pytest.fixture
def server(servers: Servers, root: Path) -> Server:
    return servers(root, "--workers", "2")


@pytest.fixture
def page(nothing_left_behind: None, tmp_path: Path) -> Iterator[Page]:
    """A page of a browser with a profile of its own."""
    env: dict[str, str | float | bool] = {**surroundings(tmp_path, XDG_RUNTIME_DIR=str(tmp_path))}
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=QUIET, env=env
        )
        try:
            yield context.new_page()
        finally:
            context.close()


def test_page_with_all_that_it_loads(server: Server, page: Page) -> None:
    heard = Heard(page)
    page.goto(f"{server.url}/")
    page.wait_for_function("window.results")
    assert page.evaluate("window.results") == {
        "module": 42,
        "lazy": "later",
        "wasm": 42,
        "fonts": ["Boxes loaded"],
        "wider": True,
        "json": 42,
        "pictures": [16, 1],
    }
    manifest = page.context.new_cdp_session(page).send("Page.getAppManifest")
    assert manifest["url"] == f"{server.url}/site.webmanifest"
    assert manifest["errors"] == []
    assert '"name": "whole"' in manifest["data"]
    assert heard.complaints == []
    scripts = {"main.js", "lib/sums.mjs", "lib/lazy.js"}
    names = {"", "look.css", "boxes.woff2", "sum.wasm", "icon.svg", "dot.png", *scripts}
    assert {f"{server.url}/{name}" for name in names} <= heard.statuses.keys()
    assert all(url.startswith(f"{server.url}/") for url in heard.statuses)
    assert set(heard.statuses.values()) <= {200, 206}


def test_reload_is_answered_304_and_shows_an_edit(server: Server, root: Path, page: Page) -> None:
    heard = Heard(page)
    page.goto(f"{server.url}/")
    page.wait_for_function("window.results")
    (root / "lib" / "lazy.js").write_text("export default 'edited'\n")
    wait_for(lambda: b"edited" in server.get("/lib/lazy.js").body, "the edit to be served")
    page.reload()
    page.wait_for_function("window.results")
    wait_for(lambda: '"GET /main.js HTTP/1.1" 304 ' in server.log.read_text(), "a 304 for what has not changed")
    assert heard.complaints == []


def test_video_seeks_to_where_it_has_not_been(server: Server, root: Path, page: Page) -> None:
    heard = Heard(page)
    page.goto(f"{server.url}/")
    page.wait_for_function("window.results")
    assert (root / "film.webm").stat().st_size > 30_000_000
    for second in (114, 3, 80, 44):
        shown = page.evaluate(SEEK, [second + 0.5])
        assert max(abs(a - b) for a, b in zip(shown, COLOURS[second], strict=True)) < 24, (second, shown)
    assert heard.complaints == []
    film = re.compile(r'"GET /film\.webm HTTP/1\.1" (\d+)')
    wait_for(lambda: film.findall(server.log.read_text()).count("206") >= 3, "the parts of the video to be logged")
    # What it still has it asks for with the ETag it has it under.
    assert set(film.findall(server.log.read_text())) <= {"206", "304"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_listing_is_used_by_keyboard_and_fits_a_telephone(
    servers: Servers, site: Path, page: Page, scheme: Literal["light", "dark"]
) -> None:
    (site / "favicon.ico").write_bytes(png())
    folder = site / "some" / "<b>folder"
    folder.mkdir(parents=True)
    for name, length in (("b.txt", 3), ("a.txt", 5), (f"{'long-' * 40}.txt", 4), ("' onclick='alert(1).txt", 9)):
        (folder / name).write_text("x" * length)
    server = servers(site, "--listing")
    heard = Heard(page)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{server.url}/some/%3Cb%3Efolder/")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    colours = page.evaluate("(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))")
    ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (ink < paper - 300) if scheme == "light" else (paper < ink - 300)

    def press_tab_until(text: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == text:
                return
        raise AssertionError(f"no way to {text} by keyboard")

    def names() -> list[str]:
        return page.locator("tbody tr td:first-child").all_inner_texts()

    press_tab_until("Size")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    press_tab_until("Size")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    sizes = page.locator("tbody tr td:nth-child(2)").all_inner_texts()
    assert [size for size in sizes if size] == ["9 B", "5 B", "4 B", "3 B"]
    assert set(names()) == {"..", *(path.name for path in folder.iterdir())}
    press_tab_until("a.txt")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("body").inner_text() == "xxxxx"
    page.go_back()
    press_tab_until("..")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "<b>folder/" in names()
    assert heard.complaints == []
    assert all(url.startswith(f"{server.url}/") for url in heard.statuses)
    assert set(heard.statuses.values()) <= {200, 304}
