"""URLs, lists of targets, Zipf's law."""

import gzip
import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from wsrv.engine.bench.workload import BadTarget, by_popularity, distinct, request, target_of, targets_in, zipf


@pytest.mark.parametrize(
    ("url", "address", "host", "path"),
    [
        ("http://127.0.0.1:8080/a/b?c", ("127.0.0.1", 8080), "127.0.0.1:8080", "/a/b?c"),
        ("127.0.0.1:8080", ("127.0.0.1", 8080), "127.0.0.1:8080", "/"),
        ("http://127.0.0.1", ("127.0.0.1", 80), "127.0.0.1", "/"),
        ("http://[::1]:81/x", ("::1", 81), "[::1]:81", "/x"),
        ("http://user:secret@127.0.0.1:82/", ("127.0.0.1", 82), "127.0.0.1:82", "/"),
        ("https://127.0.0.1/a", ("127.0.0.1", 443), "127.0.0.1", "/a"),
        ("unix:/run/x.sock:/a", "/run/x.sock", "localhost", "/a"),
        ("unix:/run/x.sock", "/run/x.sock", "localhost", "/"),
    ],
)
def test_a_url_names_a_place(url: str, address: object, host: str, path: str) -> None:
    target = target_of(url)
    assert (target.address, target.host, target.path) == (address, host, path)
    assert target.is_local
    assert target.tls_name == ("127.0.0.1" if url.startswith("https:") else "")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999/",
        "http://",
        "ftp://127.0.0.1/",
        "http://[::1",
        "unix:",
        "http://127.0.0.1:0/",
        "http://no.invalid/",
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_url(url: str) -> None:
    with pytest.raises(BadTarget, match=re.escape(url.rstrip("/").rpartition("/")[2] or "http")):
        target_of(url)


def test_a_request_is_what_a_server_takes() -> None:
    target = target_of("http://127.0.0.1:8080/")
    assert request(target, "/a b/ä?x=1", True, [("Accept", "*/*")]) == (
        b"GET /a%20b/%C3%A4?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\r\n"
    )
    assert request(target, "/%41", False, [("host", "other")]) == (
        b"GET /%41 HTTP/1.1\r\nhost: other\r\nConnection: close\r\n\r\n"
    )


LINES = """/one
http://somewhere.example/two?x

127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /three HTTP/1.1" 200 5 "-" "-"
127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "POST /no HTTP/1.1" 405 5 "-" "-"
{"path": "/four", "status": 200}
{"broken
* what is this
/one
"""


@pytest.mark.parametrize("compressed", [False, True])
def test_targets_are_found_in_lists_and_logs(tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / ("list.gz" if compressed else "list")
    file.write_bytes(gzip.compress(LINES.encode()) if compressed else LINES.encode())
    found = targets_in(file)
    assert found == ["/one", "/two?x", "/three", "/four", "/one"]
    assert distinct(found) == (["/one", "/two?x", "/three", "/four"], [0, 1, 2, 3, 0])


def test_a_file_without_targets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("nothing\n")
    with pytest.raises(BadTarget, match="no line with"):
        targets_in(tmp_path / "empty")
    with pytest.raises(BadTarget, match="absent"):
        targets_in(tmp_path / "absent")


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.gz"
    file.write_bytes(gzip.compress(LINES.encode() * 100)[:-20])
    with pytest.raises(BadTarget, match=r"list\.gz is compressed, and damaged"):
        targets_in(file)


def test_what_a_log_has_most_often_comes_first() -> None:
    assert by_popularity(["/a", "/b", "/c", "/b", "/c"]) == ["/b", "/c", "/a"]


def test_draws_follow_zipfs_law() -> None:
    drawn = Counter(zipf(1000, 1.0))
    total = sum(drawn.values())
    norm = sum(1 / rank for rank in range(1, 1001))
    for rank in (1, 2, 5, 20):
        expected = total / rank / norm
        assert abs(drawn[rank - 1] - expected) < 5 * expected**0.5


def test_of_several_addresses_of_a_name_the_one_that_listens_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        both = [(socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        assert target_of(f"http://localhost:{port}/").address == ("::1", port)
    assert target_of(f"http://localhost:{port}/").address == ("127.0.0.1", port)
