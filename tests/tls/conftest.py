"""Fixtures for engine/tls: an authority, certificates, and connections over them."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.certificates import Authority
from tests.tls.clients import Ends
from wsrv.engine.tls.certificates import Certificates


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="package")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.client()


@pytest.fixture(scope="package")
def certificates(authority: Authority) -> Certificates:
    return Certificates([authority.issue("localhost", stem="session")])


@pytest.fixture
def ends(certificates: Certificates, context: ssl.SSLContext) -> Iterator[Callable[[], Ends]]:
    """Makes connections, closed at the end of the test."""
    with ExitStack() as undo:
        yield lambda: undo.enter_context(Ends(certificates, context))
