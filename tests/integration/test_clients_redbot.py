# redbot over one URL of each type and encoding. It asks several times, and sees what no single answer shows.
"""redbot has no doubt about any kind of answer."""

import os
import random
from pathlib import Path

import pytest

from tests.support.media import font, png, wasm
from tests.support.program import surroundings
from tests.support.redbot import Opinion, opinions
from tests.support.server import Servers

pytestmark = pytest.mark.once("what another program makes of the same bytes")

CODINGS = ("", "identity", "gzip", "br", "zstd")
# It shrinks, but not to less than the part that redbot asks for.
TEXT = " ".join(random.Random(0).choices(["one", "line", "is", "like", "another", "and", "shrinks"], k=600))
PATHS = {
    "/": 200, "/a.css": 200, "/a.js": 200, "/a.json": 200, "/a.mjs": 200, "/a.png": 200, "/a.svg": 200, "/a.txt": 200,
    "/a.wasm": 200, "/a.woff2": 200, "/a.xml": 200, "/a.pdf": 200, "/large.bin": 200, "/large.txt": 200,
    "/tiny.txt": 200, "/empty.txt": 200, "/sub/": 200, "/sub": 301, "/nope": 404, "/%zz": 400, "/leaves": 403,
    "/listed/": 200, "/listed/?format=json": 200, "/listed/?sort=size&order=desc": 200, "/listed": 301,
}  # fmt: skip
LISTINGS = [path for path, status in PATHS.items() if path.startswith("/listed/") and status == 200]

# What redbot doubts and is right as it is: the name of its note, the paths (none: all), and why.
ARGUED: dict[str, tuple[tuple[str, ...], str]] = {
    "RANGE_CL_FULL": (("/tiny.txt",), "redbot asks for a part that is the whole of what is shorter than 97 bytes"),
    "STATUS_BAD_REQUEST": (("/%zz",), "the status says what the client did"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    texts = {
        "index.html": f'<!doctype html>\n<html lang="en"><title>index</title><p>{TEXT}</html>\n',
        "a.css": f"/* {TEXT} */\nbody {{ color: red }}\n",
        "a.js": f"// {TEXT}\nexport default 1\n",
        "a.mjs": f"// {TEXT}\nexport default 1\n",
        "a.json": f'{{"text": "{TEXT}"}}\n',
        "a.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {TEXT} --><path d="M0 0h9v9z"/></svg>\n',
        "a.txt": TEXT,
        "a.xml": f"<?xml version='1.0'?>\n<text>{TEXT}</text>\n",
        "large.txt": TEXT * 700,
        "tiny.txt": "tiny",
        "empty.txt": "",
    }
    contents = {
        "a.png": png(noise=40),
        "a.wasm": wasm(padding=4000),
        "a.woff2": font("Boxes"),
        "a.pdf": b"%PDF-1.4\n" + os.urandom(4000),
        "large.bin": os.urandom(3_000_000),
    }
    for name, content in {**{name: text.encode() for name, text in texts.items()}, **contents}.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (1_700_000_000, 1_700_000_000))
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text(texts["index.html"])
    (root / "leaves").symlink_to("/etc/hostname")
    (root / "listed" / "folder").mkdir(parents=True)
    for number in range(40):
        (root / "listed" / f"file-{number}.txt").write_text(TEXT[:number])
    return root


@pytest.fixture(scope="module")
def said(
    module_servers: Servers, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Opinion]:
    """What redbot says, by path and coding."""
    server = module_servers(root, "--workers", "2", "--listing")
    urls = [f"{server.url}{path}#{coding}" for path in PATHS for coding in CODINGS]
    found = opinions(urls, surroundings(tmp_path_factory.mktemp("home")))
    return {(one.url.removeprefix(server.url), one.coding): one for one in found}


def is_argued(name: str, path: str) -> bool:
    paths, _ = ARGUED.get(name, (("no path",), ""))
    return not paths or path in paths


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("path", PATHS)
def test_no_doubt_without_an_argument(said: dict[tuple[str, str], Opinion], path: str, coding: str) -> None:
    opinion = said[path, coding]
    assert opinion.status == PATHS[path]
    assert [doubt for doubt in opinion.doubts if not is_argued(doubt[0], path)] == []


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("path", ["/", "/a.css", "/a.js", "/a.json", "/a.mjs", "/a.svg", "/a.txt", "/a.wasm", "/a.xml"])
def test_what_was_looked_at_was_in_that_coding(said: dict[tuple[str, str], Opinion], path: str, coding: str) -> None:
    assert said[path, coding].content_encoding == coding
    assert "CONNEG_GZIP_GOOD" in said[path, ""].good


def test_no_argument_without_a_doubt(said: dict[tuple[str, str], Opinion]) -> None:
    assert {name for opinion in said.values() for name, _ in opinion.doubts} == ARGUED.keys()


@pytest.mark.parametrize("path", LISTINGS)
def test_a_listing_is_revalidated_by_its_tag(said: dict[tuple[str, str], Opinion], path: str) -> None:
    assert "INM_304" in said[path, ""].good


@pytest.mark.parametrize("path", [path for path, status in PATHS.items() if status == 200 and path not in LISTINGS])
def test_conditions_and_ranges_are_seen_to_work(said: dict[tuple[str, str], Opinion], path: str) -> None:
    wanted = {"INM_304", "IMS_304"} | ({"RANGE_CORRECT"} if path != "/empty.txt" else set())
    assert wanted <= set(said[path, ""].good)
