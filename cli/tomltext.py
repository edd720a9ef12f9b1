# wsrv.toml, written: the commented file of `wsrv config init`, what `show` prints, what `import` makes.
#
# Rule 1: whatever is written here, cli/tomlfile.py reads back to the same values.
# Rule 2: in the commented file a "#" before a key, and only that, has no space after it: take it away, and the setting
#         is made. Prose has one.
"""Settings as TOML with comments."""

from collections.abc import Mapping
from typing import Any

from wsrv.cli import contenttypes, rules
from wsrv.cli.configfile import ConfigFile
from wsrv.cli.table import FILE_NAME, SETTINGS, Setting, by_table
from wsrv.cli.units import Part
from wsrv.cli.values import Value

_HEADING = f"""\
# {FILE_NAME}: settings of wsrv.
#
# Every setting there is, with its default. To change one, take the "#" before its name away.
# Options of `wsrv serve` and WSRV_ variables outrank this file. A relative path begins at the folder of this file.
# Sizes: 64MiB, 10MB, 512k (= KiB), plain bytes.  Times: 500ms, 30s, 2m, 1h, plain seconds.
#
# `wsrv config check` finds what is wrong here, `wsrv config show` tells what is in force and why.
"""

_TYPES = f"""
# Content types by suffix, beside those that wsrv knows; text is UTF-8 unless it says otherwise.
#
#     [{contenttypes.TABLE}]
#     ".foo" = "text/x-foo"
"""

# Beyond the width of this column a comment follows at once.
_COMMENT_COLUMN = 40


def commented(part_names: Mapping[str, list[str]]) -> str:
    """The file with every setting, its meaning and its default, commented out. `part_names` by kind of part."""
    pieces = [_HEADING]
    for table, settings in by_table():
        pieces.append(f"\n[{table}]\n")
        pieces.append("\n".join(_explained(setting, part_names) for setting in settings))
    pieces += [_TYPES, "\n", *map(_exemplified, rules.ARRAYS)]
    return "".join(pieces)


def shown(values: Mapping[str, Value], file: ConfigFile | None) -> str:
    """The values in force, each with where it comes from."""
    pieces = [_comment(f"settings file: {f'none, there is no ./{FILE_NAME}' if file is None else file.path}")]
    for table, settings in by_table():
        pieces.append(f"\n[{table}]\n")
        for setting in settings:
            value = values[setting.key]
            pieces.append(_with_comment(_line(setting, value.value), _source(setting, value)))
    pieces += _types(values[contenttypes.TABLE].value, file)
    return "".join([*pieces, *(_rows(array, values[array.name].value) for array in rules.ARRAYS)])


def imported(file: ConfigFile, values: Mapping[str, Value], comments: Mapping[str, str]) -> str:
    """The settings that `file` makes; each line names the one that it was made of, `comments` add to that."""
    pieces = [_comment(f"made of {file.path} by `wsrv config import`"), *map(_comment, file.notes)]
    for table, settings in by_table():
        made = [setting for setting in settings if setting.key in file.entries]
        pieces += [f"\n[{table}]\n"] if made else []
        for setting in made:
            comment = comments.get(setting.key)
            text = file.names.get(setting.key, setting.key) + (f": {comment}" if comment else "")
            pieces.append(_with_comment(_line(setting, values[setting.key].value), text))
    return "".join(pieces)


def document(values: Mapping[str, Value], file: ConfigFile | None) -> dict[str, Any]:
    """What `shown` says, for scripts. Sizes are bytes, times seconds."""
    return {
        "schema": 1,
        "file": None if file is None else str(file.path),
        "settings": {
            setting.key: {
                "value": values[setting.key].value,
                "layer": values[setting.key].layer,
                "origin": values[setting.key].origin,
                "flag": setting.flag or None,
                "variable": setting.variable,
            }
            for setting in SETTINGS
        },
        "types": values[contenttypes.TABLE].value,
        "rules": {array.name: rules.written(array, values[array.name].value) for array in rules.ARRAYS},
    }


def _types(types: Mapping[str, str], file: ConfigFile | None) -> list[str]:
    """The table of content types, where there is one."""
    import tomli_w

    if not types or file is None:
        return []
    lines = [tomli_w.dumps({suffix: kind}).rstrip("\n") for suffix, kind in types.items()]
    return [f"\n[{contenttypes.TABLE}]\n", *(_with_comment(line, str(file.path)) for line in lines)]


def _explained(setting: Setting, part_names: Mapping[str, list[str]]) -> str:
    allowed = setting.kind.allowed_text
    if isinstance(setting.kind, Part) and part_names:
        allowed += f"; there are: {', '.join(part_names[setting.kind.kind])}"
    if setting.auto:
        allowed += f": {setting.auto}"
    also = f"{setting.flag}, {setting.variable}" if setting.flag else setting.variable
    return f"# {setting.help}\n# {allowed[0].upper()}{allowed[1:]}.  Also: {also}\n#{_line(setting, None)}\n"


def _exemplified(array: rules.Array) -> str:
    """An array of tables, explained: prose, so that nothing is made of it by taking a "#" away."""
    keys = [f"  {key.name:8}  {key.help}" for key in array.keys if key.default is not None]
    example = [f"    {line}" for line in (f"[[{array.name}]]", *array.example.splitlines())]
    return "".join(f"# {line}".rstrip() + "\n" for line in (array.help, *keys, "", *example)) + "\n"


def _rows(array: rules.Array, rows: tuple[rules.Row, ...], prefix: str = "") -> str:
    """The tables of an array, each with where it comes from."""
    import tomli_w

    pieces = []
    for row, table in zip(rows, rules.written(array, rows), strict=True):
        header = f"{prefix}{array.name}"
        source = row.origin.removesuffix(f": {header}")
        plain = {name: value for name, value in table.items() if not isinstance(value, dict | list)}
        pieces += ["\n", _with_comment(f"[[{header}]]", source), tomli_w.dumps(plain)]
        for name, value in table.items():
            if isinstance(value, dict):
                pieces.append(f"[{header}.{name}]\n{tomli_w.dumps(value)}")
        pieces += [_rows(one, row.rows[one.name], f"{header}.") for one in array.inner]
    return "".join(pieces)


def _line(setting: Setting, value: Any) -> str:
    """The line that makes the setting; None stands for its default, as the table writes it."""
    import tomli_w

    written = setting.default if value is None else setting.kind.write(value)
    return tomli_w.dumps({setting.name: written}).rstrip("\n")


def _source(setting: Setting, value: Value) -> str:
    if value.layer == "file":
        return value.origin.removesuffix(f": {setting.key}")
    if value.layer == "default" and setting.auto:
        return f"{value.origin}: {setting.auto}"
    return value.origin


def _with_comment(line: str, text: str) -> str:
    return f"{line:{_COMMENT_COLUMN}}  {_comment(text)}"


def _comment(text: str) -> str:
    """`text` as a comment of one line, whatever is in it: names of files may hold anything."""
    return f"# {''.join(c if c.isprintable() else '�' for c in text)}\n"
