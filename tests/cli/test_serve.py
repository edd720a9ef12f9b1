"""`wsrv serve` before there is a server: what it refuses, and with which status."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.program import python, wsrv
from wsrv.cli import serve
from wsrv.cli.exits import CANNOT_START, USAGE, Stop
from wsrv.cli.parts import choose
from wsrv.cli.values import Value
from wsrv.engine.settings import CacheSettings
from wsrv.plugins.transports.socketpair import Socketpair


def test_root_that_is_missing_is_usage(tmp_path: Path) -> None:
    run = wsrv("serve", str(tmp_path / "nowhere"))
    assert (run.returncode, run.stderr) == (2, f"wsrv: ROOT: no such folder: {tmp_path}/nowhere\n")


def test_root_that_is_a_file_is_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = wsrv("serve", "file", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (2, f"wsrv: ROOT: not a folder: {tmp_path}/file\n")


def test_root_from_the_config_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text('[site]\nroot = "nowhere"\n')
    run = wsrv("serve", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (
        2,
        f"wsrv: wsrv.toml:2: site.root: no such folder: {tmp_path}/nowhere\n",
    )


def test_config_file_that_is_missing_is_usage(tmp_path: Path) -> None:
    run = wsrv("serve", "--config", "no.toml", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr == f"wsrv: cannot read the config file {tmp_path}/no.toml: No such file or directory\n"


def test_config_file_of_the_environment_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("nonsense = 1\n")
    run = wsrv("serve", env={"WSRV_CONFIG": str(tmp_path / "x.toml")})
    assert run.returncode == 2
    assert "no setting is called nonsense" in run.stderr


@pytest.mark.parametrize(("option", "known"), [("--ipc", "socketpair"), ("--sync", "posix"), ("--cache-policy", "lru")])
def test_unknown_part_is_usage_and_names_those_there_are(tmp_path: Path, option: str, known: str) -> None:
    run = wsrv("serve", str(tmp_path), option, "nonsense")
    assert run.returncode == 2
    assert run.stderr.startswith(f"wsrv: {option}: ")
    assert known in run.stderr
    assert run.stderr.count("\n") == 1


def test_disabled_plugin_offers_nothing(tmp_path: Path) -> None:
    run = wsrv("serve", str(tmp_path), env={"WSRV_DISABLE_PLUGINS": "builtin.flock, builtin.sieve"})
    assert run.returncode == 2
    assert run.stderr.startswith("wsrv: default: no cache policy 'sieve'")


def test_part_that_cannot_work_here_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Socketpair, "available", classmethod(lambda cls: "the kernel refuses; use another"))
    names = {"server.ipc": "socketpair", "server.sync": "posix", "cache.policy": "lru"}
    with pytest.raises(Stop, match=r"^socketpair: the kernel refuses; use another$") as caught:
        choose({key: Value(name, "default") for key, name in names.items()}, CacheSettings())
    assert caught.value.status == CANNOT_START


def test_quiet_and_verbose_exclude_each_other() -> None:
    run = wsrv("serve", "-q", "-v")
    assert run.returncode == 2
    assert "exclude each other" in run.stderr


@pytest.mark.parametrize(
    ("system", "release", "shown"),
    [("darwin", "23.1.0", "this is "), ("linux", "5.5.19-1-amd64", "this is Linux 5.5.19")],
)
def test_system_that_is_too_little_is_no_start_in_one_line(system: str, release: str, shown: str) -> None:
    run = python(
        f"import platform, sys; sys.platform = {system!r}; platform.release = lambda: {release!r}\n"
        "for name in ('fcntl', 'wsrv.plugins.registry', 'wsrv.engine.ipc', 'wsrv.engine.sync'):\n"
        "    sys.modules[name] = None\n"
        "from wsrv.cli.main import run; sys.exit(run(['serve']))"
    )
    assert run.returncode == 5
    assert run.stderr.startswith("wsrv: wsrv needs Linux 5.6 or later; ")
    assert shown in run.stderr
    assert run.stderr.count("\n") == 1


def test_root_that_may_not_be_read_is_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything, so the kernel's answer is given for it.
    monkeypatch.setattr(os, "access", lambda path, mode: mode & os.R_OK == 0)
    monkeypatch.delenv("WSRV_CONFIG", raising=False)
    result = CliRunner().invoke(serve.command, [str(tmp_path)])
    assert isinstance(result.exception, Stop)
    assert result.exception.status == USAGE
    assert str(result.exception) == f"ROOT: this user may not read the folder {tmp_path}"
