"""Listings: what is in them, in which order, and that no name breaks out of the page."""

import json
import os
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsrv.engine.static import listing
from wsrv.engine.static.listing import HTML, JSON, Lister, Wish, human
from wsrv.engine.static.openat2 import open_directory
from wsrv.engine.static.withheld import Withheld

TEMPLATE = (Path(__file__).resolve().parents[2] / "www" / "templates" / "listing.html").read_bytes()
Ask = Callable[..., bytes]


class Page(HTMLParser):
    """The links of the table and their texts, the tags, and the order of the columns."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.links: list[tuple[bytes, str]] = []
        self.tags: list[str] = []
        self.sorted_by: dict[str, str] = {}
        self._in_row = self._in_link = False
        self._column = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attrs)
        if tag == "tbody":
            self._in_row = True
        if tag == "a" and self._in_row:
            self._in_link = True
            self.links.append(((known["href"] or "").encode(), ""))
        if tag == "th":
            self._column = known.get("aria-sort") or ""
        if tag == "a" and not self._in_row and self._column:
            self.sorted_by[known["href"] or ""] = self._column

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_link = False

    def handle_data(self, data: str) -> None:
        if self._in_link:
            href, text = self.links[-1]
            self.links[-1] = (href, text + data)


@pytest.fixture
def ask(root: Path) -> Iterator[Ask]:
    """Asks for the listing of a folder below `root`."""
    root_fd = open_directory(os.fsencode(root))

    def asked(path: bytes = b"", query: bytes = b"", **options: object) -> bytes:
        given: dict[str, object] = {"dotfiles": False, "no_links": False, "template": TEMPLATE, "pause": lambda: None}
        withheld = options.pop("withheld", Withheld(()))
        lister = Lister(withheld, **{**given, **options})  # type: ignore[arg-type]  # by name
        return lister.listing(root_fd, path, Wish.of(query, False))

    yield asked
    os.close(root_fd)


def names(page: bytes) -> list[bytes]:
    """The names that a page links to, without the way up."""
    return [unquote_to_bytes(href.removeprefix(b"./")) for href, _ in Page(page).links if href != b"../"]


def document(answer: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(answer)
    return found


def json_names(answer: bytes) -> list[str]:
    entries = json.loads(answer)["entries"]
    return [entry["name"] for entry in entries]


def test_folders_come_first_and_names_are_in_order(root: Path, ask: Ask) -> None:
    for name in ("b.txt", "A.txt", "c.txt"):
        (root / name).touch()
    for name in ("z", "Y"):
        (root / name).mkdir()
    assert names(ask()) == [b"Y/", b"z/", b"A.txt", b"b.txt", b"c.txt"]
    assert names(ask(query=b"order=desc")) == [b"z/", b"Y/", b"c.txt", b"b.txt", b"A.txt"]


def test_sorted_by_size_and_time(root: Path, ask: Ask) -> None:
    for name, size, moment in (("a", 3, 30), ("b", 1, 20), ("c", 2, 10)):
        (root / name).write_bytes(b"x" * size)
        os.utime(root / name, (moment, moment))
    (root / "f").mkdir()
    assert names(ask(query=b"sort=size")) == [b"f/", b"b", b"c", b"a"]
    assert names(ask(query=b"sort=size&order=desc")) == [b"f/", b"a", b"c", b"b"]
    assert names(ask(query=b"sort=time")) == [b"f/", b"c", b"b", b"a"]
    assert names(ask(query=b"sort=time&order=desc")) == [b"f/", b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("query", "link", "state"),
    [
        (b"", "?sort=name&order=desc", "ascending"),
        (b"order=desc", "?sort=name&order=asc", "descending"),
        (b"sort=time", "?sort=time&order=desc", "ascending"),
        (b"sort=size&order=desc", "?sort=size&order=asc", "descending"),
        (b"sort=nonsense&order=x&%ff=%00&&&", "?sort=name&order=desc", "ascending"),
    ],
)
def test_column_tells_its_order_and_links_to_the_other(ask: Ask, query: bytes, link: str, state: str) -> None:
    assert Page(ask(query=query)).sorted_by == {link: state}


def test_query_of_any_bytes_is_survived(ask: Ask) -> None:
    assert names(ask(query=b"&".join(b"sort=size" for _ in range(1000)))) == []
    assert names(ask(query=bytes(range(256)))) == []


ODD_NAMES = [
    *(
        b"a b",
        b"a  b ",
        b"a#b",
        b"a?b",
        b"a%20b",
        b"a%b",
        b"a&b",
        b"a+b",
        b"a;b",
        b"a:b",
        b"http:",
        b"javascript:alert(1)",
    ),
    *(b'"><script>alert(1)<script>', b"'onclick='x", b"<b>", b"&lt;", b"<!--rows-->", b"<!--note-->", b"-->"),
    *(b"a\nb", b"a\rb", b"a\tb", b"\x1b[31m", b"\x7f", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80"),
    *("ä€𝄞".encode(), "\u202egnp.exe".encode(), "👩\u200d💻".encode(), b"\\evil", b"-", b"~", b"x" * 255),
]


def test_every_name_is_linked_by_its_bytes_and_shown_harmlessly(root: Path, ask: Ask) -> None:
    for name in ODD_NAMES:
        (Path(os.fsdecode(os.fsencode(root) + b"/" + name))).touch()
    page = ask()
    assert sorted(names(page)) == sorted(ODD_NAMES)
    found = Page(page)
    assert "script" not in found.tags
    assert found.tags.count("tr") == len(ODD_NAMES) + 1
    assert not any("\u202e" in text or "\n" in text for _, text in found.links)
    assert {href[:2] for href, _ in found.links} == {b"./"}
    answer = document(ask(query=b"format=json"))
    hrefs = [entry["href"] for entry in answer["entries"]]  # type: ignore[attr-defined]  # JSON
    assert sorted(unquote_to_bytes(href.removeprefix("./")) for href in hrefs) == sorted(ODD_NAMES)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=40).filter(lambda b: not {0, 0x2F} & set(b) and not b.startswith(b".")))
def test_any_name_is_linked_by_its_bytes(root: Path, ask: Ask, name: bytes) -> None:
    path = os.fsencode(root) + b"/" + name
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    try:
        page = ask()
        assert names(page) == [name]
        assert Page(page).tags.count("tr") == 2
    finally:
        os.unlink(path)


def test_what_could_not_be_had_is_not_listed(root: Path, ask: Ask) -> None:
    for name in (".env", ".git", "wsrv.toml", "server.conf.bak", "users", "there"):
        (root / name).touch()
    (root / ".well-known").mkdir()
    (root / "sub").mkdir()
    os.mkfifo(root / "fifo")
    (root / "inside").symlink_to("there")
    (root / "folder-inside").symlink_to("sub")
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to(root / "there")
    (root / "nowhere").symlink_to("gone")
    (root / "circle").symlink_to("circle")
    (root / "other-name").hardlink_to(root / "users")
    withheld = Withheld((root / "users",))
    expected = [b".well-known/", b"folder-inside/", b"sub/", b"inside", b"there"]
    assert names(ask(withheld=withheld)) == expected
    assert names(ask(withheld=withheld, no_links=True)) == [b".well-known/", b"sub/", b"there"]
    assert b".env" in names(ask(withheld=withheld, dotfiles=True))


def test_folder_below_has_a_way_up_and_crumbs_that_lead_to_each_folder_above(root: Path, ask: Ask) -> None:
    (root / "a&b" / "c d").mkdir(parents=True)
    page = ask(b"a&b/c d/").decode()
    assert '<a href="../">..</a>' in page
    assert page.count('<a href="../../"><bdi>root</bdi></a>') == 1
    assert '<a href="../"><bdi>a&amp;b</bdi></a>' in page
    assert '<a href="./" aria-current="page"><bdi>c d</bdi></a>' in page
    assert "<title>/a&amp;b/c d/</title>" in page
    assert '<a href="../">' not in ask().decode()


def test_json_says_all_there_is_to_say(root: Path, ask: Ask) -> None:
    (root / "f").mkdir()
    (root / "a").write_bytes(b"abc")
    for name in ("f", "a"):
        os.utime(root / name, (1, 784111777))
    assert document(ask(query=b"format=json")) == {
        "schema": 1,
        "path": "/",
        "folders": 1,
        "files": 1,
        "complete": True,
        "entries": [
            {"name": "f", "href": "./f/", "type": "folder", "size": None, "modified": "1994-11-06T08:49:37Z"},
            {"name": "a", "href": "./a", "type": "file", "size": 3, "modified": "1994-11-06T08:49:37Z"},
        ],
    }


def test_empty_folder_is_a_page_and_a_document(ask: Ask) -> None:
    assert names(ask()) == []
    assert b"0 folders, 0 files." in ask()
    assert document(ask(query=b"format=json"))["entries"] == []


def test_more_than_is_shown_is_said(root: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_SHOWN", 3)
    (root / "f").mkdir()
    for number in range(5):
        (root / f"{number}").touch()
    page = ask()
    assert names(page) == [b"f/", b"0", b"1"]
    assert b"1 folder, 5 files. <strong>Only the first 3 are shown.</strong>" in page
    answer = document(ask(query=b"format=json"))
    assert (answer["complete"], answer["files"], len(json_names(ask(query=b"format=json")))) == (False, 5, 3)


def test_more_than_is_read_is_said(root: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_READ", 4)
    for number in range(6):
        (root / f"{number}").touch()
    assert len(names(ask())) == 4
    assert b"More than 4 entries; the rest was not looked at." in ask()
    assert document(ask(query=b"format=json"))["complete"] is False


def test_order_is_the_same_however_many_slices_there_are(root: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        (root / f"n{number * 7919 % 100:03d}").write_bytes(b"x" * (number % 5))
    whole = {query: names(ask(query=query)) for query in (b"", b"order=desc", b"sort=size", b"sort=size&order=desc")}
    monkeypatch.setattr(listing, "_SLICE", 3)
    for query, expected in whole.items():
        assert names(ask(query=query)) == expected


def test_work_is_done_in_slices(root: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_SLICE", 10)
    for number in range(100):
        (root / f"{number}").touch()
    pauses: list[None] = []
    ask(pause=lambda: pauses.append(None))
    # Reading, sorting, merging, rendering: each in ten slices.
    assert len(pauses) >= 35


@pytest.mark.parametrize("path", [b"gone/", b"a/", b"../", b"out/"])
def test_what_is_no_folder_beneath_the_root_is_an_error(root: Path, ask: Ask, path: bytes) -> None:
    (root / "a").touch()
    (root / "out").symlink_to("..")
    with pytest.raises(OSError, match=r"\[Errno"):
        ask(path)


def test_page_without_its_template_is_still_a_page(root: Path, ask: Ask) -> None:
    (root / "a").touch()
    assert names(ask(template=b"")) == [b"a"]


def test_time_that_no_calendar_reaches_is_survived(root: Path, ask: Ask) -> None:
    (root / "a").touch()
    os.utime(root / "a", (2**33, 2**33))
    (root / "b").touch()
    os.utime(root / "b", (-(2**31), -(2**31)))
    assert names(ask(query=b"sort=time")) == [b"b", b"a"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (102_400, "100 KiB")),
        *((1_048_575, "1.0 MiB"), (1_048_576, "1.0 MiB"), (10**9, "954 MiB"), (2**40, "1.0 TiB"), (2**70, "1024 EiB")),
    ],
)
def test_human_sizes(size: int, text: str) -> None:
    assert human(size) == text


def test_wish_is_json_when_it_is_preferred_or_asked_for() -> None:
    assert Wish.of(b"", True).form == JSON
    assert Wish.of(b"format=json", False).form == JSON
    assert Wish.of(b"format=html", True).form == HTML
