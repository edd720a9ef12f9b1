"""Named proxies: whom the log and the own pages take a client for, by PROXY header or field; and nobody else's word."""

import json
import re
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import pytest

from tests.integration.transports import GET, GET_AND_CLOSE, every_transport
from tests.support.certificates import Authority, options
from tests.support.launch import Launcher
from tests.support.server import Answer, Server, Servers, read_all, read_answer

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 80\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
# Addresses, ports, and a TLV.
BODY = bytes((192, 0, 2, 8, 1, 2, 3, 4)) + b"\x13\x88\x00\x50" + b"\x04\x00\x02no"
V2 = SIGNATURE + struct.pack(">BBH", 0x21, 0x11, len(BODY)) + BODY
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
PAGE = b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n"


@pytest.fixture
def configured(site: Path) -> "Configured":
    return Configured(site)


class Configured:
    """A wsrv.toml, as settings without options need one."""

    def __init__(self, site: Path) -> None:
        self._path = site.parent / "wsrv.toml"

    def __call__(self, text: str) -> list[str]:
        self._path.write_text(text)
        return ["--config", str(self._path)]


def peers(server: Server, number: int) -> list[str]:
    return [line.split(" ")[0] for line in server.log_lines(number)]


def malformed(server: Server) -> int:
    count: int = server.stats()["proxy"]["malformed"]
    return count


@every_transport
def test_a_proxy_header_says_who_asks(servers: Servers, site: Path, configured: Configured, ipc: str) -> None:
    options = configured('[proxy]\ntrusted = "127.0.0.0/8"\nprotocol = true\n')
    server = servers(site, "--ipc", ipc, "--workers", "2", *options)
    for header in (V1, V2, LOCAL, b"PROXY UNKNOWN\r\n"):
        assert Answer(server.say(header + GET_AND_CLOSE)).status == 200
    assert sorted(peers(server, 4)) == ["127.0.0.1", "127.0.0.1", "192.0.2.7", "192.0.2.8"]
    assert malformed(server) == 0


def test_a_proxy_header_in_pieces_and_requests_after_it(servers: Servers, site: Path, configured: Configured) -> None:
    server = servers(site, *configured('[proxy]\ntrusted = "127.0.0.1"\nprotocol = true\n'))
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(V2)):
            client.sendall(V2[at : at + 1])
        for _ in range(3):
            client.sendall(GET)
            assert read_answer(client).status == 200
    assert peers(server, 3) == ["192.0.2.8"] * 3


@pytest.mark.parametrize(
    "said", [GET_AND_CLOSE, b"PROXY TCP4 x y 1 2\r\n" + GET, V1[:20], SIGNATURE + b"\xff\xff\xff\xff"]
)
def test_a_named_proxy_without_a_right_header_is_closed_and_counted(
    servers: Servers, site: Path, configured: Configured, said: bytes
) -> None:
    server = servers(site, *configured('[proxy]\ntrusted = "127.0.0.1"\nprotocol = true\n'))
    with server.connect() as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        try:
            received = read_all(client)
        except ConnectionResetError:
            received = b""
    assert received == b""
    assert malformed(server) == 1
    assert server.stats()["requests_total"] == 0


def test_a_proxy_that_says_nothing_in_time_is_closed(servers: Servers, site: Path, configured: Configured) -> None:
    server = servers(site, "--timeout", "500ms", *configured('[proxy]\ntrusted = "127.0.0.1"\nprotocol = true\n'))
    for said, count in ((b"", 0), (b"PROXY ", 1)):
        with server.connect() as client:
            client.sendall(said)
            assert read_all(client) == b""
        assert malformed(server) == count


def test_nobody_else_may_begin_with_a_proxy_header(servers: Servers, site: Path, configured: Configured) -> None:
    server = servers(site, *configured('[proxy]\ntrusted = "10.0.0.0/8"\nprotocol = true\n'))
    assert Answer(server.say(V1 + GET_AND_CLOSE)).status == 400
    assert server.get("/").status == 200
    assert peers(server, 2) == ["127.0.0.1", "127.0.0.1"]


