"""Protected paths: nobody gets in without a verdict, whichever way the path is written or led to."""

import base64
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.worker.asking import BROWSER, get, hits, request, site
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench, statuses
from wsrv.engine.http.basic import Credentials
from wsrv.engine.settings import AuthRule, HeaderRule, RewriteRule
from wsrv.engine.worker.connection import WAIT
from wsrv.engine.worker.errands import PASSWORDS

SECRET = b"for members"


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


ANN = basic("ann", "secret")
WRONG = basic("ann", "guess")


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_bytes(b"ann:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    return file


@pytest.fixture
def members(root: Path) -> Path:
    """A folder with things for members."""
    folder = root / "in"
    folder.mkdir()
    for name in ("a.txt", "index.html", "page.html", "app.3f9a1c2b.js"):
        (folder / name).write_bytes(SECRET)
    (folder / "big").write_bytes(SECRET * 200_000)
    (folder / "page.html.br").write_bytes(SECRET)
    return folder


@pytest.fixture
def locked(make_bench: MakeBench, root: Path, members: Path, users: Path) -> Workbench:
    rule = AuthRule("/in/**", "members", users)
    return make_bench(site=site(root, auth=(rule,), listing=True, rewrites=(RewriteRule("/v/**", "/in/$1"),)))


TARGETS = ["/in/a.txt", "/in/", "/in", "/in/big", "/in/gone", "/in/%61.txt", "//in/a.txt", "/./in/a.txt", "/%69n/a.txt"]
TARGETS += ["/x/../in/a.txt", "http://b/in/a.txt", "/in/page.html.br", "/v/a.txt", "/in/?sort=size"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fields", [(), (WRONG,), ("Authorization: Basic x",), (ANN.replace("Basic", "Bearer"),)])
def test_nobody_gets_in_without_the_password(locked: Workbench, target: str, fields: tuple[str, ...]) -> None:
    for method in ("GET", "HEAD"):
        status, head, body = get(locked, target, *fields, method=method)
        assert status == 401
        assert '\r\nWWW-Authenticate: Basic realm="members", charset="UTF-8"\r\n' in head
        assert "\r\nCache-Control: no-store\r\n" in head
        assert SECRET not in body
        assert (body == b"") == (method == "HEAD")


def test_who_has_the_password_gets_in(locked: Workbench) -> None:
    assert get(locked, "/in/a.txt", ANN)[::2] == (200, SECRET)
    assert get(locked, "/in/", ANN)[::2] == (200, SECRET)
    assert get(locked, "/v/a.txt", ANN)[::2] == (200, SECRET)
    assert get(locked, "/in", ANN)[0] == 301
    assert get(locked, "/in/gone", ANN)[0] == 404
    assert get(locked, "/a.txt", ANN)[::2] == (200, b"alpha")


def test_held_answer_is_given_to_nobody_without_the_password(locked: Workbench) -> None:
    for _ in range(3):
        assert get(locked, "/in/a.txt", ANN)[0] == 200
        assert get(locked, "/in/a.txt")[0] == 401
        assert get(locked, "/in/a.txt", WRONG)[0] == 401
    for fields in ((), (ANN,), (WRONG,)):
        assert hits(locked, "/in/a.txt", *fields) == b""


def test_conditions_and_ranges_are_for_those_inside(locked: Workbench) -> None:
    etag = get(locked, "/in/a.txt", ANN)[1].partition("ETag: ")[2].partition("\r\n")[0]
    assert get(locked, "/in/a.txt", f"If-None-Match: {etag}")[0] == 401
    assert get(locked, "/in/a.txt", "If-None-Match: *")[0] == 401
    assert get(locked, "/in/a.txt", "Range: bytes=0-1")[0] == 401
    assert get(locked, "/in/a.txt", ANN, f"If-None-Match: {etag}")[0] == 304
    assert get(locked, "/in/a.txt", ANN, "Range: bytes=0-1")[::2] == (206, SECRET[:2])


def test_protected_answer_is_private(locked: Workbench) -> None:
    assert "\r\nCache-Control: private, no-cache\r\n" in get(locked, "/in/a.txt", ANN)[1]
    assert "\r\nCache-Control: private, max-age=31536000, immutable\r\n" in get(locked, "/in/app.3f9a1c2b.js", ANN)[1]
    assert "\r\nCache-Control: no-cache\r\n" in get(locked, "/a.txt")[1]


def test_log_names_who_got_in_and_no_other(locked: Workbench) -> None:
    for fields in ((), (WRONG,), (ANN,), (ANN,)):
        get(locked, "/in/a.txt", *fields)
    assert [line.split(" [")[0] for line in locked.log()] == ["127.0.0.1 - -"] * 2 + ["127.0.0.1 - ann"] * 2
    assert locked.responses() == {401: 2, 200: 2}


def test_name_in_the_log_cannot_forge_another_line(make_bench: MakeBench, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(b'a "\x1b b:' + bcrypt.hashpw(b"x", bcrypt.gensalt(4)))
    bench = make_bench(site=site(root, auth=(AuthRule("/**", "r", file),)))
    assert get(bench, "/a.txt", basic('a "\x1b b', "x"))[0] == 200
    [line] = bench.log()
    assert line.startswith("127.0.0.1 - a\\x20\\x22\\x1B\\x20b [")


def test_one_trial_serves_all_who_wait_with_the_same_password(
    locked: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bytes] = []
    check = bcrypt.checkpw

    def noted(password: bytes, written: bytes) -> bool:
        tried.append(password)
        return check(password, written)

    monkeypatch.setattr(bcrypt, "checkpw", noted)
    clients = [locked.client().send(request("/in/a.txt", ANN)) for _ in range(6)]
    locked.arrive(*clients)
    assert statuses(locked.hear_all(*clients)) == [200] * 6
    assert get(locked, "/in/a.txt", ANN)[0] == 200
    assert tried == [b"secret"]
    assert [get(locked, "/in/a.txt", WRONG)[0] for _ in range(3)] == [401] * 3
    assert tried == [b"secret", b"guess"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Trials take until the returned function is called."""
    free = threading.Event()
    check = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda p, h: free.wait(20) and check(p, h))
    yield free.set
    free.set()


def test_flood_of_guesses_gets_503_and_leaves_the_rest_alone(
    locked: Workbench, root: Path, held: Callable[[], None]
) -> None:
    number = PASSWORDS.most + 1
    guessers = [locked.client().send(request("/in/a.txt", basic("ann", f"{i}"))) for i in range(number)]
    locked.arrive(*guessers)
    assert all(client.conn.state == WAIT for client in guessers)
    status, head, _ = get_without_waiting(locked, "/in/a.txt", basic("ann", "one more"))
    assert status == 503
    assert "\r\nRetry-After: " in head
    assert get_without_waiting(locked, "/a.txt")[0] == 200
    held()
    assert statuses(locked.hear_all(*guessers)) == [401] * number


def test_remembered_password_is_good_while_guesses_wait(locked: Workbench, held: Callable[[], None]) -> None:
    trial = locked.doorman.trial(next(iter(locked.hosts.password_files())), Credentials(b"ann", b"secret"))
    locked.doorman.note(trial, True, locked.now_ns)
    guessers = [locked.client().send(request("/in/a.txt", basic("ann", f"{i}"))) for i in range(PASSWORDS.most + 1)]
    locked.arrive(*guessers)
    assert get_without_waiting(locked, "/in/a.txt", ANN)[0] == 200
    held()
    locked.hear_all(*guessers)


def test_change_of_the_file_counts_at_once_when_it_is_seen(locked: Workbench, users: Path) -> None:
    assert get(locked, "/in/a.txt", ANN)[0] == 200
    for target in ("/in/a.txt", "/in/big"):
        assert [get(locked, target, ANN)[0] for _ in range(2)] == [200, 200]
    users.write_bytes(b"bob:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)))
    locked.doorman.check(locked.now_ns)
    for target in ("/in/a.txt", "/in/big"):
        assert get(locked, target, ANN)[0] == 401
        assert get(locked, target, basic("bob", "secret"))[0] == 200


def test_password_that_was_taken_away_during_its_trial_does_not_count(
    locked: Workbench, users: Path, held: Callable[[], None]
) -> None:
    client = locked.client().send(request("/in/a.txt", ANN))
    locked.arrive(client)
    users.write_bytes(b"bob:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)))
    locked.doorman.check(locked.now_ns)
    held()
    assert statuses(locked.hear_all(client)) == [401]


def test_application_behind_a_password_is_given_to_nobody_by_another_path(
    make_bench: MakeBench, root: Path, users: Path
) -> None:
    (root / "index.html").write_bytes(SECRET)
    bench = make_bench(site=site(root, spa=True, auth=(AuthRule("/index.html", "r", users),)))
    for target in ("/page", "/", "/index.html"):
        assert get(bench, target, BROWSER)[0] == 401
        assert get(bench, target, BROWSER, ANN)[::2] == (200, SECRET)
        assert get(bench, target, BROWSER)[0] == 401


def test_rules_of_two_files_ask_for_each(make_bench: MakeBench, root: Path, members: Path, users: Path) -> None:
    other = users.with_name("others")
    other.write_bytes(b"ann:" + bcrypt.hashpw(b"different", bcrypt.gensalt(4)))
    rules = (AuthRule("/in/a.txt", "one", users), AuthRule("/in/**", "two", other))
    bench = make_bench(site=site(root, auth=rules))
    assert get(bench, "/in/a.txt", ANN)[0] == 200
    assert get(bench, "/in/page.html", ANN)[0] == 401
    assert get(bench, "/in/page.html", basic("ann", "different"))[0] == 200
    assert get(bench, "/in/a.txt", basic("ann", "different"))[0] == 401


def test_rewrite_from_one_protected_place_to_another_asks_for_both(
    make_bench: MakeBench, root: Path, members: Path, users: Path
) -> None:
    written = users.read_bytes()[len(b"ann:") :]
    outer, inner = users.with_name("outer"), users.with_name("inner")
    outer.write_bytes(b"ann:" + written + b"bob:" + written)
    inner.write_bytes(b"ann:" + written + b"eve:" + written)
    rules = (AuthRule("/v/**", "outer", outer), AuthRule("/in/**", "inner", inner))
    bench = make_bench(site=site(root, auth=rules, rewrites=(RewriteRule("/v/**", "/in/$1"),)))
    for _ in range(2):
        assert get(bench, "/v/a.txt", basic("bob", "secret"))[0] == 401
        assert get(bench, "/v/a.txt", basic("eve", "secret"))[0] == 401
        assert get(bench, "/v/a.txt", ANN)[::2] == (200, SECRET)
        assert get(bench, "/in/a.txt", basic("eve", "secret"))[::2] == (200, SECRET)


def test_application_behind_another_password_than_its_pages_asks_for_both(
    make_bench: MakeBench, root: Path, users: Path
) -> None:
    other = users.with_name("others")
    other.write_bytes(b"bob:" + users.read_bytes()[4:])
    (root / "index.html").write_bytes(SECRET)
    rules = (AuthRule("/page/**", "pages", other), AuthRule("/index.html", "index", users))
    bench = make_bench(site=site(root, spa=True, auth=rules))
    for _ in range(2):
        assert get(bench, "/page/x", BROWSER, basic("bob", "secret"))[0] == 401


def test_compressed_sibling_is_protected_as_its_file_is(make_bench: MakeBench, root: Path, users: Path) -> None:
    (root / "page.html").write_bytes(SECRET)
    bench = make_bench(site=site(root, auth=(AuthRule("*.html", "r", users),)))
    for suffix in ("br", "zst", "gz"):
        (root / f"page.html.{suffix}").write_bytes(SECRET)
        assert get(bench, f"/page.html.{suffix}")[0] == 401
        assert get(bench, f"/page.html.{suffix}", ANN)[0] == 200


def test_whole_site_may_be_protected_but_not_its_redirects_and_inside(
    make_bench: MakeBench, root: Path, users: Path
) -> None:
    bench = make_bench(site=site(root, auth=(AuthRule("/**", "r", users),)))
    for target in ("/", "/a.txt", "/gone"):
        assert get(bench, target)[0] == 401
    assert get(bench, "/", method="POST")[0] == 405
    assert get(bench, "/.git")[0] == 404
    assert get(bench, "/", method="OPTIONS")[0] == 204


def test_password_file_is_not_served_from_the_root(make_bench: MakeBench, root: Path) -> None:
    file = root / "users"
    file.write_bytes(b"ann:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)))
    bench = make_bench(site=site(root, auth=(AuthRule("/in/**", "r", file),), withheld=(file,), listing=True))
    os.link(file, root / "copy")
    for target in ("/users", "/copy"):
        assert get(bench, target)[0] == 404
    assert b"users" not in get(bench, "/")[2]


def test_origin_of_the_list_may_read_a_401(make_bench: MakeBench, root: Path, users: Path) -> None:
    rules: dict[str, Any] = {"auth": (AuthRule("/**", "r", users),), "cors": ("https://a.example",)}
    bench = make_bench(site=site(root, **rules, headers=(HeaderRule("/**", (("X-A", ("1",)),)),)))
    _, head, _ = get(bench, "/a.txt", "Origin: https://a.example")
    assert "\r\nAccess-Control-Allow-Origin: https://a.example\r\n" in head
    assert "X-A" not in head


def get_without_waiting(bench: Workbench, target: str, *fields: str) -> tuple[int, str, bytes]:
    """The answer of one round: status, head and body."""
    answer = bench.ask(bench.client(), request(target, *fields))
    head, _, body = answer.partition(b"\r\n\r\n")
    return statuses(answer)[0], head.decode("latin-1") + "\r\n", body
