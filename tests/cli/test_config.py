"""`wsrv config`: written, shown, checked, imported; and that settings are documented and completed."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import PROGRAM, SECONDS, environment, wsrv
from wsrv.cli import tomltext
from wsrv.cli.table import KEYS, SETTINGS, by_table


def shown(cwd: Path, *args: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    run = wsrv("config", "show", "--json", *args, cwd=cwd, env=env)
    assert (run.returncode, run.stderr) == (0, "")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def uncomment(path: Path) -> None:
    path.write_text(re.sub(r"^#(?=\w+ = )", "", path.read_text(), flags=re.MULTILINE))


# init


def test_init_uncommented_is_checked_and_shown_as_the_defaults(tmp_path: Path) -> None:
    defaults = shown(tmp_path)
    assert wsrv("config", "init", cwd=tmp_path).returncode == 0
    uncomment(tmp_path / "wsrv.toml")
    run = wsrv("config", "check", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"wsrv.toml: {len(KEYS)} settings, no fault\n", "")
    found = shown(tmp_path)
    assert {s["layer"] for s in found["settings"].values()} == {"file"}
    assert {s["layer"] for s in defaults["settings"].values()} == {"default"}
    assert {k: s["value"] for k, s in found["settings"].items()} == {
        k: s["value"] for k, s in defaults["settings"].items()
    }


def test_init_as_written_changes_nothing(tmp_path: Path) -> None:
    run = wsrv("config", "init", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", f"wsrv: wrote {tmp_path}/wsrv.toml\n")
    assert tomllib.loads((tmp_path / "wsrv.toml").read_text()) == {table: {} for table, _ in by_table()}
    assert {s["layer"] for s in shown(tmp_path)["settings"].values()} == {"default"}
    assert wsrv("config", "check", cwd=tmp_path).returncode == 0


def test_init_says_of_every_setting_what_it_means_what_is_allowed_and_where_else() -> None:
    text = tomltext.commented({"transport": ["t1", "t2"], "primitive": ["p"], "policy": ["l"]})
    for setting in SETTINGS:
        about = text.partition(f"# {setting.help}\n")[2].partition("\n\n")[0]
        assert re.search(rf"^#{setting.name} = ", about, re.MULTILINE)
        assert setting.variable in about
        assert setting.flag in about
        assert setting.auto in about
    assert "# The name of a part; there are: t1, t2." in text


@pytest.mark.parametrize("args", [["--stdout"], ["-"], ["there.toml", "--stdout"]])
def test_init_prints(tmp_path: Path, args: list[str]) -> None:
    run = wsrv("config", "init", *args, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("# wsrv.toml: settings of wsrv.\n")
    assert list(tmp_path.iterdir()) == []


def test_init_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text("mine")
    run = wsrv("config", "init", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"wsrv: {tmp_path}/wsrv.toml is there already; --force writes over it\n"
    assert (tmp_path / "wsrv.toml").read_text() == "mine"


def test_init_leaves_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").symlink_to("elsewhere")
    assert wsrv("config", "init", cwd=tmp_path).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["wsrv.toml"]


def test_init_with_force_replaces_it_behind_its_link_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("mine")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "wsrv.toml").symlink_to("real")
    assert wsrv("config", "init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "wsrv.toml").is_symlink()
    assert (tmp_path / "real").read_text().startswith("# wsrv.toml")
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real", "wsrv.toml"]


@pytest.mark.parametrize("args", [["no/such/folder/x.toml"], ["no/such/folder/x.toml", "--force"], [".", "--force"]])
def test_init_says_why_it_cannot_write(tmp_path: Path, args: list[str]) -> None:
    run = wsrv("config", "init", *args, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith(f"wsrv: cannot write {tmp_path}")
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# show


def test_show_tells_each_layer(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text("[server]\nport = 3\nthreads = 3\nqueue = 3\n")
    run = wsrv("config", "show", "site", "--port", "1", cwd=tmp_path, env={"WSRV_PORT": "2", "WSRV_THREADS": "2"})
    lines = {line.partition(" = ")[0]: line for line in run.stdout.splitlines() if " = " in line}
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("# settings file: wsrv.toml\n")
    assert re.fullmatch(r'root = ".*/site" +# ROOT', lines["root"])
    assert re.fullmatch(r"port = 1 +# --port", lines["port"])
    assert re.fullmatch(r"threads = 2 +# WSRV_THREADS", lines["threads"])
    assert re.fullmatch(r"queue = 3 +# wsrv.toml:4", lines["queue"])
    assert re.fullmatch(r'timeout = "30s" +# default', lines["timeout"])
    assert re.fullmatch(r"workers = \d+ +# default: as many as there are CPUs to use", lines["workers"])
    assert re.fullmatch(r'name = "1" +# default: its port', lines["name"])


def test_show_is_toml_that_makes_the_same_settings(tmp_path: Path) -> None:
    args = ["--cache-size", "1500kB", "--timeout", "1500ms", "--log-file", 'a " \\ b', "--host", "h"]
    first = wsrv("config", "show", *args, cwd=tmp_path)
    (tmp_path / "again.toml").write_text(first.stdout)
    again, wanted = shown(tmp_path, "--config", "again.toml"), shown(tmp_path, *args)
    assert {k: s["value"] for k, s in again["settings"].items()} == {
        k: s["value"] for k, s in wanted["settings"].items()
    }


def test_show_as_json_says_value_layer_and_origin(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[cache]\nsize = '1MiB'\n")
    found = shown(tmp_path, "--port", "0", env={"WSRV_CONFIG": "x.toml", "WSRV_TIMEOUT": "2m"})
    assert (found["schema"], found["file"], list(found["settings"])) == (1, "x.toml", list(KEYS))
    settings = found["settings"]
    assert settings["cache.size"] == {
        "value": 1024**2,
        "layer": "file",
        "origin": "x.toml:2: cache.size",
        "flag": "--cache-size",
        "variable": "WSRV_CACHE_SIZE",
    }
    assert [settings["server.timeout"][k] for k in ("value", "layer", "origin")] == [120, "environment", "WSRV_TIMEOUT"]
    assert [settings["server.port"][k] for k in ("value", "layer", "origin")] == [0, "flag", "--port"]
    assert settings["server.name"]["value"] == "auto"
    assert settings["cache.max_object"]["flag"] is None


def test_show_takes_the_options_of_serve() -> None:
    from wsrv.cli import config, serve

    def names(command: Any) -> set[str]:
        return {name for param in command.params for name in param.opts}

    assert names(serve.command) - names(config.show) == {"-q", "--quiet", "-v", "--verbose"}


def test_show_prints_names_of_files_as_they_are(tmp_path: Path) -> None:
    command = [*PROGRAM, "config", "show", "--log-file", os.fsdecode(b"/\xff\n"), "--name", "x"]
    run = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, timeout=SECONDS)
    assert (run.returncode, run.stderr) == (0, b"")
    assert b'\nfile = "/\xff\\n" ' in run.stdout


# check


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[server]\nprot = 1\n", ":2: no setting is called server.prot; did you mean server.port?"),
        ("\n[server]\nport = 'x'\n", ":3: server.port: 'x' is not a whole number from 0 to 65535"),
        (
            "server = 1\n",
            ":1: server is a table: write [server], and below it host, port, listen, socket_mode, workers, ",
        ),
        ("[loog]\n", ":1: no table is called loog; did you mean log?"),
        ("[zzz]\n", ":1: no table is called zzz; there are: site, server, "),
        ("[[log]]\n", ":1: log is a table: write [log], and below it file, format, max_size, keep"),
        ("server.workers = 'atuo'\n", ":1: server.workers: 'atuo' is not a whole number from 1 to 1024, or auto"),
        ("[server]\nipc = 'sockpair'\n", ":2: server.ipc: no transport 'sockpair'; there are: "),
        ("[site]\nroot = 'gone'\n", ":2: site.root: no such folder: "),
        ("a = 1\nb = \n", ":2: this is not TOML: Invalid value, column 5"),
        ("a = 1\na = 2\n", ":2: this is not TOML: Cannot overwrite a value, column 6"),
        ("[log]\nformat = 'x'\n", ":2: log.format: 'x' is not a log format; there are: "),
    ],
)
def test_check_names_file_line_key_and_what_is_allowed(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "wsrv.toml").write_text(text)
    run = wsrv("config", "check", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"wsrv: wsrv.toml{fault}")
    assert run.stderr.count("\n") == 1


def test_check_tells_every_fault_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        "[log]\nkeep = -1\n[server]\nport = 'x'\nipc = 'y'\nz = 1\n[cache]\npolicy = 'w'\n"
    )
    run = wsrv("config", "check", "x.toml", cwd=tmp_path)
    assert run.returncode == 1
    lines = [int(line.partition("x.toml:")[2].partition(":")[0]) for line in run.stderr.splitlines()]
    assert lines == [2, 4, 6, 5, 8]


def test_a_fault_is_a_line_that_can_be_printed_whatever_the_file_holds(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text('"a\\nwsrv: all is well\\u001b[2J" = 1\n')
    run = wsrv("config", "check", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert r"no setting is called a\nwsrv: all is well\x1b[2J; " in line
    (tmp_path / "server.conf").write_text("LOG_LEVEL=\x1b[2J\n")
    run = wsrv("config", "check", "server.conf", cwd=tmp_path)
    assert r"LOG_LEVEL=\x1b[2J is no setting" in run.stderr


def test_check_of_a_server_conf_passes_on_what_is_not_heeded(tmp_path: Path) -> None:
    (tmp_path / "server.conf").write_text("PORT=80\nLOG_LEVEL=DEBUG\n")
    run = wsrv("config", "check", "server.conf", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, f"{tmp_path}/server.conf: 1 setting, no fault\n")
    assert "LOG_LEVEL=DEBUG is no setting: -v says more" in run.stderr


@pytest.mark.parametrize("args", [[], ["gone.toml"], ["."]])
def test_check_of_nothing_is_usage(tmp_path: Path, args: list[str]) -> None:
    run = wsrv("config", "check", *args, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)


def test_check_looks_at_the_file_of_the_environment_and_at_no_other_layer(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("server.port = 1\n")
    run = wsrv("config", "check", cwd=tmp_path, env={"WSRV_CONFIG": "x.toml", "WSRV_PORT": "nonsense"})
    assert (run.returncode, run.stdout) == (0, "x.toml: 1 setting, no fault\n")


def test_check_warns_of_variables_that_no_setting_has(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").write_text("server.port = 1\n")
    run = wsrv("config", "check", cwd=tmp_path, env={"WSRV_WORKER": "2", "WSRV_PORT": "3"})
    assert (run.returncode, run.stdout) == (0, "wsrv.toml: 1 setting, no fault\n")
    assert run.stderr == (
        "wsrv: warning: WSRV_WORKER is set, and no setting has that variable; did you mean WSRV_WORKERS?\n"
    )


# import


def test_import_writes_what_server_conf_says(tmp_path: Path) -> None:
    (tmp_path / "server.conf").write_text("PORT = 81 # x\nDOCUMENT_ROOT=./www\nCACHE_SIZE_MB=10\nLOG_LEVEL=ERROR\n")
    run = wsrv("config", "import", "server.conf", "-o", "wsrv.toml", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", f"wsrv: wrote {tmp_path}/wsrv.toml\n")
    text = (tmp_path / "wsrv.toml").read_text()
    assert tomllib.loads(text) == {"site": {"root": "./www"}, "server": {"port": 81}, "cache": {"size": "10MiB"}}
    assert f"\n# {tmp_path}/server.conf:4: LOG_LEVEL=ERROR is no setting: -q leaves nothing but errors\n" in text
    assert re.search(r'^size = "10MiB" +# CACHE_SIZE_MB: here for all workers together$', text, re.MULTILINE)


def test_import_to_another_folder_makes_paths_absolute(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/server.conf").write_text("DOCUMENT_ROOT=www\n")
    run = wsrv("config", "import", "old/server.conf", cwd=tmp_path)
    assert tomllib.loads(run.stdout) == {"site": {"root": f"{tmp_path}/old/www"}}


def test_import_of_faults_writes_nothing_and_tells_all(tmp_path: Path) -> None:
    (tmp_path / "server.conf").write_text("PORT=x\nWORKERS=2\n")
    run = wsrv("config", "import", "-o", "wsrv.toml", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        f"wsrv: {tmp_path}/server.conf:1: PORT: 'x' is not a whole number from 0 to 65535",
        f"wsrv: {tmp_path}/server.conf:2: no key is called WORKERS; did you mean NUM_WORKERS?",
    ]
    assert not (tmp_path / "wsrv.toml").exists()


def test_import_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "server.conf").write_text("PORT=1\n")
    (tmp_path / "wsrv.toml").write_text("mine")
    assert wsrv("config", "import", "-o", "wsrv.toml", cwd=tmp_path).returncode == 2
    assert (tmp_path / "wsrv.toml").read_text() == "mine"
    assert wsrv("config", "import", "-o", "wsrv.toml", "--force", cwd=tmp_path).returncode == 0
    assert tomllib.loads((tmp_path / "wsrv.toml").read_text()) == {"server": {"port": 1}}


def test_import_of_toml_is_usage(tmp_path: Path) -> None:
    (tmp_path / "wsrv.toml").touch()
    run = wsrv("config", "import", "wsrv.toml", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert "is TOML already" in run.stderr


def test_unknown_command_is_usage() -> None:
    run = wsrv("config", "chekc")
    assert run.returncode == 2
    assert "chekc" in run.stderr
