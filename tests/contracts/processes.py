"""Moved."""

from wsrv.testing.processes import *  # noqa: F403
