# Against listeners of the test's own, which answer as told.
"""What `wsrv reload --verify` counts."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wsrv.cli.exits import Stop
from wsrv.cli.verifying import CLIENTS, Verification, connection_to

pytestmark = pytest.mark.not_linted("made up by the test")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REQUESTS = 40


@contextmanager
def answering(answer: Callable[[int], bytes]) -> Iterator[tuple[str, Callable[[], int]]]:
    """A listener that gives each connection `answer` of its number; its URL, and how many there were."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        count = 0

        def serve() -> None:
            nonlocal count
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    count += 1
                    client.sendall(answer(count))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: count
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("bad", "reason"), [(b"", "RemoteDisconnected"), (UNAVAILABLE, "503"), (b"HTTP/1.1 2", "BadStatusLine")]
)
def test_a_request_without_a_good_answer_is_dropped(bad: bytes, reason: str) -> None:
    worse = 2 * CLIENTS + 3
    with answering(lambda number: bad if number == worse else ANSWER) as (url, count):
        with Verification([url]) as verification:
            verification.until(lambda: count() >= REQUESTS)
        report = verification.report()
        assert report["requests"] == count()
    assert report["dropped"] == {reason: 1}


def test_good_answers_are_counted_and_nothing_is_dropped() -> None:
    with answering(lambda number: ANSWER) as (url, count):
        with Verification([url]) as verification:
            verification.until(lambda: count() >= REQUESTS)
        assert verification.report() == {"requests": count(), "dropped": {}}


def test_who_does_not_answer_at_all_cannot_be_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsrv.cli.verifying._TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(Stop, match="nothing can be verified"), Verification([url]):
            pass


def test_a_wildcard_and_a_path_are_reached_from_here(tmp_path: Path) -> None:
    assert connection_to("http://0.0.0.0:80").host == "127.0.0.1"
    assert connection_to("http://[::]:80").host == "::1"
    assert connection_to("https://localhost:443").port == 443
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        connection = connection_to(f"unix:{path}")
        connection.connect()
        connection.close()
