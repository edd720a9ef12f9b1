# What holds for all tests.
#
# In CI (the variable CI is set) a skipped test fails: a test that did not run has shown nothing.
"""Hooks for the whole suite."""

import os
from collections.abc import Generator
from typing import TypeVar

import hypothesis
import pytest

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
