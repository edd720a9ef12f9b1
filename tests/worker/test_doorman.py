"""The doorman: what it remembers, for how long, and what it forgets when a file changes."""

import os
from pathlib import Path

import bcrypt
import pytest

from wsrv.engine.http.basic import Credentials
from wsrv.engine.worker import doorman as module
from wsrv.engine.worker.doorman import MAX_REMEMBERED, REMEMBERED_NS, Doorman

ANN = Credentials(b"ann", b"secret")
WRONG = Credentials(b"ann", b"guess")
NOW_NS = 5_000_000_000
SECOND_NS = 1_000_000_000


def line(user: str, password: bytes) -> bytes:
    return user.encode() + b":" + bcrypt.hashpw(password, bcrypt.gensalt(4)) + b"\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_bytes(line("ann", b"secret"))
    return path


@pytest.fixture
def doorman(file: Path) -> Doorman:
    return Doorman([file])


def tried(doorman: Doorman, file: Path, credentials: Credentials, now_ns: int = NOW_NS) -> bool:
    """What a trial says, which is remembered."""
    trial = doorman.trial(file, credentials)
    return doorman.note(trial, trial.work(), now_ns)


def test_nothing_is_known_before_a_trial(doorman: Doorman, file: Path) -> None:
    assert doorman.verdict(file, ANN, NOW_NS) is None


def test_verdicts_are_remembered_for_a_while_right_and_wrong_ones(doorman: Doorman, file: Path) -> None:
    assert tried(doorman, file, ANN)
    assert not tried(doorman, file, WRONG)
    last_ns = NOW_NS + REMEMBERED_NS - 1
    assert (doorman.verdict(file, ANN, last_ns), doorman.verdict(file, WRONG, last_ns)) == (True, False)
    assert (doorman.verdict(file, ANN, last_ns + 1), doorman.verdict(file, WRONG, last_ns + 1)) == (None, None)


def test_verdict_holds_for_one_file_alone(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "others"
    other.write_bytes(line("ann", b"different"))
    doorman = Doorman([file, other])
    assert tried(doorman, file, ANN)
    assert doorman.verdict(other, ANN, NOW_NS) is None
    assert not tried(doorman, other, ANN)


def test_where_user_ends_and_password_begins_matters(doorman: Doorman, file: Path) -> None:
    assert tried(doorman, file, ANN)
    assert doorman.verdict(file, Credentials(b"an", b"nsecret"), NOW_NS) is None
    assert doorman.verdict(file, Credentials(b"ann", b""), NOW_NS) is None


def test_no_password_is_kept(doorman: Doorman, file: Path) -> None:
    tried(doorman, file, ANN)
    kept = repr(vars(doorman)) + repr([vars(book) for book in doorman._books.values()])
    assert "secret" not in kept


def test_change_of_the_file_is_noticed_and_all_is_forgotten(doorman: Doorman, file: Path) -> None:
    assert tried(doorman, file, ANN)
    file.write_bytes(line("ann", b"changed"))
    doorman.check(NOW_NS)
    assert doorman.verdict(file, ANN, NOW_NS) is None
    assert not tried(doorman, file, ANN)
    assert tried(doorman, file, Credentials(b"ann", b"changed"))


def test_file_is_looked_at_once_a_second(doorman: Doorman, file: Path) -> None:
    doorman.check(NOW_NS)
    file.write_bytes(line("bob", b"x"))
    doorman.check(NOW_NS + SECOND_NS - 1)
    assert tried(doorman, file, ANN)
    doorman.check(NOW_NS + SECOND_NS)
    assert not tried(doorman, file, ANN)


def test_change_of_equal_length_within_one_stamp_is_noticed(doorman: Doorman, file: Path) -> None:
    before = os.stat(file)
    file.write_bytes(line("ann", b"changed"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    doorman.check(NOW_NS)
    assert not tried(doorman, file, ANN)


def test_trial_that_began_before_a_change_lets_nobody_in(doorman: Doorman, file: Path) -> None:
    trial = doorman.trial(file, ANN)
    right = trial.work()
    file.write_bytes(line("bob", b"x"))
    doorman.check(NOW_NS)
    assert right
    assert not doorman.note(trial, right, NOW_NS)
    assert doorman.verdict(file, ANN, NOW_NS) is None


def test_file_that_is_gone_lets_nobody_in_and_comes_back(
    doorman: Doorman, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(doorman, file, ANN)
    away = file.rename(file.with_name("away"))
    doorman.check(NOW_NS)
    assert doorman.verdict(file, ANN, NOW_NS) is None
    assert not tried(doorman, file, ANN)
    assert capsys.readouterr().err.count("nobody is let in") == 1
    doorman.check(NOW_NS + SECOND_NS)
    assert capsys.readouterr().err == ""
    away.rename(file)
    doorman.check(NOW_NS + 2 * SECOND_NS)
    assert tried(doorman, file, ANN, NOW_NS + 2 * SECOND_NS)


def test_bad_line_is_told_and_lets_nobody_in_by_it(
    doorman: Doorman, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(b"bob:secret\n" + line("ann", b"secret"))
    doorman.check(NOW_NS)
    doorman.check(NOW_NS + SECOND_NS)
    assert tried(doorman, file, ANN)
    assert not tried(doorman, file, Credentials(b"bob", b"secret"))
    file.write_bytes(b"bob:secret\n" + line("ann", b"new"))
    doorman.check(NOW_NS + 2 * SECOND_NS)
    assert f"{file}:1: user bob has a hash that is" in capsys.readouterr().err


def test_memory_is_bounded_and_the_oldest_leave_first(
    doorman: Doorman, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    for number in range(4):
        trial = doorman.trial(file, Credentials(b"u%d" % number, b""))
        doorman.note(trial, False, NOW_NS)
    known = [doorman.verdict(file, Credentials(b"u%d" % number, b""), NOW_NS) for number in range(4)]
    assert known == [None, False, False, False]
    assert MAX_REMEMBERED >= 1000


def test_equal_credentials_have_one_ticket_and_others_another(doorman: Doorman, file: Path) -> None:
    assert doorman.trial(file, ANN).ticket == doorman.trial(file, Credentials(b"ann", b"secret")).ticket
    assert doorman.trial(file, ANN).ticket != doorman.trial(file, WRONG).ticket
    assert Doorman([file]).trial(file, ANN).ticket != doorman.trial(file, ANN).ticket
