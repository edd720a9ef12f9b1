"""Rules by path: redirects that stay on their host, rewrites, header fields, protected places."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.settings import AuthRule, HeaderRule, RedirectRule, RewriteRule, SiteSettings
from wsrv.engine.static.glob import BadGlob
from wsrv.engine.static.rules import SECURITY, BadRule, Field, Redirection, Rules, merged
from wsrv.engine.static.target import BadTarget, to_path


def rules(**settings: object) -> Rules:
    return Rules(SiteSettings(Path("/r"), Path("/p"), **settings))  # type: ignore[arg-type]  # by name


def redirect(match: str, to: str, status: int = 302) -> Rules:
    return rules(redirects=(RedirectRule(match, to, status),))


def values(found: Rules, path: bytes, name: bytes, file_path: bytes | None = None) -> list[bytes]:
    return found.changes(path, path if file_path is None else file_path).get(name, (b"", []))[1]


# Redirects.


@pytest.mark.parametrize(
    ("match", "to", "path", "query", "location"),
    [
        ("/old", "/new", b"old", b"", b"/new"),
        ("/old", "/new", b"old", b"a=1&b=%2F", b"/new?a=1&b=%2F"),
        ("/old", "/new?x=1", b"old", b"a=1", b"/new?x=1"),
        ("/old", "/new#part", b"old", b"a=1", b"/new?a=1#part"),
        ("/blog/**", "/news/$1", b"blog/2024/a b.html", b"", b"/news/2024/a%20b.html"),
        ("/blog/*/*", "/$2/$1", b"blog/x/y", b"", b"/y/x"),
        ("/**", "https://example.org/$1", b"a/b", b"q", b"https://example.org/a/b?q"),
        ("/go/*", "/find?q=$1", b"go/a&b=c", b"", b"/find?q=a%26b%3Dc"),
        ("/x/**", "/$1", b"x/", b"", b"/"),
        ("/x/**", "/$1/$1/", b"x", b"", b"/"),
        ("/c/*", "/$1", "c/\udcff?".encode("utf-8", "surrogateescape"), b"", b"/%FF%3F"),
        ("/c/*", "/$1", b"c/\\evil.com", b"", b"/%5Cevil.com"),
        ("/c/*", "/a$1", b"c/\r\nSet-Cookie: a", b"", b"/a%0D%0ASet-Cookie:%20a"),
        ("/q", "/r", b"q", b"a\r\nb", b"/r?a%0D%0Ab"),
        ("/price", "/$$", b"price", b"", b"/$$"),
    ],
)
def test_redirect_leads_where_its_rule_says(match: str, to: str, path: bytes, query: bytes, location: bytes) -> None:
    assert redirect(match, to).redirection(path, query) == Redirection(302, location)


def test_first_rule_that_matches_decides() -> None:
    found = rules(redirects=(RedirectRule("/a", "/1", 301), RedirectRule("/?", "/2x", 308)))
    assert found.redirection(b"a", b"") == (301, b"/1")
    assert found.redirection(b"b", b"") == (308, b"/2x")
    assert found.redirection(b"b/c", b"") is None


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["/$1", "/$1/", "/$1$2", "/x/$1", "/$2?a=$1", "/$1#$2"]),
    st.lists(
        st.sampled_from(["", "/", "//", "\\", "@", "evil.com", "%2f", "%5c", ".", "..", "?", "a", "\t", "%09"]),
        max_size=8,
    ),
    st.binary(max_size=8),
)
def test_redirect_to_a_path_never_leaves_the_host(to: str, pieces: list[str], query: bytes) -> None:
    try:
        path = to_path(b"/go/" + "".join(pieces).encode())
    except BadTarget:
        return
    found = redirect("/go/**/*", to).redirection(path, query)
    if found is None:
        return
    location = found.location.decode("ascii")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert location.isprintable()
    assert "\\" not in location
    assert (urlsplit(location).scheme, urlsplit(location).netloc) == ("", "")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=12))
def test_redirect_to_a_host_goes_to_that_host(tail: str) -> None:
    path = tail.encode("utf-8", "surrogatepass").replace(b"\0", b"").replace(b"//", b"")
    found = redirect("/**", "https://example.org/$1").redirection(path, b"")
    assert found is not None
    assert urlsplit(found.location.decode("ascii")).netloc == "example.org"


@pytest.mark.parametrize(
    ("match", "to", "status", "reason"),
    [
        ("/a", "//evil.com/", 302, "neither a path"),
        ("/a", "/\\evil.com/", 302, "neither a path"),
        ("/a", "new", 302, "neither a path"),
        ("/a", "", 302, "neither a path"),
        ("/a", "javascript:alert(1)", 302, "neither a path"),
        ("/a", "https:///x", 302, "neither a path"),
        ("/*", "https://$1/", 302, "neither a path"),
        ("/*", "https://example.org$1", 302, "neither a path"),
        ("/*", "https://example.org:$1/", 302, "neither a path"),
        ("/a", "https://user@example.org/", 302, "neither a path"),
        ("/a", "/b\r\nX: y", 302, "neither a path"),
        ("/a", "/é", 302, "neither a path"),
        ("/a", "/b", 200, "is no redirect"),
        ("/a", "/b", 304, "is no redirect"),
        ("/*", "/x/$2", 302, "only 1 of"),
        ("/a", "/x/$1", 302, "only 0 of"),
        ("/**", "/index.html", 302, "for ever"),
        ("/a", "/a?x#y", 302, "for ever"),
    ],
)
def test_redirect_that_cannot_be_meant_is_refused(match: str, to: str, status: int, reason: str) -> None:
    with pytest.raises(BadRule, match=reason):
        redirect(match, to, status)


# Rewrites.


@pytest.mark.parametrize(
    ("match", "to", "path", "expected"),
    [
        ("/app/**", "/app.html", b"app/x/y", b"app.html"),
        ("/v1/**", "/$1", b"v1/a b/c", b"a b/c"),
        ("/v1/**", "/$1", b"v1/a/", b"a/"),
        ("/v1/**", "/$1", b"v1", b""),
        ("/u/*", "/users/$1/", b"u/\xff", b"users/\xff/"),
        ("/none", "/x", b"other", None),
        ("/x*", "/$1/secret", b"x..", None),
        ("/x*/y", "/a/$1", b"x./y", None),
    ],
)
def test_rewrite(match: str, to: str, path: bytes, expected: bytes | None) -> None:
    assert rules(rewrites=(RewriteRule(match, to),)).rewritten(path) == expected


@pytest.mark.parametrize("to", ["x", "", "https://a/", "/../x", "/a/./b", "/a\n", "/$1"])
def test_rewrite_that_cannot_be_meant_is_refused(to: str) -> None:
    with pytest.raises(BadRule):
        rules(rewrites=(RewriteRule("/a", to),))


# Fields.


@pytest.mark.parametrize(
    ("setting", "name", "expected"),
    [
        ("auto", b"app.3f9a1c2b.js", [b"max-age=31536000, immutable"]),
        ("auto", b"app.js", [b"no-cache"]),
        ("off", b"app.3f9a1c2b.js", []),
        ("off", b"app.js", []),
        ("max-age=60", b"app.3f9a1c2b.js", [b"max-age=60"]),
        ("max-age=60", b"app.js", [b"max-age=60"]),
    ],
)
def test_cache_control(setting: str, name: bytes, expected: list[bytes]) -> None:
    assert values(rules(cache_control=setting), name, b"cache-control") == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("auto", b"private, no-cache"),
        ("off", b"private"),
        ("public, max-age=60", b"private, max-age=60"),
        ("no-store", b"no-store"),
        ("private, max-age=1", b"private, max-age=1"),
    ],
)
def test_cache_control_of_what_is_protected_is_private(setting: str, expected: bytes) -> None:
    found = rules(cache_control=setting, auth=(AuthRule("/in/**", "r", Path("/f")),))
    assert values(found, b"in/a.js", b"cache-control") == [expected]
    assert values(found, b"out/a.js", b"cache-control") != [expected] or setting in ("no-store", "private, max-age=1")
    immutable = rules(auth=(AuthRule("/in/**", "r", Path("/f")),))
    assert values(immutable, b"in/a.3f9a1c2b.js", b"cache-control") == [b"private, max-age=31536000, immutable"]


def test_header_rules_override_the_defaults_and_each_other_in_order() -> None:
    found = rules(
        security_headers=True,
        headers=(
            HeaderRule("/**", (("X-A", ("1",)), ("cache-control", ("max-age=5",)))),
            HeaderRule("*.js", (("X-a", ("2", "3")), ("X-Frame-Options", ()))),
        ),
    )
    assert values(found, b"x.js", b"x-a") == [b"2", b"3"]
    assert values(found, b"x.css", b"x-a") == [b"1"]
    assert values(found, b"x.js", b"cache-control") == [b"max-age=5"]
    assert values(found, b"x.css", b"x-frame-options") == [b"SAMEORIGIN"]
    assert found.changes(b"x.js", b"x.js")[b"x-frame-options"] == (b"X-Frame-Options", [])


def test_header_rule_matches_the_path_asked_for_and_the_file_that_is_sent() -> None:
    found = rules(headers=(HeaderRule("*.html", (("X-A", ("1",)),)), HeaderRule("/docs/", (("X-B", ("1",)),))))
    assert values(found, b"docs/", b"x-a", b"docs/index.html") == [b"1"]
    assert values(found, b"docs/", b"x-b", b"docs/index.html") == [b"1"]
    assert values(found, b"docs/index.html", b"x-b") == []


def test_fields_are_replaced_removed_and_added_and_vary_is_joined() -> None:
    there: tuple[Field, ...] = ((b"Content-Type", b"a/b"), (b"Vary", b"Accept-Encoding"), (b"ETag", b'"1"'))
    changes = rules(
        cors=("https://a.example",),
        headers=(HeaderRule("/**", (("content-type", ("c/d",)), ("Vary", ("Cookie, Origin",)), ("X", ("1", "2")))),),
    ).changes(b"f", b"f")
    assert merged(there, changes) == (
        (b"Content-Type", b"c/d"),
        (b"Vary", b"Accept-Encoding, Origin, Cookie"),
        (b"ETag", b'"1"'),
        (b"Cache-Control", b"no-cache"),
        (b"X", b"1"),
        (b"X", b"2"),
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Content-Length", "1", "works it out"),
        ("transfer-encoding", "chunked", "works it out"),
        ("Connection", "close", "works it out"),
        ("ETag", '"x"', "works it out"),
        ("Date", "x", "works it out"),
        ("Set-Cookie", "a=b", "works it out"),
        ("", "x", "no name"),
        ("A B", "x", "no name"),
        ("Ä", "x", "no name"),
        ("X", "a\r\nb", "no value"),
        ("X", "ä", "no value"),
        ("X", " a", "no value"),
    ],
)
def test_field_that_must_not_be_set_is_refused(name: str, value: str, reason: str) -> None:
    with pytest.raises(BadRule, match=reason):
        rules(headers=(HeaderRule("/**", ((name, (value,)),)),))


def test_pattern_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(BadGlob):
        rules(headers=(HeaderRule("/a**", ()),))


def test_cors_for_everybody_is_static_and_for_some_depends_on_who_asks() -> None:
    assert dict(rules(cors=("*",)).everywhere)[b"Access-Control-Allow-Origin"] == b"*"
    some = rules(cors=("https://a.example",))
    assert some.everywhere == ((b"Vary", b"Origin"),)
    assert some.origins == {b"https://a.example"}


def test_security_preset_goes_with_every_answer_and_says_nothing_about_transport() -> None:
    assert rules(security_headers=True).everywhere == SECURITY
    assert b"strict-transport-security" not in {name.lower() for name, _ in SECURITY}


def test_protection_is_by_any_of_the_paths_and_the_first_rule() -> None:
    one, two = AuthRule("/in/**", "one", Path("/f")), AuthRule("*.html", "two", Path("/f"))
    found = rules(auth=(one, two))
    assert found.protection(b"in") == one
    assert found.protection(b"in/x.html") == one
    assert found.protection(b"docs/", b"docs/index.html") == two
    assert found.protection(b"inside") is None
