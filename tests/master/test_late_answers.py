"""Answers of the control socket that come later, and in parts."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.master.loop import control_loop
from tests.support.server import wait_for
from wsrv.engine.master.ask import NoAnswer, Refused, ask, ask_on
from wsrv.engine.master.control import Reply, listen
from wsrv.engine.master.message import LENGTH, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, pack
from wsrv.engine.master.runtime import RuntimeFolder

PAGE = {"text": "x" * 60_000}


class Late:
    """Handlers that answer later, and what they have seen."""

    def __init__(self) -> None:
        self.taken = 0
        self.gone = threading.Event()
        self.waiting: list[Reply] = []

    def count(self, request: dict[str, Any], reply: Reply) -> None:
        """Pages 1 to n, each when the one before was taken."""
        self._page(1, request["n"], reply)

    def _page(self, number: int, last: int, reply: Reply) -> None:
        if number == last:
            reply.end({"page": number})
        else:
            reply.part({"page": number}, lambda: self._page(number + 1, last, reply))

    def pour(self, request: dict[str, Any], reply: Reply) -> None:
        """Long pages without end, each when the one before was taken."""
        reply.when_gone = self.gone.set

        def taken() -> None:
            self.taken += 1
            reply.part(PAGE, taken)

        reply.part(PAGE, taken)

    def wait(self, request: dict[str, Any], reply: Reply) -> None:
        reply.when_gone = self.gone.set
        self.waiting.append(reply)

    def fail(self, request: dict[str, Any], reply: Reply) -> None:
        raise ValueError("no question")

    def boast(self, request: dict[str, Any], reply: Reply) -> None:
        reply.end({"text": "x" * MAX_ANSWER_BYTES})


@pytest.fixture
def late() -> Late:
    return Late()


@pytest.fixture
def path(tmp_path: Path, late: Late) -> Iterator[Path]:
    handlers = {"now": lambda request: {"now": True}}
    calls: dict[str, Callable[[dict[str, Any], Reply], None]] = {
        name: getattr(late, name) for name in ("count", "pour", "wait", "fail", "boast")
    }
    with RuntimeFolder.claim(tmp_path / "run", "x") as folder, control_loop(listen(folder), handlers, calls):
        yield folder.socket_path


def send(path: Path, command: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect(str(path))
    client.sendall(pack({"command": command}, MAX_REQUEST_BYTES))
    return client


def test_parts_come_in_order_and_all_but_the_last_say_that_there_is_more(path: Path) -> None:
    parts = list(ask_on(path, {"command": "count", "n": 4}))
    assert parts == [{"page": n, "more": True} for n in (1, 2, 3)] + [{"page": 4}]


def test_one_answer_is_one_part(path: Path) -> None:
    assert list(ask_on(path, {"command": "now"})) == [{"now": True}]
    assert ask(path, {"command": "count", "n": 1}) == {"page": 1}


def test_who_takes_nothing_is_not_written_for(path: Path, late: Late) -> None:
    """What is asked for next waits until the client has taken what there is; when he leaves, that is told."""
    with send(path, "pour") as client:
        client.recv(LENGTH.size)
        wait_for(lambda: late.taken >= 1, "the kernel to take the first page")
        for _ in range(20):
            assert ask(path, {"command": "now"}) == {"now": True}, "others are answered meanwhile"
        full = late.taken
        assert full < 20, "the kernel keeps some pages, and nobody else does"
        received = 0
        while late.taken == full:
            received += len(client.recv(65536))
            assert received < 20 * len(PAGE["text"]), "all was taken, and nothing more came"
    assert late.gone.wait(10)


def test_a_client_that_leaves_is_noticed_while_it_waits(path: Path, late: Late) -> None:
    client = send(path, "wait")
    wait_for(lambda: late.waiting, "the question")
    client.close()
    assert late.gone.wait(10)
    # What is said to it now is lost and harms nobody.
    late.waiting[0].end({"late": True})
    assert ask(path, {"command": "now"}) == {"now": True}


def test_a_handler_that_refuses_is_an_error_as_ever(path: Path) -> None:
    with pytest.raises(Refused, match="no question"):
        ask(path, {"command": "fail"})


def test_a_part_that_is_too_long_is_an_error(path: Path) -> None:
    with pytest.raises(Refused, match=str(MAX_ANSWER_BYTES)):
        ask(path, {"command": "boast"})


def test_an_answer_that_never_comes_ends_in_time(path: Path) -> None:
    with pytest.raises(NoAnswer, match="does not answer within"):
        ask(path, {"command": "wait"}, timeout_seconds=0.2)
