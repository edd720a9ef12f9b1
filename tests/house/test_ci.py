"""What CI makes of a test that did not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once("of the repository, not of the server")

REPOSITORY = Path(__file__).resolve().parents[2]

ONE_TEST = "import pytest\n@pytest.mark.skip(reason='no browser here')\ndef test_it():\n    pass\n"
WHOLE_FILE = "import pytest\npytest.skip('no browser here', allow_module_level=True)\n"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"


def outcome(folder: Path, test: str, ci: bool) -> tuple[int, str]:
    """Exit status and output of pytest over this one file, under the hooks of tests/conftest.py."""
    (folder / "test_sample.py").write_text(test)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PYTHONPATH": str(REPOSITORY)} | ({"CI": "true"} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, "--rootdir", str(folder)]
    run = subprocess.run([*command, str(folder)], env=environment, cwd=folder, capture_output=True, text=True)
    return run.returncode, run.stdout


@pytest.mark.parametrize("test", [ONE_TEST, WHOLE_FILE])
def test_a_skipped_test_fails_in_ci_and_says_why(tmp_path: Path, test: str) -> None:
    status, output = outcome(tmp_path, test, ci=True)
    assert status != 0
    assert "a skipped test fails in CI" in output
    assert "no browser here" in output


def test_a_skipped_test_is_a_skip_outside_of_ci(tmp_path: Path) -> None:
    status, output = outcome(tmp_path, ONE_TEST, ci=False)
    assert status == 0
    assert "1 skipped" in output


def test_an_expected_failure_is_none_in_ci(tmp_path: Path) -> None:
    status, output = outcome(tmp_path, EXPECTED_FAILURE, ci=True)
    assert status == 0
    assert "1 xfailed" in output
