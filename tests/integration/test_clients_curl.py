# curl as people use it: what it shows, what it resumes, and that what is refused is refused in good order.
"""curl against a server."""

import gzip
import os
from pathlib import Path

import pytest

from tests.support.program import run, surroundings
from tests.support.server import Server, Servers

pytestmark = pytest.mark.once("what another program makes of the same bytes")

LARGE = os.urandom(3_000_000)
TEXT = "".join(f"line {number} of many lines that are much alike\n" for number in range(5000))
PAGE = b"<!doctype html><title>index</title>\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_bytes(PAGE)
    (root / "large.bin").write_bytes(LARGE)
    (root / "text.txt").write_text(TEXT)
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("sub")
    return root


@pytest.fixture(scope="module")
def server(module_servers: Servers, root: Path) -> Server:
    return module_servers(root, "--workers", "2")


def curl(*words: str | Path, folder: Path) -> bytes:
    """What it writes. Errors of the server are not its own: it succeeds unless the transfer does not."""
    command = ("curl", "--disable", "--silent", "--show-error", "--max-time", "30", *words)
    return run(*command, env=surroundings(folder), cwd=folder).stdout


def fields(head: bytes) -> dict[str, str]:
    """The fields of the last head in what `--include` or `--head` writes."""
    lines = head.decode("latin-1").split("\r\n\r\n")[-2].split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_gets_bytes(server: Server, tmp_path: Path) -> None:
    assert curl(f"{server.url}/", folder=tmp_path) == PAGE
    assert curl(f"{server.url}/large.bin", folder=tmp_path) == LARGE


