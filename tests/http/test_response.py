"""Heads of responses."""

import h11
import pytest

from wsrv.engine.http.dates import http_date
from wsrv.engine.http.response import HeadTemplate, build_head
from wsrv.engine.http.status import REASONS

DATE = http_date(784_111_777)
FIELDS = [(b"Content-Type", b"text/html; charset=utf-8"), (b"Content-Length", b"0")]


def test_a_head_is_written_to_the_letter() -> None:
    assert build_head(200, FIELDS, b"close").render(DATE) == (
        b"HTTP/1.1 200 OK\r\n"
        b"Server: wsrv\r\n"
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n"
        b"Content-Length: 0\r\n"
        b"Connection: close\r\n"
        b"\r\n"
    )


def test_without_a_connection_option_there_is_no_connection_field() -> None:
    assert build_head(404, []).render(DATE) == (
        b"HTTP/1.1 404 Not Found\r\nServer: wsrv\r\nDate: " + DATE + b"\r\n\r\n"
    )


def test_only_the_date_stands_between_the_parts() -> None:
    assert HeadTemplate(b"a", b"c").render(b"b") == b"abc"


@pytest.mark.parametrize("status", [status for status in REASONS if status >= 200])
@pytest.mark.parametrize("connection", [b"", b"close", b"keep-alive"])
def test_h11_reads_every_status_as_it_was_meant(status: int, connection: bytes) -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(build_head(status, FIELDS, connection).render(DATE))
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    assert response.reason == REASONS[status]
    names = [name for name, _ in response.headers]
    assert names == [b"server", b"date", b"content-type", b"content-length"] + [b"connection"] * bool(connection)


@pytest.mark.parametrize("poison", [b"\r", b"\n", b"\r\nX: y", b"\0", b"\x1b", b"\x7f"])
def test_no_value_can_end_its_field(poison: bytes) -> None:
    for value in (b"a" + poison, poison + b"a", poison):
        with pytest.raises(ValueError, match="control character"):
            build_head(200, [(b"X", value)])


@pytest.mark.parametrize("name", [b"", b"X Y", b"X:", b"X\r\n", b"\xc3\xa9"])
def test_no_name_but_a_token_is_written(name: bytes) -> None:
    with pytest.raises(ValueError, match="no token"):
        build_head(200, [(name, b"a")])


def test_unknown_statuses_and_connection_options_are_refused() -> None:
    with pytest.raises(ValueError, match="status 299"):
        build_head(299, [])
    with pytest.raises(ValueError, match="connection"):
        build_head(200, [], b"upgrade")
