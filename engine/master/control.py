# The control socket's end in the master.
#
# Rule 1: the master never waits for a client. Every client has a bound of time, all of them a bound of number.
# Rule 2: only root and the user whose server it is are answered; the socket is 0600 in a folder that is 0700.
# Rule 3: no request, and no handler that fails, ends the master's loop.
# Rule 4: who takes his answer slowly is told so: what comes next for him is not even asked for.
"""The server of the control socket, driven by somebody else's loop."""

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from wsrv.engine.master.message import LENGTH, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, Message, address, pack, parse
from wsrv.engine.master.runtime import RuntimeFolder

Handler = Callable[[Message], Message]
# Answers when it can: by parts, and an end.
LateHandler = Callable[[Message, "Reply"], None]

MAX_CLIENTS = 32
CLIENT_SECONDS = 5

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED, unix(7)
_READ_BYTES = 64 * 1024
_MAX_ERROR_CHARACTERS = 2000
_NEVER_NS = 1 << 63
_NOTHING = memoryview(b"")


def listen(folder: RuntimeFolder) -> socket.socket:
    """The listening control socket in `folder`. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)  # bind gives the file the mode of the socket
        listener.bind(address(folder.socket_path, folder.fileno()))
        listener.listen(MAX_CLIENTS)
    except BaseException:
        listener.close()
        raise
    return listener


def _error(text: str) -> bytes:
    return pack({"error": text[:_MAX_ERROR_CHARACTERS]}, MAX_ANSWER_BYTES)


class _Client:
    """One connection: first its request is read, then its answer is written, when it comes."""

    __slots__ = ("answer", "deadline_ns", "ended", "received", "reply", "sock")

    def __init__(self, sock: socket.socket, deadline_ns: int) -> None:
        self.sock = sock
        self.deadline_ns = deadline_ns
        self.received = bytearray()
        self.answer: memoryview | None = None
        self.reply: Reply | None = None
        self.ended = True

    def request(self) -> bytes | None:
        """The JSON of the request; None while some is missing. Raises ValueError when it is too long."""
        if len(self.received) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self.received)
        if length > MAX_REQUEST_BYTES:
            raise ValueError(f"a request of {length} bytes; the most is {MAX_REQUEST_BYTES}")
        end = LENGTH.size + length
        return bytes(self.received[LENGTH.size : end]) if len(self.received) >= end else None


class Reply:
    """An answer that comes later, in parts. What is said to a client that has gone is lost, and harms nobody."""

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._say = say
        self._when_taken: list[Callable[[], None]] = []
        # Called once if the client leaves before the end.
        self.when_gone: Callable[[], None] = lambda: None

    def part(self, message: Message, when_taken: Callable[[], None]) -> None:
        """Say a part; `when_taken` is called when the client has taken all that was said."""
        self._when_taken.append(when_taken)
        self._say({**message, "more": True})

    def end(self, message: Message) -> None:
        """Say the last part. Once."""
        self._say(message)

    def taken(self) -> None:
        """The client has taken everything."""
        waiting, self._when_taken = self._when_taken, []
        for call in waiting:
            call()


class ControlServer:
    """Answers requests from within somebody else's epoll loop.

    The owner of the loop calls register() once, handle() for each event on a descriptor that owns() knows, and
    tick() about once a second. `handlers` maps a command to what answers it, quickly: the loop waits for it. `late`
    are those that answer later.
    """

    def __init__(
        self,
        listener: socket.socket,
        handlers: Mapping[str, Handler],
        late: Mapping[str, LateHandler] = MappingProxyType({}),
    ) -> None:
        self._listener = listener
        self._handlers = handlers
        self._late = late
        self._clients: dict[int, _Client] = {}
        self._epoll: select.epoll | None = None
        self._accepting = False

    def register(self, epoll: select.epoll) -> None:
        """Join the loop."""
        self._epoll = epoll
        self._resume()

    def fds(self) -> list[int]:
        """Every descriptor of this server; a forked child closes them."""
        return [self._listener.fileno(), *self._clients]

    def owns(self, fd: int) -> bool:
        """Whether an event on `fd` belongs here."""
        return fd in self._clients or fd == self._listener.fileno()

    def handle(self, fd: int, events: int) -> None:
        """Do what an event on `fd` allows, without waiting."""
        client = self._clients.get(fd)
        if client is None:
            self._accept()
        elif not client.answer:
            self._read(client)
        else:
            self._write(client)

    def tick(self, now_ns: int) -> None:
        """Drop the clients whose time (CLOCK_MONOTONIC) is up, and take new ones in again."""
        for client in [c for c in self._clients.values() if c.deadline_ns <= now_ns]:
            self._drop(client)
        self._resume()

    def close(self) -> None:
        """Drop everybody and stop listening. The socket's file is the folder's to remove."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._pause()
        self._listener.close()

    def _loop(self) -> select.epoll:
        assert self._epoll is not None, "register() comes first"
        return self._epoll

    def _resume(self) -> None:
        if not self._accepting and len(self._clients) < MAX_CLIENTS:
            self._loop().register(self._listener, select.EPOLLIN)
            self._accepting = True

    def _pause(self) -> None:
        if self._accepting:
            self._loop().unregister(self._listener)
            self._accepting = False

    def _accept(self) -> None:
        for _ in range(MAX_CLIENTS):
            if len(self._clients) == MAX_CLIENTS:
                self._pause()
                return
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # out of descriptors: listening on would spin the loop until tick()
                self._pause()
                return
            sock.setblocking(False)
            _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if uid not in (0, os.geteuid()):
                sock.close()
                continue
            client = _Client(sock, time.monotonic_ns() + CLIENT_SECONDS * 1_000_000_000)
            self._clients[sock.fileno()] = client
            self._loop().register(sock, select.EPOLLIN)
            self._read(client)

    def _read(self, client: _Client) -> None:
        try:
            piece = client.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if not piece:
            self._drop(client)
            return
        if client.reply is not None:  # it has said all that counts
            return
        client.received += piece
        try:
            text = client.request()
            if text is None:
                return
            answer = self._answer(client, parse(text))
        except ValueError as error:
            answer = _error(str(error))
        if answer is not None and client.sock.fileno() in self._clients:
            self._send(client, answer)

    def _answer(self, client: _Client, request: Message) -> bytes | None:
        """The answer; None when it comes later."""
        command = request.get("command")
        handler = self._handlers.get(command) if isinstance(command, str) else None
        late = self._late.get(command) if isinstance(command, str) else None
        try:
            if handler is not None:
                return pack(handler(request), MAX_ANSWER_BYTES)
            if late is not None:
                self._answer_late(client, late, request)
                return None
        except Exception as error:
            client.ended = True
            return _error(f"{command} failed: {type(error).__name__}: {error}")
        known = ", ".join(sorted((*self._handlers, *self._late)))
        return _error(f"unknown command {command!r}; this server knows: {known}")

    def _answer_late(self, client: _Client, handler: LateHandler, request: Message) -> None:
        """Let `handler` begin. How long it takes is its own to bound."""
        client.ended = False
        client.deadline_ns = _NEVER_NS
        client.answer = _NOTHING

        def say(message: Message) -> None:
            # It may have gone, and its descriptor be another client's by now.
            if self._clients.get(client.sock.fileno()) is client and not client.ended:
                client.ended = "more" not in message
                try:
                    self._send(client, pack(message, MAX_ANSWER_BYTES))
                except ValueError as error:
                    client.ended = True
                    self._send(client, _error(str(error)))

        client.reply = Reply(say)
        handler(request, client.reply)

    def _send(self, client: _Client, answer: bytes) -> None:
        client.answer = memoryview(bytes(client.answer or b"") + answer)
        client.deadline_ns = time.monotonic_ns() + CLIENT_SECONDS * 1_000_000_000
        self._loop().modify(client.sock, select.EPOLLOUT)
        self._write(client)

    def _write(self, client: _Client) -> None:
        assert client.answer is not None
        try:
            sent = client.sock.send(client.answer, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        client.answer = client.answer[sent:]
        if client.answer:
            return
        if client.ended:
            self._drop(client)
        elif client.reply is not None:
            # Its end is heard as something to read.
            client.deadline_ns = _NEVER_NS
            self._loop().modify(client.sock, select.EPOLLIN)
            client.reply.taken()

    def _drop(self, client: _Client) -> None:
        del self._clients[client.sock.fileno()]
        self._loop().unregister(client.sock)
        client.sock.close()
        self._resume()
        if client.reply is not None and not client.ended:
            client.ended = True
            client.reply.when_gone()
