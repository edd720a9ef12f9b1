# What holds for all tests.
#
# In CI (the variable CI is set) a skipped test fails: a test that did not run has shown nothing. A response that a test
# reads and httplint finds fault with fails the test that read it.
#
# `make test` runs files side by side (pytest-xdist, --dist loadfile: a file stays in one process; a server of a module
# is started once). A test is marked `alone` when it asserts how long something takes, or looks at what belongs to the
# whole machine: nothing else runs meanwhile, and its file comes last. What a test needs besides is of its own: a free
# port, tmp_path, names with the pid in them. Who asks only about his own children, descriptors, folders needs no mark.
"""Hooks for the whole suite."""

import os
import signal
from collections.abc import Generator, Iterator
from typing import TypeVar

import hypothesis
import pytest

from tests.support.alone import Machine
from tests.support.forkserver import forkserver
from tests.support.lint import Tap

# readline, which pytest loads, exports the size of a terminal, and xdist's workers inherit it.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# A run in the background or under nohup is born deaf to these, and all that it starts; tests send them.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)

# How long an example takes is the machine's affair: no test asserts a time.
hypothesis.settings.register_profile("wsrv", deadline=None)
hypothesis.settings.load_profile("wsrv")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def fail_if_skipped(report: Report) -> Report:
    """The report, failed instead of skipped when in CI. An expected failure (xfail) stays what it is."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a skipped test fails in CI: {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return fail_if_skipped((yield))


_MACHINE = pytest.StashKey[Machine]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # a process of xdist: there are others
        machine = config.stash[_MACHINE] = Machine(config.rootpath)
        config.add_cleanup(machine.close)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    machine = item.config.stash.get(_MACHINE, None)
    if machine is None:
        return (yield)
    with machine.held(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a test that is alone come last: the processes have then nothing else to wait with."""
    late = {item.path for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: item.path in late)


@pytest.fixture(scope="session", autouse=True)
def _tap() -> Iterator[Tap]:
    tap = Tap()
    with tap.open():
        yield tap


@pytest.fixture(scope="session", autouse=True)
def _fork_server() -> None:
    """There before any test counts its descriptors and children."""
    forkserver()


@pytest.fixture(autouse=True)
def _no_fault_in_responses(_tap: Tap, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing that came over a socket since the test before deserves a word of httplint's."""
    yield
    found = _tap.verdict()
    assert not found or request.node.get_closest_marker("not_linted"), "\n".join(["httplint:", *found])
