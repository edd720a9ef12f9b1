"""What rules do to requests: redirects, rewrites, fields, other origins."""

import os
from pathlib import Path

import pytest

from tests.worker.asking import get, hits, request, site
from tests.worker.conftest import MakeBench
from wsrv.engine.settings import HeaderRule, RedirectRule, RewriteRule
from wsrv.engine.worker.connection import LINGER, WAIT

# Redirects and rewrites.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_has_its_status_and_is_counted(make_bench: MakeBench, root: Path, status: int) -> None:
    bench = make_bench(site=site(root, redirects=(RedirectRule("/old/*", "/new/$1", status),)))
    found, head, body = get(bench, "/old/a%20b?x=1")
    assert found == status
    assert "\r\nLocation: /new/a%20b?x=1" in head
    assert "\r\nCache-Control: no-store\r\n" in head
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


def test_origin_that_asks_again_for_a_long_file_is_named_again(make_bench: MakeBench, root: Path) -> None:
    (root / "big").write_bytes(bytes(1_200_000))
    bench = make_bench(site=site(root, cors=("https://a.example", "https://b.example")))
    for _ in range(3):
        for origin in ("https://a.example", "https://b.example"):
            assert f"\r\nAccess-Control-Allow-Origin: {origin}" in get(bench, "/big", f"Origin: {origin}")[1]
        for fields in ((), ("Origin: https://evil.example",)):
            _, head, _ = get(bench, "/big", *fields)
            assert "Access-Control-Allow-Origin" not in head
            assert head.count("Origin") == 1


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
    assert "Access-Control-Allow-Methods" not in get(bench, "/", "Origin: https://b", method="OPTIONS")[1]


def test_options_that_is_no_preflight_has_the_fields_of_every_answer(make_bench: MakeBench, root: Path) -> None:
    everywhere = make_bench(site=site(root, cors=("*",), security_headers=True))
    _, head, _ = get(everywhere, "/a.txt", "Origin: https://b.example", method="OPTIONS")
    assert "\r\nAllow: GET, HEAD, OPTIONS\r\n" in head
    assert "\r\nAccess-Control-Allow-Origin: *\r\n" in head
    assert "\r\nX-Content-Type-Options: nosniff\r\n" in head
    listed = make_bench(site=site(root, cors=("https://a.example",)))
    _, head, _ = get(listed, "/a.txt", "Origin: https://a.example", method="OPTIONS")
    assert "\r\nAccess-Control-Allow-Origin: https://a.example\r\n" in head
    assert "\r\nVary: Origin\r\n" in head
    assert "Access-Control" not in get(listed, "/a.txt", "Origin: https://b.example", method="OPTIONS")[1]
