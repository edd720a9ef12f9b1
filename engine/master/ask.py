# Rule 1: whatever the server does, stopped or gone or lying, ask() ends within its time and with one clear line.
"""Asking a running server over its control socket."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from wsrv.engine.master.message import LENGTH, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, Message, address, pack, parse

_READ_BYTES = 64 * 1024


class NoAnswer(Exception):
    """The server did not answer: it is not there, it is stopped, or it is too busy. The message is one line."""


class Refused(Exception):
    """The server answered with an error. The message is one line."""


def ask(socket_path: Path, request: Message, timeout_seconds: float = 5.0) -> Message:
    """The answer to `request` by the server behind `socket_path`.

    Raises NoAnswer when none came in time and Refused when the answer is an error.
    """
    return next(ask_on(socket_path, request, timeout_seconds))


def ask_on(socket_path: Path, request: Message, timeout_seconds: float = 5.0) -> Iterator[Message]:
    """Each part of the answer to `request`, as it comes; each has `timeout_seconds`. Raises as `ask` does."""
    until = time.monotonic() + timeout_seconds
    try:
        with _connect(socket_path, timeout_seconds) as sock:
            sock.sendall(pack(request, MAX_REQUEST_BYTES))
            while True:
                answer = _receive_message(sock, until)
                if "error" in answer:
                    raise Refused(str(answer["error"]))
                yield answer
                if answer.get("more") is not True:
                    return
                until = time.monotonic() + timeout_seconds
    except (TimeoutError, BlockingIOError) as error:
        raise NoAnswer(f"the server does not answer within {timeout_seconds:g} s; it may be stopped") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoAnswer("the server has no control socket") from error
    except (EOFError, ConnectionError) as error:
        raise NoAnswer("the server ended the connection without an answer") from error
    except PermissionError as error:
        raise NoAnswer("the server belongs to another user") from error
    except ValueError as error:
        raise NoAnswer(f"the answer cannot be read: {error}") from error


def _receive_message(sock: socket.socket, until: float) -> Message:
    (length,) = LENGTH.unpack(_receive(sock, LENGTH.size, until))
    if length > MAX_ANSWER_BYTES:
        raise NoAnswer(f"the server announces an answer of {length} bytes; the most is {MAX_ANSWER_BYTES}")
    return parse(_receive(sock, length, until))


@contextlib.contextmanager
def _connect(path: Path, timeout_seconds: float) -> Iterator[socket.socket]:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_seconds)
            sock.connect(address(path, folder))
            yield sock
    finally:
        os.close(folder)


def _receive(sock: socket.socket, size: int, until: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        piece = sock.recv(min(_READ_BYTES, size - len(received)))
        if not piece:
            raise EOFError
        received += piece
    return bytes(received)
