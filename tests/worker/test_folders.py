"""Folders without an index: listed, or a 404 that suggests it to who sits here."""

import json
from pathlib import Path

import pytest

from tests.static.coders import DECODE
from tests.worker.asking import get, hits, request, site
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench, statuses
from wsrv.engine.http.negotiation import CODINGS
from wsrv.engine.worker.connection import WAIT

# Listings.


@pytest.fixture
def listed(make_bench: MakeBench, root: Path) -> Workbench:
    (root / "sub").mkdir()
    (root / "sub" / "b.txt").touch()
    return make_bench(site=site(root, listing=True), places=4)


def test_folder_without_an_index_is_listed(listed: Workbench) -> None:
    status, head, body = get(listed, "/sub/")
    assert status == 200
    assert b'href="./b.txt"' in body
    assert "\r\nContent-Type: text/html; charset=utf-8" in head
    assert "\r\nCache-Control: no-cache" in head
    assert "\r\nVary: Accept, Accept-Encoding\r\n" in head


def test_listing_is_made_anew_each_time(listed: Workbench, root: Path) -> None:
    get(listed, "/sub/")
    (root / "sub" / "c.txt").touch()
    assert b'href="./c.txt"' in get(listed, "/sub/")[2]
    assert hits(listed, "/sub/") == b""


def test_listing_as_json_is_asked_for_by_query_or_accept(listed: Workbench) -> None:
    for target, fields in (("/sub/?format=json", ()), ("/sub/", ("Accept: application/json",))):
        _, head, body = get(listed, target, *fields)
        assert "\r\nContent-Type: application/json\r\n" in head
        assert [entry["name"] for entry in json.loads(body)["entries"]] == ["b.txt"]


def test_listing_that_has_not_changed_is_not_sent_again(listed: Workbench, root: Path) -> None:
    etag = get(listed, "/sub/")[1].partition("ETag: ")[2].partition("\r\n")[0]
    status, head, body = get(listed, "/sub/", f"If-None-Match: {etag}")
    assert (status, body) == (304, b"")
    assert "\r\nVary: Accept, Accept-Encoding\r\n" in head
    assert get(listed, "/sub/", 'If-Match: "other"')[0] == 412
    (root / "sub" / "new").touch()
    assert get(listed, "/sub/", f"If-None-Match: {etag}")[0] == 200


@pytest.mark.parametrize("target", ["/sub/", "/sub/?format=json&sort=size"])
@pytest.mark.parametrize("coding", CODINGS)
def test_listing_comes_in_a_coding_that_the_client_takes(
    listed: Workbench, root: Path, target: str, coding: bytes
) -> None:
    for number in range(100):
        (root / "sub" / f"file-{number}.txt").touch()
    takes = f"Accept-Encoding: {coding.decode()}"
    _, plain_head, plain = get(listed, target)
    status, head, coded = get(listed, target, takes)
    assert status == 200
    assert f"\r\nContent-Encoding: {coding.decode()}\r\n" in head
    assert f"\r\nContent-Length: {len(coded)}\r\n" in head
    assert len(coded) < len(plain) // 3
    assert DECODE[coding](coded) == plain
    etags = [one.partition("ETag: ")[2].partition("\r\n")[0] for one in (plain_head, head)]
    assert etags[0] != etags[1]
    assert get(listed, target, takes, f"If-None-Match: {etags[1]}")[0] == 304
    assert get(listed, target, takes, f"If-None-Match: {etags[0]}")[0] == 200


def test_listing_that_may_not_be_plain_and_gets_no_coding_is_406(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, listing=True, compress=False), places=4)
    (root / "sub").mkdir()
    assert "Content-Encoding" not in get(bench, "/sub/", "Accept-Encoding: gzip")[1]
    status, head, _ = get(bench, "/sub/", "Accept-Encoding: gzip, identity;q=0")
    assert status == 406
    assert "\r\nVary: Accept-Encoding\r\n" in head


def test_small_listing_that_may_not_be_plain_is_406(listed: Workbench) -> None:
    # It is shorter than what is compressed at all.
    status, _, _ = get(listed, "/sub/?format=json", "Accept-Encoding: gzip, identity;q=0")
    assert status == 406


def test_listing_has_a_head_of_its_length(listed: Workbench) -> None:
    _, head, body = get(listed, "/sub/")
    assert get(listed, "/sub/", method="HEAD")[1:] == (head, b"")
    assert f"\r\nContent-Length: {len(body)}\r\n" in head


def test_index_goes_before_a_listing_and_a_folder_without_slash_is_sent_there(listed: Workbench, root: Path) -> None:
    status, head, _ = get(listed, "/sub?sort=size")
    assert status == 301
    assert "\r\nLocation: /sub/?sort=size" in head
    (root / "sub" / "index.html").write_bytes(b"index")
    assert get(listed, "/sub/")[2] == b"index"


def test_hidden_and_missing_folders_are_not_listed(listed: Workbench, root: Path) -> None:
    (root / ".git").mkdir()
    assert get(listed, "/.git/")[0] == 404
    assert get(listed, "/gone/")[0] == 404
    assert get(listed, "/a.txt/")[0] == 404


def test_listings_are_made_one_at_a_time_however_many_ask(listed: Workbench) -> None:
    clients = [listed.client() for _ in range(20)]
    for client in clients:
        client.send(request("/sub/?sort=size"))
        client.send(request("/sub/?order=desc"))
    listed.arrive(*clients)
    # A pool of four places serves them all: who asks for the same shares a job, and the others stand in a lane.
    assert sum(client.conn.state == WAIT for client in clients) == 20
    got = listed.hear_all(*clients)
    assert statuses(got) == [200] * 40


# Without an index and without listings.


def test_404_of_a_folder_suggests_a_listing_to_who_sits_here(bench: Workbench, root: Path) -> None:
    (root / "sub").mkdir()
    client = bench.tcp_client()
    status, _, body = get(bench, "/sub/", client=client)
    assert (status, b"--listing" in body) == (404, True)


@pytest.mark.parametrize("field", ["Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "Via: 1.1 proxy"])
def test_404_of_a_folder_suggests_nothing_to_who_comes_through_a_proxy(
    bench: Workbench, root: Path, field: str
) -> None:
    (root / "sub").mkdir()
    status, _, body = get(bench, "/sub/", field, client=bench.tcp_client())
    assert (status, b"--listing" in body) == (404, False)


def test_404_of_anything_else_suggests_nothing(bench: Workbench) -> None:
    for target in ("/gone", "/gone/", "/a.txt/", "/.git/"):
        status, _, body = get(bench, target, client=bench.tcp_client())
        assert (status, b"--listing" in body) == (404, False)
