"""CONFIG.md says what the tables say."""

from pathlib import Path

from wsrv.cli.rules import ARRAYS
from wsrv.cli.serverconf import SETTING_OF
from wsrv.cli.table import SETTINGS

PAGE = Path(__file__).resolve().parents[2] / "CONFIG.md"


def documented() -> str:
    """The table of CONFIG.md."""
    rows = ["| key | default | flag | variable | meaning |", "|---|---|---|---|---|"]
    for setting in SETTINGS:
        flag = f"`{setting.flag}`" if setting.flag else ""
        default = f"`{setting.written_default}`: {setting.auto}" if setting.auto else f"`{setting.written_default}`"
        rows.append(f"| `{setting.key}` | {default} | {flag} | `{setting.variable}` | {setting.help} |")
    return "\n".join(rows)


def test_every_setting_is_documented_as_it_is() -> None:
    page = PAGE.read_text()
    assert documented() in page, f"CONFIG.md should have this table:\n{documented()}"


def test_every_array_of_tables_is_documented_with_all_its_keys() -> None:
    page = PAGE.read_text()
    for array in ARRAYS:
        about = page.partition(f"### `[[{array.name}]]`\n")[2].partition("\n#")[0]
        assert array.help in about
        for key in array.keys:
            assert key.default is None or f"| `{key.name}` | {key.help} |" in about, f"{array.name}.{key.name}"


def test_every_key_of_server_conf_is_documented() -> None:
    page = PAGE.read_text()
    for key, setting in SETTING_OF.items():
        assert f"| `{key}` | `{setting}` |" in page


def test_every_setting_that_waits_for_a_restart_is_named() -> None:
    named = ", ".join(f"`{setting.key}`" for setting in SETTINGS if setting.restart)
    sentence = f"A reload takes up every setting but these, which wait for a restart: {named};"
    assert sentence in PAGE.read_text(), f"CONFIG.md should have this: {sentence}"