def test_head_shows_what_get_has(server: Server, tmp_path: Path) -> None:
    for path in ("/", "/large.bin", "/sub", "/nope"):
        head = curl("--head", server.url + path, folder=tmp_path)
        whole = curl("--include", server.url + path, folder=tmp_path)
        assert fields(head) | {"date": ""} == fields(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n") | {"date": ""}
        assert head.endswith(b"\r\n\r\n")


def test_http_1_0_is_answered_and_closed(server: Server, tmp_path: Path) -> None:
    asked = ("--http1.0", "--write-out", "%{http_version} %{num_connects}", "--output")
    told = curl(
        *asked, tmp_path / "a", f"{server.url}/large.bin", "--output", tmp_path / "b", f"{server.url}/", folder=tmp_path
    )
    assert told == b"1.1 11.1 1"
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (LARGE, PAGE)


def test_connection_is_used_again(server: Server, tmp_path: Path) -> None:
    urls = [f"{server.url}{path}" for path in ("/", "/large.bin", "/nope", "/sub/", "/")]
    outputs = [word for url in urls for word in ("--output", "/dev/null", url)]
    assert curl("--write-out", "%{num_connects} ", *outputs, folder=tmp_path).split() == [b"1", b"0", b"0", b"0", b"0"]


def test_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    told = curl("--location", "--write-out", " %{http_code} %{num_redirects}", f"{server.url}/sub", folder=tmp_path)
    assert told == b"sub 200 1"


@pytest.mark.parametrize("have", [1, 1_000_000, 2_999_999])
def test_resume_fetches_what_is_missing(server: Server, tmp_path: Path, have: int) -> None:
    (tmp_path / "got").write_bytes(LARGE[:have])
    asked = ("--continue-at", "-", "--write-out", "%{http_code} %{size_download}", "--output", tmp_path / "got")
    assert curl(*asked, f"{server.url}/large.bin", folder=tmp_path) == b"206 %d" % (len(LARGE) - have)
    assert (tmp_path / "got").read_bytes() == LARGE


def test_resume_of_what_is_whole_is_416_and_harmless(server: Server, tmp_path: Path) -> None:
    (tmp_path / "got").write_bytes(LARGE)
    asked = ("--continue-at", "-", "--write-out", "%{http_code}", "--output", tmp_path / "got")
    assert curl(*asked, f"{server.url}/large.bin", folder=tmp_path) == b"416"
    assert (tmp_path / "got").read_bytes() == LARGE


@pytest.mark.parametrize("asked", ["0-0", "100-199", "-500", "2999990-", "2999990-9999999"])
def test_a_range_is_those_bytes(server: Server, tmp_path: Path, asked: str) -> None:
    first, _, last = asked.partition("-")
    expected = LARGE[int(first) : int(last or len(LARGE)) + 1] if first else LARGE[-int(last) :]
    assert curl("--range", asked, f"{server.url}/large.bin", folder=tmp_path) == expected


def test_several_ranges_come_in_parts(server: Server, tmp_path: Path) -> None:
    said = curl("--include", "--range", "0-99,1000000-1000099,-100", f"{server.url}/large.bin", folder=tmp_path)
    head, _, body = said.partition(b"\r\n\r\n")
    boundary = fields(head + b"\r\n\r\n")["content-type"].removeprefix("multipart/byteranges; boundary=").encode()
    _, *parts, end = body.split(b"--" + boundary)
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == [
        LARGE[at : at + 100] + b"\r\n" for at in (0, 1_000_000, len(LARGE) - 100)
    ]
    assert end == b"--\r\n"


def test_compressed_comes_shorter_and_whole(server: Server, tmp_path: Path) -> None:
    asked = ("--compressed", "--write-out", "%{size_download}", "--output", tmp_path / "got", f"{server.url}/text.txt")
    assert 0 < int(curl(*asked, folder=tmp_path)) < len(TEXT) // 4
    assert (tmp_path / "got").read_text() == TEXT
    head = fields(curl("--head", "--compressed", f"{server.url}/text.txt", folder=tmp_path))
    assert head["content-encoding"] in {"br", "zstd", "gzip"}
    assert "accept-encoding" in head["vary"].lower()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_compressed_by_each_coding(server: Server, tmp_path: Path, coding: str) -> None:
    # curl decodes what it did not choose itself, as long as --compressed is there.
    asked = ("--compressed", "--header", f"Accept-Encoding: {coding}", "--dump-header", tmp_path / "head")
    assert curl(*asked, f"{server.url}/text.txt", folder=tmp_path).decode() == TEXT
    assert fields((tmp_path / "head").read_bytes())["content-encoding"] == coding


def test_resume_of_a_compressed_text_goes_on_in_the_same_coding(server: Server, tmp_path: Path) -> None:
    # Without --compressed curl keeps what comes; a part has to fit the one before.
    gzip_only = ("--header", "Accept-Encoding: gzip", f"{server.url}/text.txt")
    whole = curl(*gzip_only, folder=tmp_path)
    assert whole.startswith(b"\x1f\x8b")
    (tmp_path / "got").write_bytes(whole[:1000])
    curl("--continue-at", "-", "--output", tmp_path / "got", *gzip_only, folder=tmp_path)
    assert gzip.decompress((tmp_path / "got").read_bytes()).decode() == TEXT


def test_unix_socket(servers: Servers, root: Path, tmp_path: Path) -> None:
    place = tmp_path / "http.sock"
    servers(root, "--workers", "2", "--listen", "127.0.0.1:0", "--listen", f"unix:{place}")
    for path, expected in (("/", PAGE), ("/large.bin", LARGE)):
        assert curl("--unix-socket", place, f"http://localhost{path}", folder=tmp_path) == expected


def test_condition_of_a_kept_etag(server: Server, tmp_path: Path) -> None:
    kept = ("--etag-save", tmp_path / "etag", "--etag-compare", tmp_path / "etag")
    (tmp_path / "etag").touch()
    asked = (*kept, "--write-out", "%{http_code}", "--output", "/dev/null", f"{server.url}/")
    assert [curl(*asked, folder=tmp_path) for _ in range(2)] == [b"200", b"304"]


def test_condition_of_a_files_date(server: Server, root: Path, tmp_path: Path) -> None:
    asked = ("--write-out", "%{http_code}", "--output", tmp_path / "got", f"{server.url}/large.bin")
    curl("--remote-time", *asked, folder=tmp_path)
    assert int((tmp_path / "got").stat().st_mtime) == int((root / "large.bin").stat().st_mtime)
    assert curl("--time-cond", tmp_path / "got", *asked, folder=tmp_path) == b"304"


@pytest.mark.parametrize("size", [0, 100, 500_000, 5_000_000])
def test_upload_is_refused_and_curl_hears_it(server: Server, tmp_path: Path, size: int) -> None:
    # Above a megabyte curl waits for 100 by itself.
    (tmp_path / "upload").write_bytes(b"u" * size)
    said = curl("--include", "--upload-file", tmp_path / "upload", f"{server.url}/upload", folder=tmp_path)
    assert b"HTTP/1.1 405 Method Not Allowed\r\n" in said
    assert fields(said)["allow"] == "GET, HEAD, OPTIONS"


def test_who_expects_100_with_a_body_gets_the_answer(server: Server, tmp_path: Path) -> None:
    asked = ("--request", "GET", "--header", "Expect: 100-continue", "--data-binary", "b" * 10_000)
    said = curl(
        "--include",
        *asked,
        "--output",
        tmp_path / "1",
        f"{server.url}/",
        "--output",
        tmp_path / "2",
        f"{server.url}/",
        folder=tmp_path,
    )
    assert said == b""
    for got in ("1", "2"):
        assert (tmp_path / got).read_bytes().endswith(b"\r\n\r\n" + PAGE)


def test_form_post_is_refused_and_the_next_request_served(server: Server, tmp_path: Path) -> None:
    refused = ("--data", "a=1", "--write-out", "%{http_code} ", "--output", "/dev/null", f"{server.url}/")
    served = ("--next", "--silent", "--max-time", "30", f"{server.url}/")
    assert curl(*refused, *served, folder=tmp_path) == b"405 " + PAGE
