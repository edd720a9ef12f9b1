"""What workers may not do: refused by the kernel, with each transport; and what goes on working all the same."""

import os
import pwd
import re
from pathlib import Path

import bcrypt
import psutil
import pytest

from tests.integration.transports import TRANSPORTS
from tests.support.certificates import Authority, connect, options
from tests.support.launch import Launched, Launcher, driver
from tests.support.reload import Config, launch_with, reload
from tests.support.server import START_SECONDS, Server, Servers, wait_for

# A policy that tries, in the worker, what a worker has no business to do, and says how it ended.
_CURIOUS = """
import os, socket
from wsrv.engine.ipc.transport import Transport
from wsrv.plugins.registry import load

class Curious(Lru):
    def __init__(self, capacity):
        super().__init__(capacity)
        for name, attempt in (
            ("passwd", lambda: os.open("/etc/passwd", os.O_RDONLY)),
            ("write", lambda: os.open(bytes(root / "index.html"), os.O_WRONLY)),
            ("create", lambda: os.open(bytes(root / "new"), os.O_WRONLY | os.O_CREAT)),
            ("run", lambda: os.execv("/bin/true", ["true"])),
            ("read", lambda: os.open(bytes(root / "index.html"), os.O_RDONLY)),
        ):
            try:
                attempt()
                print(f"{name}: done", file=sys.stderr, flush=True)
            except OSError as error:
                print(f"{name}: {error.strerror}", file=sys.stderr, flush=True)
parts = replace(parts, policy=Curious, transport=load().transports[IPC])
settings = replace(settings, process=ProcessSettings(workers=1), confine=ConfineSettings(sandbox=SANDBOX))
"""


def curious(launch: Launcher, site: Path, ipc: str, sandbox: str) -> dict[str, str]:
    """What became of the attempts of a worker."""
    program = f"IPC, SANDBOX = {ipc!r}, {sandbox!r}\n{_CURIOUS}"
    (site.parent / "logs").mkdir()
    log = site.parent / "logs" / "driven.log"
    server = launch(site, command=driver(program, root=site, runtime=launch.runtime, log=log))
    assert server.get("/").status == 200
    return dict(re.findall(r"^(\w+): (.+)$", server.words(), re.M))


@pytest.mark.parametrize("ipc", TRANSPORTS)
def test_a_worker_reads_its_root_and_is_refused_everything_else(launch: Launcher, site: Path, ipc: str) -> None:
    tried = curious(launch, site, ipc, "require")
    refused = "Permission denied"
    assert tried["read"] == "done"
    assert {tried[name] for name in ("passwd", "write", "create", "run")} == {refused}


def test_without_a_sandbox_nobody_refuses(launch: Launcher, site: Path) -> None:
    program = f"IPC, SANDBOX = 'socketpair', 'off'\n{_CURIOUS}".replace('("run"', '("passwd"').replace(
        'os.execv("/bin/true", ["true"])', 'os.open("/etc/passwd", os.O_RDONLY)'
    )
    server = launch(site, command=driver(program, root=site, runtime=launch.runtime, log=site.parent / "driven.log"))
    assert "passwd: done" in server.words()


def without_landlock(launch: Launcher, site: Path, sandbox: str) -> list[str]:
    """The command of a server on a kernel that is said to have no Landlock."""
    program = f"""
from wsrv.engine.master import landlock
landlock.version = lambda: 0
settings = replace(settings, confine=ConfineSettings(sandbox={sandbox!r}))
"""
    return driver(program, root=site, runtime=launch.runtime, log=site.parent / "driven.log")


def test_where_there_is_no_landlock_auto_says_so_and_serves(launch: Launcher, site: Path) -> None:
    server = launch(site, command=without_landlock(launch, site, "auto"))
    assert server.get("/").status == 200
    assert re.search(r"^wsrv: warning: workers are not confined .*--sandbox off", server.words(), re.M)


def test_where_there_is_no_landlock_require_refuses(launch: Launcher, site: Path) -> None:
    popen = launch.process(without_landlock(launch, site, "require"))
    _, said = popen.communicate(timeout=START_SECONDS)
    assert popen.returncode == 5
    assert said.decode().startswith("wsrv: --sandbox require: the kernel has no Landlock")


