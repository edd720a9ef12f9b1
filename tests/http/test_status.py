"""Reason phrases."""

import re
from http import HTTPStatus

import pytest

from wsrv.engine.http.status import REASONS

PLANNED = (200, 204, 206, 301, 304, 400, 403, 404, 405, 408, 412, 413, 414, 416, 417, 429, 431, 500, 501, 503, 505)


@pytest.mark.parametrize("status", sorted({*PLANNED, *REASONS}))
def test_every_status_has_a_phrase_and_is_registered(status: int) -> None:
    assert HTTPStatus(status)
    assert re.fullmatch(rb"[A-Z][A-Za-z -]+", REASONS[status])