def test_a_proxy_header_comes_before_the_handshake(
    servers: Servers, site: Path, configured: Configured, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    config = configured('[proxy]\ntrusted = "127.0.0.1"\nprotocol = true\n')
    server = servers(site, *config, *options(authority.issue("localhost")))
    for header in (V1, V2):
        plain = socket.create_connection(("127.0.0.1", server.port), 10)
        plain.sendall(header)
        with authority.client().wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(GET_AND_CLOSE)
            assert Answer(read_all(client)).status == 200
    assert sorted(peers(server, 2)) == ["192.0.2.7", "192.0.2.8"]
    # Header and hello in one piece.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    with server.connect() as plain:
        plain.sendall(V1 + outgoing.read())
        assert plain.recv(1) == b"\x16"


def test_curl_speaks_it(servers: Servers, site: Path, configured: Configured) -> None:
    server = servers(site, *configured('[proxy]\ntrusted = "127.0.0.1"\nprotocol = true\n'))
    command = ["curl", "-sS", "--haproxy-protocol", f"{server.url}/"]
    run = subprocess.run(command, capture_output=True, check=True, timeout=20)
    assert run.stdout == (site / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("field", "client"),
    [
        ("X-Forwarded-For: 192.0.2.1", "192.0.2.1"),
        ("X-Forwarded-For: 203.0.113.9, 192.0.2.1, 127.0.0.9", "192.0.2.1"),
        ("Forwarded: for=192.0.2.1;proto=https", "192.0.2.1"),
        ('Forwarded: for="[2001:db8::7]:80"', "2001:db8::7"),
        ("Forwarded: for=unknown", "-"),
        ("Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2", "-"),
        ("Accept: */*", "127.0.0.1"),
    ],
)
def test_the_word_of_a_named_proxy_counts_in_the_log(
    servers: Servers, site: Path, configured: Configured, field: str, client: str
) -> None:
    server = servers(site, *configured('[proxy]\ntrusted = "127.0.0.0/8"\n'))
    assert server.get("/", field).status == 200
    assert server.get("/none", field).status == 404
    assert peers(server, 2) == [client] * 2


def test_each_request_of_a_connection_has_its_own_client(servers: Servers, site: Path, configured: Configured) -> None:
    """A proxy sends those of many over one connection."""
    server = servers(site, *configured('[proxy]\ntrusted = "127.0.0.1"\n'))
    clients = ["192.0.2.1", "192.0.2.2", None, "192.0.2.1"]
    with server.connect() as client:
        fields = [f"X-Forwarded-For: {one}\r\n" if one else "" for one in clients]
        client.sendall("".join(f"GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n" for field in fields).encode())
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 4
    assert peers(server, 4) == [one or "127.0.0.1" for one in clients]


def test_the_word_of_others_does_not(servers: Servers, site: Path, configured: Configured) -> None:
    server = servers(site, *configured('[proxy]\ntrusted = "10.0.0.0/8, unix:"\n'))
    assert server.get("/", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1").status == 200
    assert peers(server, 1) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("trusted", "fields", "status"),
    [
        ("127.0.0.1", "", 200),
        ("127.0.0.1", "X-Forwarded-For: 192.0.2.1", 403),
        ("127.0.0.1", "X-Forwarded-For: 127.0.0.2", 200),
        ("127.0.0.1", "X-Forwarded-For: 127.0.0.2, 192.0.2.1", 403),
        ("127.0.0.1", "Forwarded: for=127.0.0.2\r\nVia: 1.1 x", 200),
        ("127.0.0.1", "Forwarded: for=unknown", 403),
        ("127.0.0.1", "Via: 1.1 x", 403),
        ("off", "", 200),
        ("off", "X-Forwarded-For: 127.0.0.2", 403),
        ("off", "Forwarded: for=127.0.0.2", 403),
        ("off", "Via: 1.1 x", 403),
    ],
)
def test_the_own_pages_go_by_who_asks(
    servers: Servers, site: Path, configured: Configured, trusted: str, fields: str, status: int
) -> None:
    server = servers(site, *configured(f'[proxy]\ntrusted = "{trusted}"\n'))
    answer = Answer(server.say(PAGE % (f"{fields}\r\n".encode() if fields else b"")))
    assert answer.status == status
    if status == 200:
        assert json.loads(answer.body)["name"] == str(server.port)


@pytest.mark.parametrize(("allow", "status"), [("127.0.0.1", 403), ("unix:", 200)])
def test_the_own_pages_are_not_shown_over_a_unix_socket_unless_it_is_allowed(
    launch: Launcher, site: Path, configured: Configured, allow: str, status: int
) -> None:
    path = site.parent / "site.sock"
    launch(site, "--listen", "0", "--listen", f"unix:{path}", *configured(f'[status]\nallow = "{allow}"\n'))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(PAGE % b"")
        assert Answer(read_all(client)).status == status


def test_a_proxy_over_a_unix_socket_can_be_named(launch: Launcher, site: Path, configured: Configured) -> None:
    path = site.parent / "site.sock"
    server = launch(site, "--listen", "0", "--listen", f"unix:{path}", *configured('[proxy]\ntrusted = "unix:"\n'))
    for field in ("X-Forwarded-For: 192.0.2.1\r\n", ""):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n".encode())
            assert Answer(read_all(client)).status == 200
    assert server.get("/", "X-Forwarded-For: 192.0.2.1").status == 200
    assert sorted(peers(server, 3)) == ["-", "127.0.0.1", "192.0.2.1"]


@pytest.fixture
def both(servers: Servers, site: Path, configured: Configured, tmp_path: Path) -> tuple[Server, int]:
    """A server that redirects, and its secure port; 127.0.0.9 is a named proxy."""
    pair = Authority(tmp_path / "authority").issue("localhost")
    config = configured('[proxy]\ntrusted = "127.0.0.9"\n[site]\ncors = "any"\n')
    (site / ".well-known" / "acme-challenge").mkdir(parents=True)
    (site / ".well-known" / "acme-challenge" / "token").write_text("proof")
    server = servers(site, *config, *options(pair), "--tls-redirect", "--listen", "0", "--listen", "https://0")
    return server, int(re.findall(r":(\d+)", server.stats()["listeners"][1])[0])


@pytest.mark.parametrize(
    ("line", "location"),
    [
        ("GET / HTTP/1.1", "https://test:{}/"),
        ("GET /a%20b//c?q=1&r=%22 HTTP/1.1", "https://test:{}/a%20b//c?q=1&r=%22"),
        ("HEAD /none HTTP/1.1", "https://test:{}/none"),
        ("GET http://Other.test:99/x HTTP/1.1", "https://other.test:{}/x"),
        ("POST /form HTTP/1.1", "https://test:{}/form"),
    ],
)
def test_a_plain_listener_sends_its_clients_on(both: tuple[Server, int], line: str, location: str) -> None:
    server, port = both
    answer = Answer(server.say(f"{line}\r\nHost: TEST:80\r\nConnection: close\r\n\r\n".encode()))
    assert (answer.status, answer.fields["location"]) == (308, location.format(port))
    assert answer.fields["cache-control"] == "no-store"
    assert answer.fields["access-control-allow-origin"] == "*", "or a page of another origin could not follow"
    assert f'"{line}" 308 ' in server.log_lines(1)[0]


def test_what_is_not_redirected(both: tuple[Server, int], site: Path) -> None:
    server, _ = both
    assert server.get("/.well-known/acme-challenge/token").body == b"proof"
    assert Answer(server.say(PAGE % b"")).status == 200
    assert server.get("/", "X-Forwarded-Proto: https").status == 308, "the word of nobody in particular"


@pytest.mark.parametrize(("scheme", "status"), [("https", 200), ("http", 308), ("", 200)])
def test_behind_a_named_proxy_its_word_decides(both: tuple[Server, int], scheme: str, status: int) -> None:
    server, _ = both
    with socket.socket() as client:
        client.bind(("127.0.0.9", 0))
        client.connect(("127.0.0.1", server.port))
        field = f"X-Forwarded-Proto: {scheme}\r\n" if scheme else ""
        client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n".encode())
        assert Answer(read_all(client)).status == status


def test_a_redirect_needs_somewhere_to_lead(launch: Launcher, site: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "authority").issue("localhost")
    for listens in (["--listen", "https://0"], [], ["--listen", "https://0", "--listen", f"unix:{tmp_path}/s"]):
        status, said = launch.failing(site, *options(pair), "--tls-redirect", *listens)
        assert status == 2
        assert "--tls-redirect needs two listeners, such as --listen 80 --listen https://443" in said
