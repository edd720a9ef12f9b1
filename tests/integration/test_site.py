"""A site as people set it up: with wsrv.toml, asked with curl."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.launch import Launched, Launcher, environment
from tests.support.processes import children
from tests.support.server import wait_for

SECONDS = 30

CONFIG = """
[site]
root = "site"
listing = true
security_headers = true

[[redirect]]
from = "/old/**"
to = "/new/$1"
status = 308

[[rewrite]]
from = "/app/**"
to = "/app.html"

[[header]]
match = "*.txt"
set = { X-A = "b" }

[[auth]]
match = "/private/**"
file = "site/users"
realm = "members"

[[host]]
names = ["blog.test", "*.blog.test"]
root = "blog"
listing = false
spa = true
[[host.error]]
status = 403
page = "/no.html"
"""


def curl(server: Launched, path: str, *args: str) -> tuple[int, str, str]:
    """Status, head and body as curl has them."""
    command = ["curl", "-s", "-i", "--path-as-is", "--max-time", "20", *args, server.url + path]
    found = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True).stdout
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1") + "\r\n", body.decode("latin-1")


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.end()


@pytest.fixture
def server(launcher: Launcher, tmp_path: Path) -> Launched:
    site, blog = tmp_path / "site", tmp_path / "blog"
    for folder in (site / "private", site / "files", blog):
        folder.mkdir(parents=True)
    (site / "a.txt").write_text("alpha")
    (site / "app.html").write_text("app")
    (site / "app.3f9a1c2b.js").write_text("x")
    (site / "private" / "p.txt").write_text("for members")
    (site / "files" / "one.txt").write_text("1")
    (blog / "index.html").write_text("blog")
    htpasswd(site / "users", "-c", "ann", "secret")
    (tmp_path / "wsrv.toml").write_text(CONFIG)
    return launcher(site, "--config", str(tmp_path / "wsrv.toml"))


def htpasswd(file: Path, *args: str) -> None:
    options, user, password = args[:-2], args[-2], args[-1]
    command = ["htpasswd", "-b", "-B", "-C", "5", *options, str(file), user, password]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


def test_everything_of_a_config_works_together(server: Launched) -> None:
    status, head, body = curl(server, "/a.txt")
    assert (status, body) == (200, "alpha")
    assert "\r\nX-A: b\r\n" in head
    assert "\r\nCache-Control: no-cache\r\n" in head
    assert "\r\nX-Content-Type-Options: nosniff\r\n" in head
    assert "immutable" in curl(server, "/app.3f9a1c2b.js")[1]
    assert curl(server, "/app/any/thing")[::2] == (200, "app")
    status, head, _ = curl(server, "/old/x%20y?a=1")
    assert status == 308
    assert "\r\nLocation: /new/x%20y?a=1\r\n" in head
    assert curl(server, "/users")[0] == 404


def test_curl_follows_a_redirect_and_keeps_its_method(server: Launched) -> None:
    (server.log.parent / "site" / "new").mkdir()
    (server.log.parent / "site" / "new" / "x").write_text("there")
    assert curl(server, "/old/x", "-L")[2].endswith("there")


def test_listing_with_curl(server: Launched) -> None:
    status, _, body = curl(server, "/files/")
    assert status == 200
    assert '<a href="./one.txt">' in body
    found = json.loads(curl(server, "/files/", "-H", "Accept: application/json")[2])
    assert [entry["name"] for entry in found["entries"]] == ["one.txt"]
    names = [entry["name"] for entry in json.loads(curl(server, "/?format=json")[2])["entries"]]
    assert names == ["files", "private", "a.txt", "app.3f9a1c2b.js", "app.html"]


def test_password_with_curl(server: Launched) -> None:
    status, head, _ = curl(server, "/private/p.txt")
    assert status == 401
    assert '\r\nWWW-Authenticate: Basic realm="members", charset="UTF-8"\r\n' in head
    assert curl(server, "/private/p.txt", "-u", "ann:wrong")[0] == 401
    assert curl(server, "/private/p.txt", "-u", "ann:secret")[::2] == (200, "for members")
    assert curl(server, "/private/p.txt")[0] == 401
    lines = server.log_lines(4)
    # Lines of two workers may come in another order than the requests.
    assert sorted(line.split()[2] + line.split()[8] for line in lines) == ["-401", "-401", "-401", "ann200"]
    assert server.stats()["responses"] == {"200": 1, "401": 3}


def test_new_user_is_let_in_and_an_old_one_no_more_within_a_second(server: Launched) -> None:
    users = server.log.parent / "site" / "users"
    assert curl(server, "/private/p.txt", "-u", "ann:secret")[0] == 200
    htpasswd(users, "bob", "other")
    wait_for(lambda: curl(server, "/private/p.txt", "-u", "bob:other")[0] == 200, "the new user", 3)
    subprocess.run(["htpasswd", "-D", str(users), "ann"], check=True, capture_output=True, timeout=SECONDS)
    wait_for(lambda: curl(server, "/private/p.txt", "-u", "ann:secret")[0] == 401, "the end of the old user", 3)


def test_hosts_with_curl(server: Launched) -> None:
    for name in ("blog.test", "X.blog.test"):
        assert curl(server, "/", "-H", f"Host: {name}")[2] == "blog"
        assert curl(server, "/page", "-H", f"Host: {name}", "-H", "Accept: text/html")[::2] == (200, "blog")
        assert curl(server, "/a.txt", "-H", f"Host: {name}")[0] == 404
    assert curl(server, "/a.txt", "-H", "Host: other.test")[2] == "alpha"


def test_edit_shows_on_reload(server: Launched) -> None:
    page = server.log.parent / "site" / "page.html"
    page.write_text("one")
    first = curl(server, "/page.html")
    etag = first[1].partition("ETag: ")[2].partition("\r\n")[0]
    page.write_text("two")

    def reloaded() -> bool:
        status, _, body = curl(server, "/page.html", "-H", f"If-None-Match: {etag}")
        return (status, body) == (200, "two")

    wait_for(reloaded, "the edit", 3)


def test_root_of_a_host_that_is_replaced_is_noticed(server: Launched) -> None:
    folder = server.log.parent
    assert curl(server, "/", "-H", "Host: blog.test")[2] == "blog"
    (folder / "next").mkdir()
    (folder / "next" / "index.html").write_text("new blog")
    (folder / "blog").rename(folder / "away")
    (folder / "next").rename(folder / "blog")
    wait_for(lambda: curl(server, "/", "-H", "Host: blog.test")[2] == "new blog", "the new root", 5)


def test_large_folder_is_listed_while_others_are_served(launcher: Launcher, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "many").mkdir(parents=True)
    (site / "a.txt").write_text("alpha")
    for number in range(20_000):
        (site / "many" / f"file {number:05d}").touch()
    server = launcher(site, "--listing", "--workers", "1")
    with server.connect(60) as sock:
        sock.sendall(b"GET /many/?format=json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        # The listing takes longer than these together; none waits for its end.
        answered = 0
        sock.setblocking(False)
        while True:
            assert server.get("/a.txt").body == b"alpha"
            answered += 1
            try:
                first = sock.recv(65536)
                break
            except BlockingIOError:
                continue
        sock.settimeout(60)
        raw = first
        while piece := sock.recv(1 << 20):
            raw += piece
    found = json.loads(raw.partition(b"\r\n\r\n")[2])
    assert (found["files"], found["complete"], len(found["entries"])) == (20_000, False, 10_000)
    assert answered >= 3


def test_open_starts_a_browser_once_the_server_answers(launcher: Launcher, tmp_path: Path) -> None:
    site, seen, script = tmp_path / "site", tmp_path / "seen", tmp_path / "browser"
    site.mkdir()
    (site / "index.html").write_text("hello")
    # It asks for the page as a browser would, and so shows that the server answered by then.
    script.write_text(f'#!/bin/sh\ncurl -s "$1" > {seen}.new && mv {seen}.new {seen}\n')
    script.chmod(0o755)
    server = launcher(site, "--open", env=environment(BROWSER=str(script)))
    wait_for(seen.exists, "the browser")
    assert seen.read_text() == "hello"
    commands = [" ".join(child.cmdline()) for child in children(server.process, recursive=True)]
    assert not any("webbrowser" in command for command in commands)


def test_open_without_a_screen_is_a_line_and_the_server_runs(launcher: Launcher, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    bare = {k: v for k, v in environment().items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    server = launcher(site, "--open", env=bare)
    wait_for(lambda: "--open: there is no screen here" in server.words(), "the line")
    assert server.get("/").status == 404
