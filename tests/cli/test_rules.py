"""Arrays of tables in wsrv.toml: read, refused with their lines, shown, and handed to the engine."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.program import wsrv
from wsrv.cli import configfile, serve
from wsrv.cli.exits import Stop
from wsrv.cli.values import in_force, resolve
from wsrv.engine.settings import AuthRule, HeaderRule, RedirectRule, RewriteRule, Settings

EVERYTHING = """
[site]
root = "."
listing = true
cors = ["https://A.example", "http://localhost:5173"]
cache_control = "max-age=5"

[[redirect]]
from = "/old/**"
to = "/new/$1"
status = 308

[[redirect]]
from = "/a"
to = "https://example.org/"

[[rewrite]]
from = "/app/**"
to = "/app.html"

[[header]]
match = "*.js"
set = { X-A = "1", X-B = ["1", "2"], Server-Timing = "" }

[[header]]
match = "*.css"
[header.set]
X-C = "1"

[[auth]]
match = "/private/**"
file = "users"

[[error]]
status = 404
page = "/missing.html"

[[host]]
names = ["A.Example.", "*.b.example"]
root = "."
spa = true
cors = "any"
[[host.redirect]]
from = "/x"
to = "/y"
[[host.header]]
match = "/**"
[host.header.set]
X-D = "1"

