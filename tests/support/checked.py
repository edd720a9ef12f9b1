# Files that say what they must be, and clients that believe nothing.
#
#   file      sha256 of the rest | the rest
#   answer    whole by its Content-Length, its hash right, and one ETag never with two bodies
"""Clients that check every body by its hash, while somebody does things to the server or to its files."""

import os
import random
import socket
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.support.server import Answer, read_all

BOUND_SECONDS = 10.0
_HASH_BYTES = 32


def sealed(text: bytes) -> bytes:
    """A file that holds `text` and its hash."""
    return sha256(text).digest() + text


def sealed_well(content: bytes) -> bool:
    """Whether this is a file that `sealed` has made."""
    return sha256(content[_HASH_BYTES:]).digest() == content[:_HASH_BYTES]


def put(path: Path, content: bytes) -> None:
    """Let `path` have this content from one moment to the next."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)


class Checkers:
    """Clients, a thread each, that ask for `targets` at random until they are to stop. A context manager.

    `answered` counts answers 200 that came whole, `missing` those that were 404, `broken` connections that ended early;
    `faults` says what should never have been seen.
    """

    def __init__(self, port: int, targets: Sequence[str], clients: int = 3) -> None:
        self._port = port
        self._targets = targets
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._bodies: dict[str, bytes] = {}
        self._threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(clients)]
        self.answered = self.missing = self.broken = 0
        self.faults: list[str] = []

    def __enter__(self) -> "Checkers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._enough.is_set():
            target = chance.choice(self._targets)
            try:
                answer = self._get(target)
                length = int(answer.fields["content-length"])
            except (OSError, IndexError, ValueError, KeyError):
                # Whoever answered was killed.
                answer, length = None, 0
            with self._lock:
                self._judge(target, answer, length)

    def _get(self, target: str) -> Answer:
        with socket.create_connection(("127.0.0.1", self._port), BOUND_SECONDS) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            return Answer(read_all(sock))

    def _judge(self, target: str, answer: Answer | None, length: int) -> None:
        if answer is None or len(answer.body) < length:
            self.broken += 1
        elif answer.status == 404:
            self.missing += 1
        elif answer.status != 200 or len(answer.body) > length:
            self.faults.append(f"{target}: {answer.status} with {len(answer.body)} of {length} bytes")
        else:
            self.answered += 1
            body = answer.body
            if not sealed_well(body):
                self.faults.append(f"{target}: torn, {length} bytes")
            known = self._bodies.setdefault(f"{target} {answer.fields['etag']}", body[:_HASH_BYTES])
            if known != body[:_HASH_BYTES]:
                self.faults.append(f"{target}: one ETag, two contents")
