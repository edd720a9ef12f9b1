"""Moved."""

from wsrv.testing.tcp import *  # noqa: F403