def statuses(server: Server) -> list[dict[str, str]]:
    """What proc(5) says of each worker."""
    found = []
    for worker in server.stats()["workers"]:
        lines = Path(f"/proc/{worker['pid']}/status").read_text().splitlines()
        found.append({name: value.strip() for name, _, value in (line.partition(":") for line in lines)})
    return found


# Before the servers, so that it is there until they have ended.
@pytest.fixture(autouse=True)
def site(open_site: Path) -> Path:
    """Workers of another user reach it."""
    return open_site


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@as_root
@pytest.mark.parametrize("sync", ["posix", "robust", "eventfd"])
def test_workers_become_the_user_and_keep_no_rights(servers: Servers, site: Path, sync: str) -> None:
    (site / "page.txt").write_text("words, " * 2000)
    server = servers(site, "--user", "nobody", "--workers", "2", "--sync", sync)
    nobody = pwd.getpwnam("nobody")
    for status in statuses(server):
        assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
        assert "0" not in status["Groups"].split()
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    assert server.get("/page.txt", "Accept-Encoding: br").status == 200
    assert server.get("/nowhere").status == 404
    assert len(server.log_lines(2)) == 2


@as_root
def test_a_group_can_be_chosen(servers: Servers, site: Path) -> None:
    server = servers(site, "--user", "nobody", "--group", "daemon", "--workers", "1")
    assert set(statuses(server)[0]["Gid"].split()) == {"1"}


@as_root
def test_passwords_and_a_shared_cache_work_for_another_user(servers: Servers, site: Path) -> None:
    tmp_path = site.parent
    (tmp_path / "secret").mkdir()
    users = tmp_path / "secret" / "users"
    users.write_text("ann:" + bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode() + "\n")
    config = tmp_path / "wsrv.toml"
    config.write_text('[[auth]]\nmatch = "/*"\nfile = "secret/users"\n')
    server = servers(site, "--user", "nobody", "--config", str(config), "--cache-scope", "shared", "--workers", "2")
    assert server.get("/").status == 401
    assert server.get("/", "Authorization: Basic YW5uOnB3").status == 200
    keepers = [p for p in psutil.Process(server.pid).children() if p.name() == "wsrv: cache"]
    assert [p.username() for p in keepers] == ["nobody"]


@as_root
def test_a_root_that_the_user_may_not_read_is_named(launch: Launcher, site: Path) -> None:
    site.chmod(0o700)
    status, said = launch.failing(site, "--user", "nobody")
    assert status == 5
    assert said == f"wsrv: cannot confine workers: nobody may not read the folder {site}\n"


@as_root
def test_a_transport_that_traces_the_master_excludes_another_user(launch: Launcher, site: Path) -> None:
    status, said = launch.failing(site, "--user", "nobody", "--ipc", "pidfd_getfd")
    assert status == 5
    assert said.startswith("wsrv: pidfd_getfd: worker and master would run as different users")
    assert "--ipc socketpair" in said


def test_faults_in_users_and_groups_are_2(launch: Launcher, site: Path) -> None:
    for given, told in (
        (("--user", "no-such-user"), "'no-such-user' is not a user of this machine"),
        (("--user", "nobody", "--group", "no-such-group"), "'no-such-group' is not a group of this machine"),
        (("--group", "daemon"), "--group: a group needs a user"),
        (("--sandbox", "maybe"), "'maybe' is not"),
    ):
        status, said = launch.failing(site, *given)
        assert (status, told in said) == (2, True), said


@as_root
def test_only_root_can_have_workers_become_somebody(launch: Launcher, site: Path) -> None:
    program = """
import os
settings = replace(settings, confine=ConfineSettings("daemon", 1, 1))
os.setresuid(65534, 65534, 65534)
"""
    popen = launch.process(driver(program, root=site, runtime=launch.runtime, log=site.parent / "driven.log"))
    _, said = popen.communicate(timeout=START_SECONDS)
    assert popen.returncode == 5
    assert said.decode() == "wsrv: only root can have workers run as daemon; start as root, or without --user\n"


