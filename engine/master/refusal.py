# 503 from the master: nobody has room for this connection.
#
# Rule 1: closing with the request unread resets the connection and eats the answer. So the answer is written, the
#         connection half closed, and what comes is read past until the client closes, or its time is up.
#         Who has asked for a page, whole, and no more, as nearly everybody has, is closed at once, at half the cost.
# Rule 2: bounded: so many at once, as descriptors allow, so long each. Past that the first of them is closed at once.
# Rule 3: a refusal needs no descriptor: the page is read once a second, and if that cannot be, the last one does.
"""Refusing connections that no worker can take."""

import fcntl
import os
import select
from collections import Counter
from collections.abc import Callable
from time import monotonic_ns, time

from wsrv.engine.http.dates import http_date
from wsrv.engine.ipc.closing import TLS_ALERT, half_close
from wsrv.engine.ipc.reserve import first_reserved
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.errors import plain_page

_LINGER_NS = 2_000_000_000
_MAX_LINGERING = 2048
_READ_BYTES = 64 * 1024
_PAGE_NS = 1_000_000_000
# Whoever has said more is heard out.
_HEAD_BYTES = 8 * 1024


class Refuser:
    """Answers 503 to connections and sees them off. `reasons` counts them."""

    def __init__(self, epoll: select.epoll, page: Callable[[], Entity], secure: frozenset[int] = frozenset()) -> None:
        """`page` makes the answer's entity, when a connection is refused and it is a second old.

        `secure` are the numbers of the listeners whose clients expect TLS: a page would mean nothing to them.
        """
        self.secure = secure
        self.reasons: Counter[str] = Counter()
        self._epoll = epoll
        self._page = page
        self._lingering: dict[int, int] = {}
        self._reserve = first_reserved()
        self._entity: Entity | None = None
        self._wire = b""
        self._good_until_ns = 0

    def refuse(self, fd: int, reason: str, listener: int = 0) -> None:
        """Answer 503 on `fd`, a connection of this listener, which is this object's from now on."""
        self.reasons[reason] += 1
        now_ns = monotonic_ns()
        answer = TLS_ALERT if listener in self.secure else self._answer(now_ns)
        try:
            has_said_all = self._has_said_all(fd)
            os.write(fd, answer)
            if not has_said_all:
                half_close(fd)
        except OSError:
            has_said_all = True
        if has_said_all:
            os.close(fd)
            return
        if self._lingering and (fd >= self._reserve or len(self._lingering) >= _MAX_LINGERING):
            self.let_go(next(iter(self._lingering)))
            if fd >= self._reserve:
                # Into the place that became free: the reserve is not for those who stay.
                fd, high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0), fd
                os.close(high)
        self._lingering[fd] = now_ns + _LINGER_NS
        self._epoll.register(fd, select.EPOLLIN)

    def _answer(self, now_ns: int) -> bytes:
        """The answer of this second."""
        if now_ns >= self._good_until_ns:
            try:
                self._entity = self._page()
            except OSError:
                self._entity = self._entity or plain_page(503)
            page = self._entity
            self._wire = page.head(page.status, b"close").render(http_date(int(time()))) + (page.body or b"")
            self._good_until_ns = now_ns + _PAGE_NS
        return self._wire

    def owns(self, fd: int) -> bool:
        """Whether `fd` is a refused connection."""
        return fd in self._lingering

    def fds(self) -> list[int]:
        """The descriptors of refused connections."""
        return list(self._lingering)

    def handle(self, fd: int) -> None:
        """Read past what came; the end of it ends the connection."""
        try:
            if self._read_past(fd):
                self.let_go(fd)
        except OSError:
            self.let_go(fd)

    def tick(self, now_ns: int) -> None:
        """Let those go whose time is up: they stand in the order of their deadlines."""
        for fd, deadline_ns in list(self._lingering.items()):
            if deadline_ns > now_ns:
                break
            self.let_go(fd)

    @staticmethod
    def _has_said_all(fd: int) -> bool:
        """Read what there is, once; whether it is one whole request without a body, after which nothing is to come.

        Raises OSError.
        """
        try:
            said = os.read(fd, _HEAD_BYTES)
        except BlockingIOError:
            return False
        if not said.startswith((b"GET ", b"HEAD ")) or said.find(b"\r\n\r\n") != len(said) - 4:
            return False
        lower = said.lower()
        return b"\ncontent-length" not in lower and b"\ntransfer-encoding" not in lower

    @staticmethod
    def _read_past(fd: int) -> bool:
        """Read what there is, once; whether the client has closed. Raises OSError."""
        try:
            return not os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False

    def let_go(self, fd: int) -> None:
        """Close a refused connection."""
        del self._lingering[fd]
        os.close(fd)
