# What holds for all tests.
#
# In CI (the variable CI is set) a skipped test fails: a test that did not run has shown nothing. A response that a test
# reads and httplint finds fault with fails the test that read it.
"""Hooks for the whole suite."""

import os
from collections.abc import Generator, Iterator
from typing import TypeVar

import hypothesis
import pytest

from tests.support.lint import Tap

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


@pytest.fixture(scope="session", autouse=True)
def _tap() -> Iterator[Tap]:
    tap = Tap()
    with tap.open():
        yield tap


@pytest.fixture(autouse=True)
def _no_fault_in_responses(_tap: Tap, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing that came over a socket since the test before deserves a word of httplint's."""
    yield
    found = _tap.verdict()
    assert not found or request.node.get_closest_marker("not_linted"), "\n".join(["httplint:", *found])
