"""Password files: what htpasswd writes is taken, what is not bcrypt is refused by name."""

import subprocess
from pathlib import Path

import bcrypt
import pytest

from wsrv.engine.static.passwords import MAX_PASSWORD_BYTES, Users


def hashed(password: bytes, cost: int = 4) -> bytes:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that htpasswd itself wrote."""
    file = tmp_path_factory.mktemp("users") / "users"
    for number, (user, password) in enumerate([("ann", "secret"), ("bob", "gehe\u00efm"), ("cyd", "x" * 80)]):
        create = ["-c"] if number == 0 else []
        subprocess.run(
            ["htpasswd", *create, "-b", "-B", "-C", "4", str(file), user, password], check=True, capture_output=True
        )
    return file


def test_file_of_htpasswd_is_understood(written: Path) -> None:
    users = Users.read(written)
    assert (len(users), users.faults) == (3, [])
    assert users.has(b"ann", b"secret")
    assert users.has(b"bob", "gehe\u00efm".encode())
    assert not users.has(b"ann", b"Secret")
    assert not users.has(b"bob", b"secret")
    assert not users.has(b"", b"")


def test_long_password_is_cut_as_htpasswd_cuts_it(written: Path) -> None:
    users = Users.read(written)
    assert users.has(b"cyd", b"x" * 80)
    assert users.has(b"cyd", b"x" * MAX_PASSWORD_BYTES)
    assert not users.has(b"cyd", b"x" * (MAX_PASSWORD_BYTES - 1))


def test_password_with_a_nul_is_not_taken_for_what_stands_before_it() -> None:
    users = Users(b"a:" + hashed(b"secret"))
    assert not users.has(b"a", b"secret\0")
    assert not users.has(b"a", b"secret\0more")


def test_user_that_is_not_there_costs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    check = bcrypt.checkpw

    def noted(password: bytes, written: bytes) -> bool:
        tried.append(written[:7])
        return check(password, written)

    monkeypatch.setattr(bcrypt, "checkpw", noted)
    users = Users(b"a:" + hashed(b"x", 5))
    assert users.has(b"a", b"x")
    assert not users.has(b"b", b"x")
    assert tried == [b"$2b$05$", b"$2b$05$"]


def test_comments_and_empty_lines_are_passed_over() -> None:
    users = Users(b"# users\n\n  \na:" + hashed(b"x") + b"\r\n")
    assert (len(users), users.faults) == (1, [])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"$apr1$abc$def", "MD5 (apr1)"),
        (b"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        (b"$1$a$b", "MD5"),
        (b"$5$a$b", "SHA-256 crypt"),
        (b"$6$a$b", "SHA-512 crypt"),
        (b"$y$j9T$a", "yescrypt"),
        (b"$argon2id$v=19", "Argon2"),
        (b"rl.3StKT.4T8M", "crypt, or plain"),
        (b"secret", "crypt, or plain"),
        (b"", "crypt, or plain"),
        (b"$2b$12$short", "cut short"),
        (b"$2x$04$" + b"a" * 53, "cut short or of an unknown kind"),
    ],
)
def test_other_hashes_are_refused_by_name(written: bytes, told: str) -> None:
    users = Users(b"good:" + hashed(b"x") + b"\nbad:" + written)
    [fault] = users.faults
    assert fault.line == 2
    assert told in fault.text
    assert "user bad" in fault.text
    assert "htpasswd -B" in fault.text
    assert not users.has(b"bad", b"secret")
    assert users.has(b"good", b"x")


@pytest.mark.parametrize("cost", [b"03", b"16", b"31", b"99"])
def test_cost_that_takes_too_long_or_too_little_is_refused(cost: bytes) -> None:
    [fault] = Users(b"a:$2b$" + cost + b"$" + b"a" * 53).faults
    assert f"cost {cost.decode()}; from 4 to 15" in fault.text


@pytest.mark.parametrize("line", [b"nocolon", b":hash", b"a:b\xff"])
def test_line_that_names_no_user_with_a_hash_is_a_fault(line: bytes) -> None:
    assert len(Users(line).faults) == 1


def test_second_line_of_a_user_does_not_count() -> None:
    users = Users(b"a:" + hashed(b"1") + b"\na:" + hashed(b"2"))
    assert [fault.text for fault in users.faults] == ["user a is there already"]
    assert users.has(b"a", b"1")
    assert not users.has(b"a", b"2")
