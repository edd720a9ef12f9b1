"""Basic credentials: read, and asked for."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.basic import Credentials, challenge, credentials_in


@given(st.binary().filter(lambda b: b":" not in b), st.binary())
def test_what_a_client_sends_is_read(user: bytes, password: bytes) -> None:
    token = base64.b64encode(user + b":" + password)
    assert credentials_in(b"Basic " + token) == Credentials(user, password)
    assert credentials_in(b"bASIC  " + token) == Credentials(user, password)


@pytest.mark.parametrize(
    "field",
    [
        *(None, b"", b"Basic", b"Basic ", b"Basic !", b"Basic YQ==", b"Bearer YTpi", b"Basic YTpi YTpi", b"BasicYTpi"),
        *(b"Digest YTpi", b"Basic YTpi, Basic YTpi", b"Basic YTp", b"Basic \xff"),
    ],
)
def test_what_is_not_basic_is_nothing(field: bytes | None) -> None:
    assert credentials_in(field) is None


def test_challenge_quotes_the_realm() -> None:
    assert challenge('a "b" \\ c') == b'Basic realm="a \\"b\\" \\\\ c", charset="UTF-8"'