def folder(path: Path, text: str) -> Path:
    """A root with one page."""
    path.mkdir()
    (path / "index.html").write_text(text)
    return path


def text_of(server: Server) -> str:
    """The page, which is there."""
    answer = server.get("/")
    assert answer.status == 200
    return answer.body.decode()


def test_a_root_that_another_folder_replaces_is_served_by_successors(servers: Servers, tmp_path: Path) -> None:
    folder(tmp_path / "one", "one")
    folder(tmp_path / "two", "two")
    current = tmp_path / "current"
    current.symlink_to("one")
    server = servers(current, "--sandbox", "require", "--workers", "2")
    assert text_of(server) == "one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(current)
    # Never anything but the one or the other, and in the end the other from every worker.
    wait_for(lambda: {text_of(server) for _ in range(8)} == {"two"}, "the second root", 20)
    wait_for(lambda: all(w["restarts"] == 1 for w in server.stats()["workers"]), "successors", 20)


def test_a_root_that_vanishes_and_returns_is_served_again(servers: Servers, tmp_path: Path) -> None:
    root = folder(tmp_path / "root", "first")
    server = servers(root, "--sandbox", "require", "--workers", "2")
    assert text_of(server) == "first"
    (root / "index.html").unlink()
    root.rmdir()
    wait_for(lambda: server.get("/").status == 404, "its absence", 20)
    wait_for(lambda: server.stats()["troubles"]["root_missing"] == 2, "both workers to miss it", 20)
    folder(root, "again")

    def is_back() -> bool:
        answers = [server.get("/") for _ in range(8)]
        return all((a.status, a.body) == (200, b"again") for a in answers)

    wait_for(is_back, "its return", 20)


@as_root
def test_a_renewed_certificate_is_shown_by_workers_that_may_not_read_its_key(
    servers: Servers, site: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "tls")
    files = authority.issue("localhost")
    files.key.chmod(0o600)
    server = servers(site, "--user", "nobody", "--workers", "2", "--listen", "https://127.0.0.1:0", *options(files))
    port = int(server.stats()["listeners"][0].rpartition(":")[2])

    def serial() -> object:
        with connect(port, authority.client()) as tls:
            return (tls.getpeercert() or {})["serialNumber"]

    old = serial()
    authority.issue("localhost")
    files.key.chmod(0o600)
    wait_for(lambda: all(serial() != old for _ in range(8)), "the renewed certificate", 30)


def test_the_control_socket_and_its_folder_are_for_their_user_alone(launch: Launcher, site: Path) -> None:
    server: Launched = launch(site)
    folder = launch.runtime / server.stats()["name"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "control.sock").stat().st_mode & 0o777 == 0o600


@as_root
def test_a_reload_for_a_root_that_workers_may_not_read_changes_nothing(launch: Launcher, site: Path) -> None:
    other = folder(site.parent / "other", "other")
    other.chmod(0o700)
    config = Config(site.parent / "wsrv.toml", site_root=str(site))
    server = launch_with(launch, config, "--user", "nobody")
    config.set(site_root=str(other))
    run = reload(server)
    assert run.returncode == 5
    assert f"nobody may not read the folder {other}" in run.stderr
    assert b"index" in server.get("/").body
    other.chmod(0o755)
    assert reload(server).returncode == 0
    assert server.get("/").body == b"other"


def test_where_all_are_confined_as_one_a_root_from_outside_is_refused_by_a_reload(launch: Launcher, site: Path) -> None:
    (site.parent / "logs").mkdir()
    (site.parent / "cfg").mkdir()
    other = folder(site.parent / "other", "other")
    config = Config(site.parent / "cfg" / "wsrv.toml", site_root=str(site))
    log = ("--log-file", str(site.parent / "logs" / "access.log"))
    server = launch_with(launch, config, "--ipc", "pidfd_getfd", *log)
    config.set(site_root=str(other))
    run = reload(server)
    assert run.returncode == 5
    assert f"a confined worker may not read the folder {other}" in run.stderr
    assert b"index" in server.get("/").body
