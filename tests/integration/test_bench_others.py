"""`wsrv bench` against servers of other kinds, and where there is none."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.integration.test_bench import bench, said
from tests.support.answering import Conversation, Start, always, conversations, requests

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def answering() -> Iterator[Start]:
    with conversations() as start:
        yield start


def once(answer: bytes) -> Conversation:
    """A server that answers, and closes."""

    def converse(sock: socket.socket) -> None:
        for _ in requests(sock):
            sock.sendall(answer)
            return

    return converse


def huge(head_bytes: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX: " + b"x" * head_bytes + b"\r\nContent-Length: 2\r\n\r\nok"


def silent(sock: socket.socket) -> None:
    list(requests(sock))


@pytest.mark.parametrize(
    ("conversation", "host", "statuses", "warning"),
    [
        (always(OK), "::1", {"200": 40}, ""),
        (always(b"HTTP/1.1 204 No Content\r\n\r\n"), "127.0.0.1", {"204": 40}, ""),
        (
            always(b"HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
            "127.0.0.1",
            {"301": 40},
            " answers 301: that is what is measured, not where it leads\n",
        ),
        (always(huge(100_000)), "127.0.0.1", {"200": 40}, ""),
        (once(b"HTTP/1.0 200 OK\r\n\r\nok"), "127.0.0.1", {"200": 40}, ""),
    ],
    ids=["ipv6", "204", "301", "huge head", "closed after each"],
)
def test_what_answers_is_measured(
    answering: Start, conversation: Conversation, host: str, statuses: dict[str, int], warning: str
) -> None:
    address, port = answering(conversation, host)
    url = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
    run = bench(url, "-n", "40", "-c", "4", "--warm-up", "0s", "--json")
    found = json.loads(run.stdout)
    assert (run.returncode, found["statuses"], found["failures"]) == (0, statuses, 0)
    assert said(run.stderr) == (f"wsrv: warning: {url}{warning}" if warning else "")


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        (once(b""), "it closes the connection without an answer"),
        (lambda sock: sock.sendall(b"SSH-2.0-x\r\n\r\n"), "what it sends is not HTTP/1, or its head is too long"),
        (
            once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
            "it closes the connection before its answer is whole",
        ),
        (always(huge(300_000)), "what it sends is not HTTP/1, or its head is too long"),
        (always(OK + OK), "it sends more answers than it was asked for"),
        (silent, "nothing comes within --timeout"),
    ],
    ids=["closes", "not http", "half an answer", "endless head", "two answers", "silent"],
)
def test_what_does_not_answer_is_told_in_a_line(answering: Start, conversation: Conversation, words: str) -> None:
    url = "http://{}:{}/".format(*answering(conversation))
    run = bench(url, "-n", "40", "--timeout", "500ms")
    assert (run.returncode, run.stdout, said(run.stderr)) == (3, "", f"wsrv: {url} does not answer: {words}\n")


def test_a_host_that_nobody_knows_is_told_in_a_line() -> None:
    run = bench("http://no-such-host.invalid/")
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr == "wsrv: http://no-such-host.invalid/: the host no-such-host.invalid is not known\n"


def test_a_run_without_an_answer_has_measured_nothing(answering: Start) -> None:
    asked: list[socket.socket] = []

    def converse(sock: socket.socket) -> None:
        asked.append(sock)
        if len(asked) == 1:
            once(OK)(sock)

    url = "http://{}:{}/".format(*answering(converse))
    run = bench(url, "-n", "8", "-c", "2", "--warm-up", "0s", "--no-keepalive", "--json")
    assert run.returncode == 3
    assert json.loads(run.stdout)["failures"] == 8
    assert said(run.stderr).startswith(f"wsrv: {url} has answered nothing: ")
