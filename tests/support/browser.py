# Debian's Chromium, driven by Playwright. It can reach this machine and nothing else: all names but the loopback
# address lead nowhere.
"""How the browser is started, and what a page in it was heard to do."""

from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-first-run",
    "--no-sandbox",
)


class Heard:
    """What a page did on the network, and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.statuses: dict[str, int] = {}
        self.complaints: list[str] = []
        page.on("response", lambda answer: self.statuses.update({answer.url: answer.status}))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        # A browser ends the download of a video itself when it has enough, or seeks.
        page.on("requestfailed", lambda asked: self._failed(asked.url, asked.failure))

    def _failed(self, url: str, failure: str | None) -> None:
        if not (url.endswith(".webm") and failure == "net::ERR_ABORTED"):
            self.complaints.append(f"failed: {url}: {failure}")