[[host]]
names = "c.example"
root = "."
[[host.rewrite]]
from = "/x"
to = "/y"
"""


def write(folder: Path, text: str) -> Path:
    (folder / "users").write_text("a:$2b$04$bMbq3kEqkBGOjV2qgWyl5utkUvv8LDZHMhXbMgU6Yg1KQfKxMlWmu\n")
    (folder / "wsrv.toml").write_text(text)
    return folder / "wsrv.toml"


def engine(path: Path) -> Settings:
    file = configfile.read(path)
    return serve.engine_settings(in_force(resolve({}, {}, file)), file)


def test_everything_reaches_the_engine(tmp_path: Path) -> None:
    settings = engine(write(tmp_path, EVERYTHING))
    site = settings.site
    assert site.redirects == (RedirectRule("/old/**", "/new/$1", 308), RedirectRule("/a", "https://example.org/", 302))
    assert site.rewrites == (RewriteRule("/app/**", "/app.html"),)
    assert site.headers == (
        HeaderRule("*.js", (("X-A", ("1",)), ("X-B", ("1", "2")), ("Server-Timing", ()))),
        HeaderRule("*.css", (("X-C", ("1",)),)),
    )
    assert site.auth == (AuthRule("/private/**", "protected", tmp_path / "users"),)
    assert site.error_pages == ((404, "/missing.html"),)
    assert (site.listing, site.spa, site.cache_control) == (True, False, "max-age=5")
    assert site.cors == ("https://a.example", "http://localhost:5173")
    assert tmp_path / "users" in site.withheld


def test_host_has_the_settings_of_the_site_but_for_its_own_and_only_its_own_rules(tmp_path: Path) -> None:
    settings = engine(write(tmp_path, EVERYTHING))
    first, second = settings.hosts
    bare = replace(settings.site, redirects=(), rewrites=(), headers=(), auth=(), error_pages=())
    assert first.names == ("a.example", "*.b.example")
    assert first.site == replace(
        bare,
        spa=True,
        cors=("*",),
        redirects=(RedirectRule("/x", "/y", 302),),
        headers=(HeaderRule("/**", (("X-D", ("1",)),)),),
    )
    assert second.site == replace(bare, rewrites=(RewriteRule("/x", "/y"),))


def test_password_file_of_a_host_is_withheld_from_every_site(tmp_path: Path) -> None:
    text = '[[host]]\nnames = "a"\nroot = "."\n[[host.auth]]\nmatch = "/**"\nfile = "users"\n'
    settings = engine(write(tmp_path, text))
    assert tmp_path / "users" in settings.site.withheld
    assert tmp_path / "users" in settings.hosts[0].site.withheld


def test_check_counts_an_array_as_a_setting(tmp_path: Path) -> None:
    write(tmp_path, EVERYTHING)
    run = wsrv("config", "check", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "wsrv.toml: 10 settings, no fault\n", "")


def test_shown_settings_make_the_same_settings(tmp_path: Path) -> None:
    path = write(tmp_path, EVERYTHING)
    run = wsrv("config", "show", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "[[host.redirect]]                         # wsrv.toml:" in run.stdout
    expected = engine(path)
    again = engine(write(tmp_path, run.stdout))
    assert (again.site, again.hosts) == (expected.site, expected.hosts)


def test_shown_as_json_has_the_rules(tmp_path: Path) -> None:
    write(tmp_path, EVERYTHING)
    found = json.loads(wsrv("config", "show", "--json", cwd=tmp_path).stdout)["rules"]
    assert found["redirect"][0] == {"from": "/old/**", "to": "/new/$1", "status": 308}
    assert found["header"][0]["set"] == {"X-A": "1", "X-B": ["1", "2"], "Server-Timing": ""}
    assert found["host"][0]["redirect"] == [{"from": "/x", "to": "/y", "status": 302}]
    assert list(found) == ["redirect", "rewrite", "header", "auth", "error", "host"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[redirect]]\nfrom = "/a"\n', ":1: redirect: to is missing: A path or a URL;"),
        ('[[redirect]]\nfrom = "/a"\nto = "/b"\nsattus = 1\n', ":4: no key of [[redirect]] is called sattus; did you"),
        ('\n[[redirect]]\nfrom = "/a"\nto = "/b"\nstatus = 200\n', ":5: redirect.status: 200 is not one of: 301, "),
        ('[[redirect]]\nfrom = "/a"\nto = "//b"\n', ":1: redirect: '//b' is neither a path that begins with one"),
        ('[[redirect]]\nfrom = "/a**"\nto = "/b"\n', ":1: redirect: ** stands for whole segments"),
        ('[redirect]\nfrom = "/a"\n', ":2: redirect is an array of tables: write [[redirect]]"),
        ("redirect = 3\n", ":1: redirect is an array of tables: write [[redirect]], and below it from, to, status"),
        ('[[redirct]]\nfrom = "/a"\n', ":1: no table is called redirct; did you mean redirect?"),
        ('redirect = [{ from = "/a" }]\n', ":1: redirect: to is missing"),
        ('[[header]]\nmatch = "*"\n[header.set]\nDate = "x"\n', ":1: header: Date cannot be set: wsrv works it out"),
        ('[[header]]\nmatch = "*"\nset = { X = 1 }\n', ":3: header.set: {'X': 1} is not a table of fields"),
        ('[[header]]\nmatch = "*"\nset = "X: 1"\n', ":3: header.set: 'X: 1' is not a table of fields"),
        ('[[host]]\nroot = "."\n', ":1: host: names is missing"),
        ('[[host]]\nnames = "a:80"\nroot = "."\n', ":2: host.names: 'a:80' is not a list of host names"),
        ('[[host]]\nnames = "a"\nroot = "gone"\n', ":3: host.root: no such folder: "),
        ('[[host]]\nnames = "a"\nroot = "."\nport = 1\n', ":4: no key of [[host]] is called port; there are: names, "),
        (
            '[[host]]\nnames = "a"\nroot = "."\n[[host]]\nnames = ["b", "A"]\nroot = "."\n',
            ":5: host.names: 'a' is a name of the host at wsrv.toml:1 already",
        ),
        (
            '[[host]]\nnames = "a"\nroot = "."\n[[host.rewrite]]\nfrom = "/a"\nto = "/b"\n'
            '[[host.redirect]]\nfrom = 1\nto = "x"\n',
            ":8: host.redirect.from: 1 is not a pattern of paths",
        ),
        ('[site]\nlisting = "maybe"\n', ":2: site.listing: 'maybe' is not true or false"),
        ('[site]\nlinks = "outside"\n', ":2: site.links: 'outside' is not one of: inside, none"),
        ('[site]\ncors = "example.org"\n', ":2: site.cors: 'example.org' is not off, any, or a list of origins"),
        ('[site]\ncors = ["https://a/", 3]\n', ":2: site.cors: ['https://a/', 3] is not off, any, or a list"),
        (
            '[site]\ncache_control = "a\\nb"\n',
            ":2: site.cache_control: 'a\\nb' is not auto, off, or what Cache-Control",
        ),
    ],
)
def test_fault_names_line_key_and_what_is_allowed(tmp_path: Path, text: str, fault: str) -> None:
    write(tmp_path, text)
    run = wsrv("config", "check", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"wsrv: wsrv.toml{fault}")
    assert run.stderr.count("\n") == 1


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = '[server]\nport = "x"\n[[redirect]]\nfrom = 1\n[[host]]\nnames = "a"\nroot = 2\n[[host.auth]]\nmatch = "/"\n'
    write(tmp_path, text)
    run = wsrv("serve", cwd=tmp_path)
    assert run.returncode == 2
    lines = [int(line.partition("wsrv.toml:")[2].partition(":")[0]) for line in run.stderr.splitlines()]
    assert lines == [2, 3, 4, 7, 8]


@pytest.mark.parametrize(
    ("args", "wanted"),
    [([], False), (["--listing"], True), (["--no-listing"], False), (["--listing", "--no-listing"], False)],
)
def test_switch_is_on_off_or_not_said(tmp_path: Path, args: list[str], wanted: bool) -> None:
    found = json.loads(wsrv("config", "show", "--json", *args, cwd=tmp_path).stdout)["settings"]["site.listing"]
    assert (found["value"], found["layer"]) == (wanted, "flag" if args else "default")
    assert found["flag"] == "--listing"


def test_option_that_says_no_outranks_the_file(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text("site.spa = true\n")
    found = json.loads(wsrv("config", "show", "--json", "--no-spa", cwd=tmp_path).stdout)["settings"]["site.spa"]
    assert (found["value"], found["layer"]) == (False, "flag")


@pytest.mark.parametrize(("text", "value"), [("on", True), ("TRUE", True), ("0", False), ("no", False)])
def test_switch_in_the_environment(text: str, value: bool) -> None:
    assert resolve({}, {"WSRV_SITE_SPA": text}, None)["site.spa"].value is value


def test_switch_in_the_environment_that_is_neither_is_a_fault() -> None:
    with pytest.raises(Stop, match="WSRV_SITE_SPA: 'ja' is not true or false"):
        resolve({}, {"WSRV_SITE_SPA": "ja"}, None)


@pytest.mark.parametrize("nested", [False, True])
def test_password_file_with_faults_is_refused_before_anything_starts(tmp_path: Path, nested: bool) -> None:
    text = '[[host]]\nnames = "a"\nroot = "."\n[[host.auth]]\n' if nested else "[[auth]]\n"
    write(tmp_path, text + 'match = "/**"\nfile = "users"\n')
    (tmp_path / "users").write_text("bob:$apr1$x$y\n\nplain\n")
    run = wsrv("serve", "--port", "0", cwd=tmp_path)
    where = f"wsrv: wsrv.toml:{6 if nested else 3}: {'host.' if nested else ''}auth.file: {tmp_path}/users"
    assert run.returncode == 2
    assert run.stderr.splitlines() == [
        f"{where}:1: user bob has a hash that is MD5 (apr1); only bcrypt is taken, make it anew with:"
        " htpasswd -B FILE bob",
        f"{where}:3: this is not USER:HASH",
    ]


def test_password_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, '[[auth]]\nmatch = "/**"\nfile = "gone"\n')
    run = wsrv("config", "check", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr == (
        f"wsrv: wsrv.toml:3: auth.file: cannot read the password file {tmp_path}/gone: No such file or directory\n"
    )
