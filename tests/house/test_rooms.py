# The shape of the repository: links, packages, import contracts.
"""The rooms are where the package looks for them, and know only whom they may know."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# What the links are called, and where they lead.
ROOMS = {"cli": "cli", "engine": "engine", "plugins": "plugins", "testing": "tests/suites", "www": "www"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_link_of_each_room_leads_to_it(room: str) -> None:
    assert (REPOSITORY / ".dev" / "wsrv" / room).resolve(strict=True) == REPOSITORY / ROOMS[room]


def test_the_package_is_found_through_the_links_and_nowhere_else() -> None:
    import wsrv

    assert [Path(portion).resolve() for portion in wsrv.__path__] == [REPOSITORY / ".dev" / "wsrv"]


@pytest.mark.parametrize("room", ["cli", "engine", "plugins", "tests/suites"])
def test_every_folder_with_modules_is_a_package(room: str) -> None:
    # Without __init__.py a folder is out of sight of the import contracts.
    folders = {module.parent for module in (REPOSITORY / room).rglob("*.py")}
    assert folders
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
