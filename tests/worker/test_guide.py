"""What rules do to requests: redirects, rewrites, hosts, applications, listings, other origins."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.settings import (
    CacheSettings,
    HeaderRule,
    HostSettings,
    RedirectRule,
    RewriteRule,
    SiteSettings,
)
from wsrv.engine.shm.row import HITS, MISSES
from wsrv.engine.worker.connection import LINGER, WAIT

PAGES = Path(__file__).resolve().parents[2] / "www" / "errors"
BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"


def site(root: Path, **settings: Any) -> SiteSettings:
    return SiteSettings(root=root, pages=PAGES, templates=PAGES.parent / "templates", **settings)


def request(target: str, *fields: str, host: str = "a", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode("latin-1")


def get(
    bench: Workbench, target: str, *fields: str, client: Client | None = None, **how: str
) -> tuple[int, str, bytes]:
    """Status, head and body of one answer."""
    answer = bench.answers(client or bench.client(), request(target, *fields, **how))
    head, _, body = answer.partition(b"\r\n\r\n")
    return statuses(answer)[0], head.decode("latin-1") + "\r\n", body


def hits(bench: Workbench, target: str, *fields: str, host: str = "a") -> bytes:
    """The answer that the hot path gives; nothing when it does not know one."""
    slow: list[bytes] = []
    bench.hot._slow = lambda conn, seen, now_ns: slow.append(seen)
    try:
        client = bench.client()
        return bench.ask(client, request(target, *fields, host=host))
    finally:
        bench.hot._slow = bench.intake.feed


# Redirects and rewrites.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_has_its_status_and_is_counted(make_bench: MakeBench, root: Path, status: int) -> None:
    bench = make_bench(site=site(root, redirects=(RedirectRule("/old/*", "/new/$1", status),)))
    found, head, body = get(bench, "/old/a%20b?x=1")
    assert found == status
    assert "\r\nLocation: /new/a%20b?x=1" in head
    assert b'href="/new/a%20b?x=1"' in body
    assert bench.responses() == {status: 1}
    assert f'"GET /old/a%20b?x=1 HTTP/1.1" {status} ' in bench.log()[0]


def test_redirect_goes_before_a_file_and_is_never_shelved(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, redirects=(RedirectRule("/a.txt", "/b", 302),)))
    assert get(bench, "/a.txt")[0] == 302
    assert hits(bench, "/a.txt") == b""


def test_redirect_of_a_path_on_whatever_spelling(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, redirects=(RedirectRule("/old", "/new", 302),)))
    for target in ("/old", "/%6fld", "//old", "/./old", "/x/../old", "http://a/old"):
        assert get(bench, target)[0] == 302


def test_rewritten_path_is_answered_with_the_other_file_and_shelved(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, rewrites=(RewriteRule("/v/**", "/$1"), RewriteRule("/h/**", "/.hidden"))))
    assert get(bench, "/v/a.txt")[::2] == (200, b"alpha")
    assert hits(bench, "/v/a.txt").endswith(b"alpha")
    (root / ".hidden").write_bytes(b"no")
    assert get(bench, "/h/x")[0] == 404


def test_rewrite_serves_a_file_that_is_too_large_to_hold(make_bench: MakeBench, root: Path) -> None:
    content = os.urandom(1_200_000)
    (root / "big").write_bytes(content)
    bench = make_bench(site=site(root, rewrites=(RewriteRule("/v/**", "/$1"),)))
    client = bench.tcp_client()
    client.send(request("/v/big", "Connection: close"))
    bench.arrive(client)
    got = b""
    while len(got) < len(content) or client.conn.state in (WAIT, LINGER):
        got += bench.hear_all(client)
    assert got.partition(b"\r\n\r\n")[2] == content


# Fields.


def test_fields_of_rules_are_in_the_prebuilt_answer(make_bench: MakeBench, root: Path) -> None:
    rules = (HeaderRule("*.txt", (("X-A", ("1",)), ("Cache-Control", ("max-age=5",)))),)
    bench = make_bench(site=site(root, headers=rules, security_headers=True))
    _, head, _ = get(bench, "/a.txt")
    hit = hits(bench, "/a.txt").partition(b"\r\n\r\n")[0].decode() + "\r\n"
    for text in (head, hit):
        assert "\r\nX-A: 1\r\n" in text
        assert "\r\nCache-Control: max-age=5\r\n" in text
        assert "\r\nX-Content-Type-Options: nosniff" in text


def test_not_modified_repeats_the_cache_control_of_the_rules(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, headers=(HeaderRule("*", (("cache-control", ("max-age=5",)),)),)))
    etag = get(bench, "/a.txt")[1].partition("ETag: ")[2].partition("\r\n")[0]
    status, head, _ = get(bench, "/a.txt", f"If-None-Match: {etag}")
    assert status == 304
    assert "\r\nCache-Control: max-age=5" in head


def test_fingerprinted_name_is_immutable_and_its_404_is_not(make_bench: MakeBench, root: Path) -> None:
    (root / "app.3f9a1c2b.js").write_bytes(b"x")
    bench = make_bench(site=site(root, security_headers=True))
    assert "Cache-Control: max-age=31536000, immutable" in get(bench, "/app.3f9a1c2b.js")[1]
    assert "Cache-Control: no-cache" in get(bench, "/a.txt")[1]
    status, head, _ = get(bench, "/gone.3f9a1c2b.js")
    assert status == 404
    assert "immutable" not in head
    assert "X-Content-Type-Options: nosniff" in head


# Other origins.


def test_any_origin_is_a_static_field_of_every_answer(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, cors=("*",)))
    assert "\r\nAccess-Control-Allow-Origin: *" in get(bench, "/a.txt", "Origin: https://b.example")[1]
    assert b"\r\nAccess-Control-Allow-Origin: *" in hits(bench, "/a.txt", "Origin: https://b.example")
    assert "\r\nAccess-Control-Allow-Origin: *" in get(bench, "/gone", "Origin: https://b.example")[1]


def test_origin_of_the_list_is_named_and_no_other(make_bench: MakeBench, root: Path) -> None:
    (root / "big").write_bytes(bytes(1_200_000))
    bench = make_bench(site=site(root, cors=("https://a.example", "https://b.example")))
    for target in ("/a.txt", "/gone", "/big"):
        for origin in ("https://a.example", "https://b.example"):
            _, head, _ = get(bench, target, f"Origin: {origin}", method="HEAD")
            assert f"\r\nAccess-Control-Allow-Origin: {origin}" in head
            assert "Origin" in head.partition("\r\nVary: ")[2].partition("\r\n")[0]
        for fields in ((), ("Origin: https://evil.example",), ("Origin: null",), ("Origin: HTTPS://a.example",)):
            _, head, _ = get(bench, target, *fields, method="HEAD")
            assert "Access-Control-Allow-Origin" not in head
            assert "Origin" in head.partition("\r\nVary: ")[2].partition("\r\n")[0]


def test_answer_that_names_an_origin_is_held_by_nobody(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, cors=("https://a.example",)))
    get(bench, "/a.txt")
    assert hits(bench, "/a.txt") != b""
    get(bench, "/a.txt", "Origin: https://a.example")
    assert hits(bench, "/a.txt", "Origin: https://a.example") == b""
    assert b"Access-Control-Allow-Origin" not in hits(bench, "/a.txt")


def test_conditional_request_of_another_origin_may_use_its_304(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, cors=("https://a.example",)))
    etag = get(bench, "/a.txt")[1].partition("ETag: ")[2].partition("\r\n")[0]
    status, head, _ = get(bench, "/a.txt", "Origin: https://a.example", f"If-None-Match: {etag}")
    assert status == 304
    assert "\r\nAccess-Control-Allow-Origin: https://a.example" in head


@pytest.mark.parametrize(
    ("cors", "origin", "allowed"),
    [
        (("*",), "https://b.example", "*"),
        (("https://b.example",), "https://b.example", "https://b.example"),
        (("https://a.example",), "https://b.example", ""),
        ((), "https://b.example", ""),
    ],
)
def test_preflight(make_bench: MakeBench, root: Path, cors: tuple[str, ...], origin: str, allowed: str) -> None:
    bench = make_bench(site=site(root, cors=cors))
    asked = ("Access-Control-Request-Method: GET", "Access-Control-Request-Headers: x-a, Range")
    status, head, body = get(bench, "/a.txt", f"Origin: {origin}", *asked, method="OPTIONS")
    assert (status, body) == (204, b"")
    assert head.partition("\r\nAccess-Control-Allow-Origin: ")[2].partition("\r\n")[0] == allowed
    if allowed:
        assert "\r\nAccess-Control-Allow-Methods: GET, HEAD" in head
        assert "\r\nAccess-Control-Allow-Headers: x-a, Range" in head
        assert "\r\nAccess-Control-Max-Age: 7200" in head
    else:
        assert "Access-Control" not in head


def test_preflight_repeats_no_names_that_are_none(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, cors=("*",)))
    for names in ('x"y', "a b", "x" * 2000):
        fields = ("Origin: https://b", "Access-Control-Request-Method: GET", f"Access-Control-Request-Headers: {names}")
        assert "Access-Control-Allow-Headers" not in get(bench, "/", *fields, method="OPTIONS")[1]
    assert "Access-Control" not in get(bench, "/", "Origin: https://b", method="OPTIONS")[1]


# Applications of one page.


@pytest.fixture
def app(make_bench: MakeBench, root: Path) -> Workbench:
    (root / "index.html").write_bytes(b"app")
    (root / "folder").mkdir()
    return make_bench(site=site(root, spa=True))


@pytest.mark.parametrize("target", ["/users/7", "/users/john.doe", "/v1.2/", "/x.html", "/folder/", "/?a", "/a.txt/x"])
def test_page_of_an_application_is_its_index(app: Workbench, target: str) -> None:
    assert get(app, target, BROWSER)[::2] == (200, b"app")
    assert get(app, target, BROWSER, method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/api/x", "Accept: application/json"),
        ("/api/x", "Accept: */*"),
        ("/api/x", "X: y"),
        ("/gone.js", BROWSER),
        ("/gone.png", BROWSER),
        ("/.git/config", BROWSER),
        ("/%2f", BROWSER),
    ],
)
def test_what_is_no_page_of_an_application_is_404(app: Workbench, target: str, accept: str) -> None:
    assert get(app, target, accept)[0] == 404


def test_index_of_an_application_is_a_hit_of_the_same_entity(app: Workbench) -> None:
    get(app, "/", BROWSER)
    held, before = len(app.shelf.store), app.count(HITS)
    for number in range(20):
        assert get(app, f"/page/{number}", BROWSER)[2] == b"app"
    assert len(app.shelf.store) == held
    assert app.count(HITS) == before + 20


def test_file_that_appears_where_the_index_was_given_shows_at_once(app: Workbench, root: Path) -> None:
    assert get(app, "/page", BROWSER)[2] == b"app"
    (root / "page").write_bytes(b"there now")
    assert get(app, "/page", BROWSER)[2] == b"there now"
    (root / "page").unlink()
    app.advance(1.1)
    assert get(app, "/page", BROWSER)[2] == b"app"


def test_change_of_the_index_shows_at_every_path_within_a_second(app: Workbench, root: Path) -> None:
    assert get(app, "/page", BROWSER)[2] == b"app"
    (root / "new").write_bytes(b"new app")
    (root / "new").rename(root / "index.html")
    app.advance(1.1)
    assert get(app, "/page", BROWSER)[2] == b"new app"


def test_application_without_an_index_is_404_once(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, spa=True))
    assert get(bench, "/page", BROWSER)[0] == 404
    assert bench.responses() == {404: 1}


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
    assert "\r\nVary: Accept" in head


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
    assert "\r\nVary: Accept\r\n" in head
    assert get(listed, "/sub/", 'If-Match: "other"')[0] == 412
    (root / "sub" / "new").touch()
    assert get(listed, "/sub/", f"If-None-Match: {etag}")[0] == 200


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


# Hosts.


@pytest.fixture
def farm(make_bench: MakeBench, root: Path, tmp_path: Path) -> Workbench:
    others = []
    for name, names in (("one", ("one.example", "*.one.example")), ("two", ("two.one.example", "[::1]"))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.txt").write_bytes(name.encode())
        (folder / "404.html").write_bytes(b"404 of " + name.encode())
        others.append(HostSettings(names, site(folder, redirects=(RedirectRule("/r", f"/{name}", 302),))))
    return make_bench(site=site(root), hosts=tuple(others), cache=CacheSettings(revalidate_seconds=0))


@pytest.mark.parametrize(
    ("host", "content"),
    [
        ("one.example", b"one"),
        ("ONE.Example:8080", b"one"),
        ("one.example.", b"one"),
        ("x.one.example", b"one"),
        ("y.x.one.example", b"one"),
        ("two.one.example", b"two"),
        ("x.two.one.example", b"one"),
        ("[::1]:8080", b"two"),
        ("notone.example", b"alpha"),
        ("example", b"alpha"),
        ("127.0.0.1", b"alpha"),
    ],
)
def test_host_decides_which_site_answers(farm: Workbench, host: str, content: bytes) -> None:
    for _ in range(2):
        assert get(farm, "/a.txt", host=host)[::2] == (200, content)
    assert hits(farm, "/a.txt", host=host).endswith(content)


def test_sites_share_no_entity_and_no_front(farm: Workbench) -> None:
    expected = {"a": b"alpha", "one.example": b"one", "two.one.example": b"two"}
    for _ in range(3):
        for host, content in expected.items():
            assert get(farm, "/a.txt", host=host)[2] == content
    assert len(farm.shelf.store) == 3


def test_absolute_target_outranks_host(farm: Workbench) -> None:
    for _ in range(2):
        assert get(farm, "http://one.example/a.txt", host="two.one.example")[2] == b"one"
        assert get(farm, "/a.txt", host="two.one.example")[2] == b"two"
    assert hits(farm, "http://one.example/a.txt", host="two.one.example").endswith(b"one")
    assert hits(farm, "/a.txt", host="two.one.example").endswith(b"two")


def test_request_without_a_host_gets_the_default_site(farm: Workbench) -> None:
    assert farm.answers(farm.client(), b"GET /a.txt HTTP/1.0\r\n\r\n").endswith(b"alpha")


def test_each_site_has_its_rules_and_error_pages(farm: Workbench) -> None:
    assert "\r\nLocation: /one\r\n" in get(farm, "/r", host="one.example")[1]
    assert "\r\nLocation: /two\r\n" in get(farm, "/r", host="two.one.example")[1]
    assert get(farm, "/r")[0] == 404
    assert get(farm, "/gone", host="one.example")[2] == b"404 of one"
    assert get(farm, "/gone", host="two.one.example")[2] == b"404 of two"
    assert b"404 of" not in get(farm, "/gone")[2]


def test_change_in_one_site_leaves_the_others_held(farm: Workbench, tmp_path: Path) -> None:
    for host in ("a", "one.example"):
        get(farm, "/a.txt", host=host)
    (tmp_path / "one" / "new").write_bytes(b"changed")
    (tmp_path / "one" / "new").rename(tmp_path / "one" / "a.txt")
    misses = farm.count(MISSES)
    assert hits(farm, "/a.txt", host="one.example") == b""
    assert get(farm, "/a.txt", host="one.example")[2] == b"changed"
    assert get(farm, "/a.txt")[2] == b"alpha"
    assert farm.count(MISSES) == misses + 1


# Error pages, dotfiles, links.


def test_error_page_of_another_name(make_bench: MakeBench, root: Path) -> None:
    (root / "errors").mkdir()
    (root / "errors" / "missing.html").write_bytes(b"not here")
    bench = make_bench(site=site(root, error_pages=((404, "/errors/missing.html"),)))
    assert get(bench, "/gone")[::2] == (404, b"not here")
    (root / "errors" / "missing.html").unlink()
    (root / "404.html").write_bytes(b"by its usual name")
    bench.advance(1.1)
    assert get(bench, "/gone")[::2] == (404, b"by its usual name")


def test_dotfiles_are_there_where_the_settings_say_so(make_bench: MakeBench, root: Path) -> None:
    (root / ".env").write_bytes(b"x")
    assert get(make_bench(site=site(root)), "/.env")[0] == 404
    bench = make_bench(site=site(root, dotfiles=True))
    assert get(bench, "/.env")[::2] == (200, b"x")
    assert hits(bench, "/.env").endswith(b"x")


def test_links_are_followed_inside_or_not_at_all(make_bench: MakeBench, root: Path) -> None:
    (root / "link").symlink_to("a.txt")
    (root / "folder").symlink_to(".")
    assert get(make_bench(site=site(root)), "/link")[::2] == (200, b"alpha")
    bench = make_bench(site=site(root, links="none"))
    for target in ("/link", "/folder/a.txt", "/folder/"):
        assert get(bench, target)[0] == 403
    assert get(bench, "/a.txt")[0] == 200
