"""The table [types] of wsrv.toml: read, refused, shown and served by."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.launch import environment
from tests.support.server import WSRV
from wsrv.cli import configfile
from wsrv.cli.exits import Stop
from wsrv.cli.parts import choose
from wsrv.cli.serve import engine_settings, with_types
from wsrv.cli.values import in_force, resolve
from wsrv.engine.settings import Settings


def settings(folder: Path, text: str) -> Settings:
    (folder / "wsrv.toml").write_text(text)
    file = configfile.read(folder / "wsrv.toml")
    return engine_settings(in_force(resolve({}, {}, file)), file)


def config(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [*WSRV, "config", *args]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=30)


def test_types_reach_the_site_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = '[types]\n".foo" = "text/x-foo"\n".BAR" = "application/x-bar; v=1"\n'
    assert settings(tmp_path, text).site.types == ((".foo", "text/x-foo"), (".bar", "application/x-bar; v=1"))
    assert settings(tmp_path, "types = { '.foo' = 'a/b' }\n").site.types == ((".foo", "a/b"),)
    for empty in ("", "[types]\n"):
        assert settings(tmp_path, empty).site.types == ()


def test_the_file_outranks_plugins(tmp_path: Path) -> None:
    found = with_types(settings(tmp_path, '[types]\n".foo" = "text/x-mine"\n'), ((".foo", "text/x-theirs"),))
    assert found.site.types == ((".foo", "text/x-theirs"), (".foo", "text/x-mine"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('foo = "text/x-foo"', "types: 'foo' is not a suffix such as \".foo\", with one dot"),
        ('".tar.gz" = "text/x-foo"', "types: '.tar.gz' is not a suffix"),
        ('"." = "text/x-foo"', "types: '.' is not a suffix"),
        ('".a b" = "text/x-foo"', "types: '.a b' is not a suffix"),
        ('".a/b" = "text/x-foo"', "types: '.a/b' is not a suffix"),
        ('".ü" = "text/x-foo"', "types: '.ü' is not a suffix"),
        ('".foo" = "text"', "types: .foo: 'text' is not a content type such as text/x-foo"),
        ('".foo" = ""', "types: .foo: '' is not a content type"),
        ('".foo" = "text/x foo"', "types: .foo: 'text/x foo' is not a content type"),
        ('".foo" = "text/plain\\r\\nX: 1"', "types: .foo: 'text/plain\\r\\nX: 1' is not a content type"),
        ('".foo" = "text/plain; charset"', "types: .foo: 'text/plain; charset' is not a content type"),
        ('".foo" = "täxt/plain"', "types: .foo: 'täxt/plain' is not a content type"),
        ('".foo" = 3', "types: .foo: 3 is not a content type"),
        ('".foo" = []', "types: .foo: [] is not a content type"),
        ('".foo" = "a/b"\n".FOO" = "a/c"', "types: .FOO stands there twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(Stop) as stop:
        settings(tmp_path, f"[server]\nport = 1\n[types]\n{line}\n")
    (message,) = str(stop.value).splitlines()
    place = rf"{re.escape(str(tmp_path / 'wsrv.toml'))}:[45]: "
    assert re.match(place, message)
    assert fault in message


def test_no_table_at_all_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"types is a table: write \[types\]"):
        settings(tmp_path, 'types = ".foo"\n')
    with pytest.raises(Stop, match=r"no table is called type; did you mean types\?"):
        settings(tmp_path, "[type]\n")


def test_show_prints_the_table_and_check_counts_it(tmp_path: Path) -> None:
    text = '[types]\n".foo" = "text/x-foo"\n".bar" = "a/b; c=\\"d\\""\n'
    (tmp_path / "wsrv.toml").write_text(text)
    assert "2 settings, no fault" in config(tmp_path, "check").stdout
    again = config(tmp_path, "show").stdout
    (tmp_path / "again.toml").write_text(again)
    wanted = {".foo": "text/x-foo", ".bar": 'a/b; c="d"'}
    for args in ((), ("--config", "again.toml")):
        assert json.loads(config(tmp_path, "show", "--json", *args).stdout)["types"] == wanted


def test_without_plugins_there_are_no_types_of_theirs(tmp_path: Path) -> None:
    values = in_force(resolve({}, {}, None))
    assert choose(values, settings(tmp_path, "").cache).types == ()
