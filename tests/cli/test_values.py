"""The table of settings: precedence, faults, and its agreement with the engine's own defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from wsrv.cli import configfile, cpus, serve
from wsrv.cli.configfile import ConfigFile
from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.table import KEYS, SETTINGS
from wsrv.cli.values import in_force, resolve, unknown_variables
from wsrv.engine.settings import CacheSettings, LimitSettings, ListenSettings, LogSettings, ProcessSettings


def toml(folder: Path, text: str) -> ConfigFile:
    path = folder / "wsrv.toml"
    path.write_text(text)
    return configfile.read(path)


def faults(flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None) -> list[str]:
    with pytest.raises(Stop) as caught:
        resolve(flags, environ, file)
    assert caught.value.status == USAGE
    return str(caught.value).splitlines()


def test_flag_outranks_environment_outranks_file_outranks_default(tmp_path: Path) -> None:
    file = toml(tmp_path, "[server]\nport = 3\nthreads = 3\nqueue = 3\n")
    values = resolve({"port": 1, "threads": None}, {"WSRV_PORT": "2", "WSRV_THREADS": "2"}, file)
    assert [values[key].value for key in ("server.port", "server.threads", "server.queue")] == [1, 2, 3]
    assert values["server.port"].origin == "--port"
    assert values["server.threads"].origin == "WSRV_THREADS"
    assert values["server.queue"].origin == f"{tmp_path}/wsrv.toml:4: server.queue"
    assert (values["server.host"].value, values["server.host"].origin) == ("127.0.0.1", "default")


def test_variable_set_to_nothing_counts_as_not_set() -> None:
    assert resolve({}, {"WSRV_PORT": ""}, None)["server.port"].value == 8080


def test_wrong_variable_is_named() -> None:
    assert faults({}, {"WSRV_PORT": "http"}, None) == ["WSRV_PORT: 'http' is not a whole number from 0 to 65535"]


def test_every_fault_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = toml(tmp_path, '# comment\n[server]\nport = "x"\n\n[cache]\nsize = -1\npolcy = "lru"\n')
    where = f"{tmp_path}/wsrv.toml"
    assert faults({}, {}, file) == [
        f"{where}:3: server.port: 'x' is not a whole number from 0 to 65535",
        f"{where}:6: cache.size: -1 is not a size such as 64MiB, 10MB, 512k or a plain number of bytes",
        f"{where}:7: no setting is called cache.polcy; did you mean cache.policy?",
    ]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("port = 80", "server.port"),
        ("[server]\ncache_size = '1M'", "cache.size"),
        ("[cache]\nmax-object = 1", "cache.max_object"),
        ("[sever]\nport = 1", "server.port"),
        ("[server]\nprot = 1", "server.port"),
    ],
)
def test_unknown_key_comes_with_the_nearest_known_one(tmp_path: Path, text: str, nearest: str) -> None:
    assert faults({}, {}, toml(tmp_path, text))[0].endswith(f"did you mean {nearest}?")


def test_unknown_key_like_no_other_comes_with_the_whole_list(tmp_path: Path) -> None:
    (fault,) = faults({}, {}, toml(tmp_path, "zzz = 1\n"))
    assert fault.startswith(f"{tmp_path}/wsrv.toml:1: no setting is called zzz; there are: site.root, ")


@pytest.mark.parametrize("value", ["true", "[8080]", "{ a = 1 }", "1979-05-27", "80.5"])
def test_value_of_another_type_is_a_fault(tmp_path: Path, value: str) -> None:
    assert faults({}, {}, toml(tmp_path, f"[server]\nport = {value}\n"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("server.port = 'x'", 1),
        ("\nserver = { port = 'x' }", 2),
        ('[ server ] # here\n"port" = "x"', 2),
        ("[log]\nkeep=1\n[server]\n\nport='x'", 5),
    ],
)
def test_line_is_found_however_the_key_is_written(tmp_path: Path, text: str, line: int) -> None:
    assert faults({}, {}, toml(tmp_path, text))[0].startswith(f"{tmp_path}/wsrv.toml:{line}: server.port")


def test_relative_places_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    values = resolve({}, {}, toml(tmp_path, "site.root = 'public'\nlog.file = 'access.log'\n"))
    assert values["site.root"].value == str(tmp_path / "public")
    assert values["log.file"].value == str(tmp_path / "access.log")


@pytest.mark.parametrize("content", [b"port = \n", b"\xff\xfe", b"a = " + b"[" * 5000])
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wsrv.toml").write_bytes(content)
    with pytest.raises(Stop, match=r"is not TOML|is no text") as caught:
        configfile.read(tmp_path / "wsrv.toml")
    assert caught.value.status == USAGE


def test_defaults_are_the_engines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "usable", lambda: ProcessSettings().workers)
    settings = serve.engine_settings(in_force(resolve({}, {}, None)))
    assert settings.listen == (ListenSettings(),)
    assert settings.process == ProcessSettings()
    assert settings.limits == LimitSettings()
    assert settings.cache == CacheSettings()
    assert settings.log == LogSettings()
    assert settings.site.root == Path.cwd()
    assert settings.runtime.name == "8080"


def test_every_setting_reaches_the_engine(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        """
        site.root = "/r"
        [server]
        host = "h"
        port = 1
        workers = 2
        threads = 3
        queue = 4
        timeout = "5s"
        name = "n"
        runtime_dir = "/d"
        [cache]
        size = 6
        max_object = 7
        revalidate = 8
        [limits]
        fields = 11
        head_size = 12
        target_size = 13
        body_size = 14
        head_timeout = 15
        body_timeout = 16
        idle_timeout = 17
        [log]
        file = "/l"
        max_size = 9
        keep = 10
        """,
    )
    settings = serve.engine_settings(in_force(resolve({}, {}, file)))
    assert settings.listen == (ListenSettings("h", 1),)
    assert settings.process == ProcessSettings(2, 3, 4)
    assert settings.limits == LimitSettings(11, 12, 13, 14, 15, 16, 17, 5)
    assert settings.cache == CacheSettings(6, 7, 8)
    assert settings.log == LogSettings("/l", "combined", 9, 10)
    assert (settings.site.root, settings.runtime.directory, settings.runtime.name) == (Path("/r"), Path("/d"), "n")


def test_error_pages_of_the_package_are_where_the_settings_say() -> None:
    assert serve.engine_settings(in_force(resolve({}, {}, None))).site.pages.is_dir()


def test_options_of_serve_follow_from_the_table() -> None:
    flags = {name for param in serve.command.params if isinstance(param, click.Option) for name in param.opts}
    assert {setting.flag for setting in SETTINGS if setting.option} <= flags
    wanted = """--host --port --workers --threads --queue --ipc --sync --cache-policy --cache-size --timeout --log-file
        --log-format --config --name --runtime-dir -q -v"""
    assert set(wanted.split()) <= flags


def test_no_two_settings_share_a_name() -> None:
    assert len({setting.variable for setting in SETTINGS}) == len(set(KEYS)) == len(SETTINGS)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WSRV_PROT", "WSRV_PORT"),
        ("WSRV_SERVER_PORT", "WSRV_PORT"),
        ("WSRV_ROOT", "WSRV_SITE_ROOT"),
        ("WSRV_LISTING", "WSRV_SITE_LISTING"),
        ("WSRV_CACHE_SIZ", "WSRV_CACHE_SIZE"),
        ("WSRV_port", "WSRV_PORT"),
        ("WSRV_HEAD_TIMEOUT", "WSRV_LIMITS_HEAD_TIMEOUT"),
    ],
)
def test_a_variable_that_no_setting_has_is_told_with_the_nearest_that_one_has(name: str, meant: str) -> None:
    line = f"{name} is set, and no setting has that variable; did you mean {meant}?"
    assert unknown_variables({name: "1", "WSRV_HOST": "h"}) == [line]


def test_a_variable_like_none_is_told_without_a_guess() -> None:
    assert unknown_variables({"WSRV_XYZZY": "1"}) == ["WSRV_XYZZY is set, and no setting has that variable"]


def test_variables_that_are_read_or_empty_or_of_others_are_not_told() -> None:
    known = {setting.variable: "1" for setting in SETTINGS}
    others = {"WSRV_CONFIG": "x", "WSRV_DISABLE_PLUGINS": "x", "WSRV_PROT": "", "_WSRV_COMPLETE": "x", "WSRVPORT": "1"}
    assert unknown_variables(known | others) == []
