"""What one client gets of a long stream over TLS before the others have their turn."""

import os
import select
import socket
import ssl
import threading
from pathlib import Path

from tests.support.certificates import Authority
from tests.worker.workbench import BOUND_SECONDS, Workbench
from wsrv.engine.http.fields import parse_fields
from wsrv.engine.http.head import parse_request_line
from wsrv.engine.http.ranges import Span
from wsrv.engine.tls.certificates import Certificates
from wsrv.engine.tls.step import Step
from wsrv.engine.worker.aside import Aside
from wsrv.engine.worker.connection import WRITE
from wsrv.engine.worker.request import Request, Stream

LINE = b"GET /big HTTP/1.1"
LENGTH = 4 << 20
# A sixteenth of what a plain client gets: encryption takes so much longer than sendfile.
TURN_BYTES = 64 * 1024


def secure(bench: Workbench, authority: Authority) -> tuple[Aside, ssl.SSLSocket]:
    """A connection whose handshake is done, and its client."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(BOUND_SECONDS)
    clients: list[ssl.SSLSocket] = []
    trust = authority.client()
    shakes = threading.Thread(target=lambda: clients.append(trust.wrap_socket(far, server_hostname="localhost")))
    shakes.start()
    conn = Aside(near.detach(), b"- - - [", bench.now_ns, None)
    conn.tls = Certificates([authority.issue("localhost")]).session()
    while conn.tls.handshake(conn.fd) is not Step.DONE:
        assert select.select([conn.fd], [], [], BOUND_SECONDS)[0], "the client says nothing"
    shakes.join()
    return conn, clients[0]


def test_a_secure_stream_gets_little_at_a_time(bench: Workbench, root: Path, tmp_path: Path) -> None:
    with (root / "big").open("wb") as file:
        file.truncate(LENGTH)
    conn, client = secure(bench, Authority(tmp_path / "authority"))
    with client:
        request = Request(LINE, parse_request_line(LINE), parse_fields(b"Host: x\r\n\r\n"), b'"-" "-"\n', None, True)
        fd = os.open(root / "big", os.O_RDONLY | os.O_CLOEXEC)
        stream = conn.dialogue().stream = Stream(request, 200, fd, b"HTTP/1.1 200 OK\r\n\r\n", (Span(0, LENGTH),))
        bench.delivery.flush(conn, bench.now_ns)
        assert conn.state == WRITE
        assert 0 < stream.sent_bytes <= TURN_BYTES + 100
        bench.connections.drop(conn)
