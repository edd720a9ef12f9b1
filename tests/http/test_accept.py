"""Accept: pages and JSON."""

import pytest

from wsrv.engine.http.accept import names_html, prefers_json, prefers_openmetrics, takes_anything

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html", "json"),
    [
        (BROWSER, True, False),
        (b"*/*", False, False),
        (None, False, False),
        (b"", False, False),
        (b"application/json", False, True),
        (b"Application/JSON, */*", False, True),
        (b"application/json;q=0.5, text/html", True, False),
        (b"application/json, text/html;q=0.9", True, True),
        (b"application/json, text/html", True, False),
        (b"text/html;q=0, application/json;q=0", False, False),
        (b"text/html;level=1;q=0.4", True, False),
        (b"text/html ; q = 1.000", True, False),
        (b"text/html;q=2", False, False),
        (b"text/html;q=-1", False, False),
        (b"text/htmlx, text/*", False, False),
        (b"," * 10_000 + b"text/html", False, False),
    ],
)
def test_accept(accept: bytes | None, html: bool, json: bool) -> None:
    assert (names_html(accept), prefers_json(accept)) == (html, json)


@pytest.mark.parametrize(
    ("accept", "anything"),
    [(None, True), (b"", True), (b"*/*", True), (BROWSER, False), (b"*/*;q=0.8", False), (b"text/*", False)],
)
def test_a_client_without_a_wish_is_known(accept: bytes | None, anything: bool) -> None:
    assert takes_anything(accept) is anything


# As Prometheus 2 sends it.
PROMETHEUS = (
    b"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    b"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROMETHEUS, True),
        (b"application/openmetrics-text", True),
        (b"text/plain;version=0.0.4;q=0.5, application/openmetrics-text;q=0.4", False),
        (b"application/openmetrics-text;q=0", False),
        (b"*/*", False),
        (None, False),
    ],
)
def test_openmetrics_is_for_who_prefers_it_by_name(accept: bytes | None, wanted: bool) -> None:
    assert prefers_openmetrics(accept) is wanted
