"""The bundled site: whole, readable without anything from elsewhere, and small where errors are concerned."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from wsrv.engine.worker.dashboard import Dashboard

pytestmark = pytest.mark.once("of the repository, not of the server")

WWW = Path(__file__).resolve().parents[2] / "www"
STATUSES = (400, 401, 403, 404, 405, 406, 408, 412, 413, 414, 416, 417, 429, 431, 500, 501, 503, 505)
DASHBOARD = WWW / "dashboard" / "index.html"
PAGES = sorted(set(WWW.rglob("*.html")) - {DASHBOARD})
# With a head of some 250 bytes an error fits into one segment (1,460 bytes on Ethernet).
MAX_ERROR_PAGE_BYTES = 1200
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Outline(HTMLParser):
    """What the tests ask of a page: its tags, where it refers to, its title."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.title = ""
        self._open: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> at line {self.getpos()[0]} closes something else"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title" and not self.title:
            self.title = data


def target_of(page: Path, reference: str) -> Path:
    """The file that answers for `reference` on this page, in a site whose root is www/."""
    target = WWW / reference[1:] if reference.startswith("/") else page.parent / reference
    return target / "index.html" if reference.endswith("/") else target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(WWW)))
def test_a_page_is_well_nested_and_refers_only_to_files_that_exist(page: Path) -> None:
    outline = Outline(page)
    assert "script" not in outline.tags
    assert {"html", "title", "main", "h1"} <= set(outline.tags)
    assert [reference for reference in outline.references if not target_of(page, reference).is_file()] == []


def test_the_dashboard_is_well_nested_and_loads_only_what_lies_beside_it() -> None:
    outline = Outline(DASHBOARD)
    assert {"html", "title", "main", "h1", "noscript"} <= set(outline.tags)
    assert {r for r in outline.references if "/" in r or ":" in r} == set()
    loaded = set(outline.references) - {"stats.json", "metrics", "#numbers"}
    files = Dashboard(DASHBOARD.parent).files
    assert loaded <= {name.decode() for name in files}
    # What one script loads is there too.
    text = "".join((entity.body or b"").decode() for name, entity in files.items() if not name.startswith(b"uplot"))
    assert set(re.findall(r"from '\./([^']+)'", text)) <= {name.decode() for name in files}
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("HTTP", "")


def test_what_others_made_is_shipped_with_its_licence() -> None:
    folder = DASHBOARD.parent / "uplot"
    assert "MIT" in (folder / "LICENSE").read_text()
    assert re.search(r"uPlot \(v\d+\.\d+\.\d+\)", (folder / "uPlot.iife.min.js").read_text())


@pytest.mark.parametrize("status", STATUSES)
def test_an_error_page_is_small_and_stands_alone(status: int) -> None:
    page = WWW / "errors" / f"{status}.html"
    outline = Outline(page)
    assert page.stat().st_size <= MAX_ERROR_PAGE_BYTES
    assert outline.title.startswith(f"{status} ")
    # A link to the front page is all that may be asked for.
    assert set(outline.references) <= {"/"}
    assert not {"img", "link", "iframe"} & set(outline.tags)


def test_there_is_no_error_page_that_is_never_sent() -> None:
    assert sorted(int(page.stem) for page in (WWW / "errors").iterdir()) == list(STATUSES)
