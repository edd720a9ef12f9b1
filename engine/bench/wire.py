# How bytes get to the server and back: over TCP or a Unix socket as they are, or within TLS.
#
# Rule 1: no call waits. What would have to raises BlockingIOError, and awaits() says which event to wait for.
# Rule 2: the handshake of TLS belongs to the first write, so that it counts as connecting does.
"""Connections of the load generator, by descriptor."""

import errno
import os
import select
import socket
import ssl

from wsrv.engine.bench.plan import Address, Plan

_TLS_READ_BYTES = 64 * 1024
_Socket = socket.SocketType
_UNDER_WAY = errno.EINPROGRESS


def wire_of(plan: Plan) -> "Plain | Encrypted":
    """What carries the requests of `plan`."""
    # A request that is the only one of its connection has nothing to wait behind.
    plain = Plain(plan.address, is_prompt=plan.keep_alive)
    return plain if plan.tls is None else Encrypted(plain, plan.tls.context(), plan.tls.name)


class Plain:
    """Bytes as they are. `is_prompt`: small pieces go out at once (TCP_NODELAY)."""

    read = staticmethod(os.read)
    write = staticmethod(os.write)
    close = staticmethod(os.close)

    def __init__(self, address: Address, is_prompt: bool) -> None:
        self._address = address
        if isinstance(address, str):
            self._family = socket.AF_UNIX
        else:
            self._family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._is_prompt = is_prompt and self._family != socket.AF_UNIX
        self._kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

    def connect(self) -> int:
        """The descriptor of a connection that is on its way. Over loopback it stands at once. Raises OSError."""
        # Without what socket.socket adds, and without an exception for what is usual: each costs as much as the call.
        sock = _Socket(self._family, self._kind)
        error = sock.connect_ex(self._address)
        if error and error != _UNDER_WAY:
            sock.close()
            raise OSError(error, os.strerror(error))
        if self._is_prompt:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock.detach()

    @staticmethod
    def awaits(fd: int) -> int:
        """The event after which a write that could not be finished goes on."""
        return select.EPOLLOUT


class _Session:
    """TLS of one connection. `is_taken`: the request is encrypted, and partly still in `outgoing` or `rest`."""

    __slots__ = ("has_ended", "incoming", "is_taken", "outgoing", "rest", "tls")

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.rest = b""
        self.is_taken = False
        self.has_ended = False


class Encrypted:
    """Bytes within TLS, over `plain`; each connection shakes hands in full."""

    def __init__(self, plain: Plain, context: ssl.SSLContext, name: str) -> None:
        self._plain = plain
        self._context = context
        self._name = name
        self._sessions: dict[int, _Session] = {}

    def connect(self) -> int:
        """As of Plain."""
        fd = self._plain.connect()
        self._sessions[fd] = _Session(self._context, self._name)
        return fd

    def close(self, fd: int) -> None:
        """The connection is gone, without a farewell."""
        del self._sessions[fd]
        os.close(fd)

    def awaits(self, fd: int) -> int:
        """As of Plain: in a handshake it is the server that has to say something."""
        session = self._sessions[fd]
        return select.EPOLLOUT if session.rest or session.outgoing.pending else select.EPOLLIN

    def write(self, fd: int, request: bytes) -> int:
        """Send all of `request`; to be called with the same one until it returns. Raises OSError."""
        session = self._sessions[fd]
        if not session.is_taken:
            try:
                self._encrypt(fd, session, request)
            except ssl.SSLWantReadError as error:
                self._flush(fd, session)
                raise BlockingIOError from error
        if not self._flush(fd, session):
            raise BlockingIOError
        session.is_taken = False
        return len(request)

    def read(self, fd: int, size: int) -> bytes:
        """What has come; nothing at the end of the stream. Raises OSError."""
        session = self._sessions[fd]
        self._take_in(fd, session, size)
        pieces = []
        while not session.has_ended:
            try:
                piece = session.tls.read(_TLS_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                piece = b""
            session.has_ended = not piece
            pieces.append(piece)
        self._flush(fd, session)
        if not pieces and not session.has_ended:
            raise BlockingIOError
        return b"".join(pieces)

    def _encrypt(self, fd: int, session: _Session, request: bytes) -> None:
        try:
            session.tls.write(request)
        except ssl.SSLWantReadError:
            # Its hello may be there.
            try:
                self._take_in(fd, session, _TLS_READ_BYTES)
            except BlockingIOError as error:
                raise ssl.SSLWantReadError from error
            session.tls.write(request)
        session.is_taken = True

    @staticmethod
    def _take_in(fd: int, session: _Session, size: int) -> None:
        piece = os.read(fd, size)
        if piece:
            session.incoming.write(piece)
        else:
            session.incoming.write_eof()

    @staticmethod
    def _flush(fd: int, session: _Session) -> bool:
        """Send what is encrypted; whether all of it has gone."""
        if session.outgoing.pending:
            session.rest += session.outgoing.read()
        if session.rest:
            try:
                session.rest = session.rest[os.write(fd, session.rest) :]
            except BlockingIOError:
                return False
        return not session.rest


def kind_of(error: OSError) -> str:
    """What an error is counted as."""
    if error.errno == errno.EMFILE:
        return "no descriptor"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError):
        return "reset"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "closed in the handshake"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'error').replace('_', ' ').lower()}"
    return (error.strerror or "error").lower()
