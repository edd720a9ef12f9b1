# PLUGINS.md is a promise: its files are taken as they stand there, installed in an environment of their own, and used.
"""The plugin that PLUGINS.md builds works."""

import json
import pkgutil
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.launch import Launcher, environment
from tests.support.server import WSRV
from wsrv import testing

PAGE = Path(__file__).resolve().parents[2] / "PLUGINS.md"
SECONDS = 60

# The name of a file on a line of its own, and below it the file.
FILE = re.compile(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What stands after a prompt, up to the next one.
TRANSCRIPT = re.compile(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)


class Environment:
    """A fresh virtual environment with the plugin in it. What tests need, and wsrv, it sees from this one."""

    def __init__(self, folder: Path) -> None:
        self.sources = folder / "wsrv-random"
        self.python = folder / "venv" / "bin" / "python"
        self.wsrv = [str(self.python), *WSRV[1:]]
        for name, text in FILE.findall(PAGE.read_text()):
            (self.sources / name).parent.mkdir(parents=True, exist_ok=True)
            (self.sources / name).write_text(text)
        venv.create(folder / "venv")
        (packages,) = (folder / "venv").glob("lib/python*/site-packages")
        (packages / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(self.python),
            "install",
            "-qq",
            "--disable-pip-version-check",
        ]
        self.run(*pip, "--no-index", "--no-deps", "--no-build-isolation", str(self.sources))

    def run(self, *command: str, **variables: str) -> str:
        """What it prints; it must succeed and say nothing on stderr."""
        run = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=SECONDS)
        assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("page"))


@pytest.fixture
def launch(nothing_left_behind: None, tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.end()


def transcript() -> dict[str, list[str]]:
    """What the page shows for each command, as words: columns may be wider in one place than in another."""
    return {command: said.splitlines() for command, said in TRANSCRIPT.findall(PAGE.read_text())}


def test_every_file_of_the_pages_tree_is_on_the_page(installed: Environment) -> None:
    (tree,) = re.findall(r"^```\nwsrv-random/\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert sorted(tree.split()) == sorted(name for name, _ in FILE.findall(PAGE.read_text()))


def test_its_own_tests_pass(installed: Environment) -> None:
    pytest_in = [str(installed.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    said = installed.run(*pytest_in, "--rootdir", str(installed.sources), str(installed.sources))
    assert re.search(r"^\d+ passed", said, re.MULTILINE)


def test_it_is_listed_as_the_page_shows(installed: Environment) -> None:
    listed = {" ".join(line.split()) for line in installed.run(*installed.wsrv, "plugins").splitlines()}
    shown = {" ".join(line.split()) for line in transcript()["wsrv plugins"] if line.strip() not in ("", "...")}
    assert len(shown) == 3
    assert shown <= listed


def test_it_is_listed_as_json(installed: Environment) -> None:
    document = json.loads(installed.run(*installed.wsrv, "plugins", "--json"))
    assert [row for row in document["plugins"] if row["distribution"]] == [
        {
            "name": name,
            "kind": kind,
            "plugin": "random",
            "distribution": "wsrv-random",
            "version": "0.1.0",
            "offers": [],
            "reason": None,
            "origin": "wsrv-random 0.1.0",
            "available": True,
        }
        for name, kind in (("random", "policy"), ("weigh", "command"))
    ]


def test_help_lists_its_command_with_its_distribution(installed: Environment) -> None:
    said = installed.run(*installed.wsrv, "--help")
    assert re.search(r"weigh +Say how much cache .*\[wsrv-random\s+0\.1\.0\]", said, re.DOTALL)


def test_its_command_says_what_the_page_shows(installed: Environment, tmp_path: Path) -> None:
    for name, size in (("a", 100_000), ("b", 50_000), ("c", 1_100_000)):
        (tmp_path / name).write_bytes(bytes(size))
    said = installed.run(*installed.wsrv, "weigh", str(tmp_path))
    assert said.splitlines() == [line for line in transcript()["wsrv weigh site"] if line]


def test_a_server_caches_by_its_policy(installed: Environment, launch: Launcher, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for number in range(40):
        (site / f"{number}.txt").write_text(f"{number}\n" * 200)
    options = ("--workers", "1", "--cache-size", "8KiB", "--cache-policy", "random")
    arguments = launch.arguments(site, *options, log=tmp_path / "access.log")
    server = launch(site, command=[*installed.wsrv, *arguments[len(WSRV) :]])
    for number in range(40):
        assert server.get(f"/{number}.txt").body.decode() == f"{number}\n" * 200
    cache = server.stats()["cache"]
    assert cache["policy"] == "random"
    assert cache["evictions"] > 0
    server.stop()


def test_disabled_it_is_not_imported_and_its_policy_is_missed_by_name(installed: Environment, tmp_path: Path) -> None:
    command = [*installed.wsrv, "serve", str(tmp_path), "--port", "0", "--cache-policy", "random"]
    variables = environment(WSRV_DISABLE_PLUGINS="random")
    run = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=SECONDS)
    assert run.returncode == 2
    assert run.stderr.startswith("wsrv: --cache-policy: no cache policy 'random'; there are: ")
    assert run.stderr.endswith("; 'random' (wsrv-random 0.1.0) may offer it and was left out: see wsrv plugins\n")


def test_every_suite_that_the_page_names_is_there_and_every_one_is_named() -> None:
    named = {
        tuple(name.rsplit(".", 1)) for name in re.findall(r"^\| `(wsrv\.testing\.[\w.]+)` ", PAGE.read_text(), re.M)
    }
    classes = {(module, name): getattr(import_module(module), name) for module, name in named}
    modules = [f"{testing.__name__}.{module.name}" for module in pkgutil.iter_modules(testing.__path__)]
    there = {
        value
        for module in map(import_module, modules)
        for value in vars(module).values()
        if isinstance(value, type) and value.__name__.endswith("Contract")
    }
    inherited = {base for suite in there for base in suite.__bases__}
    assert set(classes.values()) == there - inherited
