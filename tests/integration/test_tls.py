"""HTTP over TLS, as clients see it: versions, names, answers of every size, beginnings and ends."""

import re
import signal
import socket
import ssl
import subprocess
import threading
import warnings
from pathlib import Path

import pytest

from tests.integration.transports import GET, GET_AND_CLOSE, every_transport
from tests.support.certificates import Authority, connect, options, secure_port
from tests.support.server import Answer, Server, Servers, read_all, read_answer, wait_for
from wsrv.engine.ipc.closing import TLS_ALERT

BIG = 12_000_000
MIDDLE = 400_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.client()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    (folder / "index.html").write_text("<!doctype html><title>index</title>\n")
    (folder / "middle").write_bytes(bytes(range(250)) * (MIDDLE // 250))
    (folder / "big").write_bytes(b"".join(b"%7d\n" % number for number in range(BIG // 8)))
    return folder


@pytest.fixture(scope="module")
def server(module_servers: Servers, root: Path, authority: Authority) -> Server:
    """A plain listener and a secure one; two certificates."""
    pairs = [authority.issue("localhost", stem="first"), authority.issue("other.test", "*.wild.test", stem="second")]
    return module_servers(
        root, "--workers", "2", "--timeout", "5s", *options(*pairs), "--listen", "0", "--listen", "https://0"
    )


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return secure_port(server)


def counted(server: Server) -> dict[str, int]:
    found: dict[str, int] = server.stats()["tls"]
    return found


def expect(server: Server, handshakes: int, failures: int) -> None:
    """They are counted at the end of the round that answers, so that who has the answer may be a moment early."""
    wanted = {"handshakes": handshakes, "failures": failures}
    wait_for(lambda: counted(server) == wanted, f"{wanted} to be counted")


def ask(port: int, context: ssl.SSLContext, request: bytes = GET_AND_CLOSE) -> Answer:
    with connect(port, context) as client:
        client.sendall(request)
        return Answer(read_all(client))


def get(target: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: a", "Connection: close", *fields, "", "")).encode()


@every_transport
def test_every_transport_brings_plain_and_secure_connections(
    servers: Servers, site: Path, authority: Authority, context: ssl.SSLContext, ipc: str
) -> None:
    pair = authority.issue("localhost", stem=ipc)
    server = servers(site, "--ipc", ipc, "--workers", "2", *options(pair), "--listen", "0", "--listen", "https://0")
    port = secure_port(server)
    for _ in range(6):
        assert ask(port, context).body == server.get("/").body == (site / "index.html").read_bytes()
    expect(server, 6, 0)
    assert server.stats()["listeners"] == [server.url, f"https://127.0.0.1:{port}"]
    lines = server.log_lines(12)
    assert all(line.startswith("127.0.0.1 - - [") and '"GET / HTTP/1.1" 200' in line for line in lines)
    for worker in server.workers():
        worker.kill()
    for _ in range(4):
        assert ask(port, context).status == 200


def test_a_certificate_makes_the_short_form_secure(
    servers: Servers, site: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    files = authority.issue("localhost", stem="short")
    both = authority.folder / "both.pem"
    both.write_bytes(files.key.read_bytes() + files.cert.read_bytes())
    server = servers(site, "--tls-cert", str(both))
    assert ask(secure_port(server), context).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_in_use_are_spoken(port: int, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    with connect(port, context) as client:
        cipher = client.cipher()
        assert client.version() == version.name.replace("_", ".")
        assert cipher is not None
        assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
        client.sendall(GET_AND_CLOSE)
        assert Answer(read_all(client)).status == 200


def test_an_old_version_is_refused_by_an_alert_and_counted(server: Server, port: int, authority: Authority) -> None:
    context = authority.client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    before = counted(server)
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        connect(port, context)
    expect(server, before["handshakes"], before["failures"] + 1)


def test_a_cipher_without_forward_secrecy_is_refused(port: int, authority: Authority) -> None:
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        connect(port, context)


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)]
)
def test_no_protocol_but_http_1_1_is_agreed_on(
    port: int, authority: Authority, offered: list[str], chosen: str | None
) -> None:
    context = ssl.create_default_context(cafile=str(authority.file))
    if offered:
        context.set_alpn_protocols(offered)
    with connect(port, context) as client:
        assert client.selected_alpn_protocol() == chosen
        client.sendall(GET_AND_CLOSE)
        assert Answer(read_all(client)).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("offered", [["h2"], ["http/1.0", "h3"]])
def test_who_offers_only_other_protocols_is_told_so(
    server: Server, port: int, authority: Authority, offered: list[str], version: ssl.TLSVersion
) -> None:
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(offered)
    before = counted(server)
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        connect(port, context)
    expect(server, before["handshakes"], before["failures"] + 1)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("localhost", "localhost"),
        ("other.test", "other.test"),
        ("OTHER.test", "other.test"),
        ("a.wild.test", "other.test"),
        ("wild.test", "localhost"),
        ("a.b.wild.test", "localhost"),
        ("nobody.test", "localhost"),
    ],
)
def test_the_name_that_is_asked_for_chooses_the_certificate(
    port: int, authority: Authority, asked: str, shown: str
) -> None:
    context = authority.client()
    context.check_hostname = False
    with connect(port, context, asked) as client:
        certificate = client.getpeercert()
    assert certificate is not None
    assert ("DNS", shown) in certificate["subjectAltName"]


def test_a_client_that_names_no_host_gets_the_first_certificate(port: int, authority: Authority) -> None:
    context = authority.client()
    context.check_hostname = False
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10)) as client:
        certificate = client.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", "localhost"),)


@pytest.mark.parametrize("name", ["index.html", "middle", "big"])
def test_files_of_every_size_arrive_as_they_are(port: int, context: ssl.SSLContext, root: Path, name: str) -> None:
    for _ in range(2):
        answer = ask(port, context, get(f"/{name}"))
        assert answer.status == 200
        assert answer.body == (root / name).read_bytes()


@pytest.mark.parametrize("name", ["middle", "big"])
def test_ranges_arrive_as_they_are(port: int, context: ssl.SSLContext, root: Path, name: str) -> None:
    whole = (root / name).read_bytes()
    assert ask(port, context, get(f"/{name}", "Range: bytes=70000-299999")).body == whole[70000:300000]
    assert ask(port, context, get(f"/{name}", "Range: bytes=-5")).body == whole[-5:]
    parts = ask(port, context, get(f"/{name}", "Range: bytes=0-99999,200000-200009")).body
    assert whole[:100000] in parts
    assert whole[200000:200010] in parts


def test_a_slow_reader_gets_all_of_it_and_holds_nobody_up(
    server: Server, port: int, context: ssl.SSLContext, root: Path
) -> None:
    slow = connect(port, context)
    slow.sendall(get("/big"))
    for _ in range(20):
        assert ask(port, context).status == 200
        assert server.get("/").status == 200
    received = read_all(slow)
    slow.close()
    assert Answer(received).body == (root / "big").read_bytes()


def test_requests_in_a_row_are_answered_in_order(port: int, context: ssl.SSLContext, root: Path) -> None:
    with connect(port, context) as client:
        client.sendall(
            GET + b"GET /middle HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n" + GET_AND_CLOSE
        )
        whole = read_all(client)
    assert re.findall(rb"HTTP/1\.1 (\d+)", whole) == [b"200", b"200", b"404", b"200"]
    assert (root / "middle").read_bytes() in whole


def test_a_connection_stays_open_for_many_requests(port: int, context: ssl.SSLContext) -> None:
    with connect(port, context) as client:
        for _ in range(50):
            client.sendall(GET)
            assert read_answer(client).status == 200


def test_a_head_in_pieces_is_put_together(port: int, context: ssl.SSLContext) -> None:
    with connect(port, context) as client:
        for at in range(len(GET)):
            client.sendall(GET[at : at + 1])
        assert read_answer(client).status == 200


def test_a_client_that_says_that_it_sends_no_more_gets_its_answer(
    servers: Servers, big: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    """close_notify right behind the request: the answers come, then the server's own close_notify."""
    # Without a short timeout of its own, whose end would be a farewell too.
    port = secure_port(servers(big, *options(authority.issue("localhost", stem="half"))))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), 10) as plain:

        def exchange() -> bool:
            if outgoing.pending:
                plain.sendall(outgoing.read())
            seen = plain.recv(65536)
            incoming.write(seen) if seen else incoming.write_eof()
            return bool(seen)

        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                exchange()
        session.write(GET + b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            session.unwrap()
        pieces, ended = [], False
        while not ended:
            exchange()
            try:
                while piece := session.read(65536):
                    pieces.append(piece)
                ended = True
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLZeroReturnError:
                ended = True
    received = b"".join(pieces)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.endswith((big / "big").read_bytes())


def test_a_refused_body_does_not_eat_the_answer(port: int, context: ssl.SSLContext) -> None:
    with connect(port, context) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
        with warnings.catch_warnings():
            for _ in range(100):
                client.sendall(bytes(16384))
        assert Answer(read_all(client)).status in (405, 413)


def test_many_clients_at_once(server: Server, port: int, context: ssl.SSLContext, root: Path) -> None:
    wrong: list[object] = []
    whole = (root / "middle").read_bytes()

    def visit() -> None:
        try:
            for _ in range(3):
                with connect(port, context) as client:
                    client.sendall(GET)
                    assert read_answer(client).status == 200
                    client.sendall(get("/middle"))
                    assert Answer(read_all(client)).body == whole
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=visit) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_http_in_the_clear_is_told_where_it_is(server: Server, port: int) -> None:
    before = counted(server)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(GET)
        answer = Answer(read_all(client))
    assert (answer.status, answer.fields["connection"]) == (400, "close")
    assert b"This is the port for TLS: ask with https." in answer.body
    expect(server, before["handshakes"], before["failures"] + 1)


@pytest.mark.parametrize("said", [b"\x00\x01\x02", b"\x16\x03\x01\x00\x05hello", b"\x16" + b"\xff" * 600])
def test_what_is_neither_is_closed_and_counted(server: Server, port: int, said: bytes) -> None:
    before = counted(server)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(said)
        left = read_all(client)
    assert left == b"" or left[0] == 0x15, "nothing, or an alert"
    expect(server, before["handshakes"], before["failures"] + 1)


def test_a_greeting_that_does_not_go_on_is_ended_and_only_what_was_begun_is_counted(
    servers: Servers, site: Path, authority: Authority
) -> None:
    server = servers(site, "--timeout", "500ms", *options(authority.issue("localhost", stem="late")))
    port = secure_port(server)
    for said, failures in ((b"", 0), (b"\x16\x03\x01", 1)):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(said)
            assert read_all(client) == b""
        expect(server, 0, failures)


def test_an_idle_connection_is_ended_with_a_farewell(
    servers: Servers, site: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    server = servers(site, "--timeout", "500ms", *options(authority.issue("localhost", stem="idle")))
    with connect(secure_port(server), context) as client:
        client.sendall(GET)
        assert read_answer(client).status == 200
        assert client.recv(1) == b"", "a close_notify, or this had raised"


def test_an_answer_cut_short_is_not_ended_as_if_it_were_whole(
    servers: Servers, big: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    """Without close_notify: a client that knows no length must notice."""
    server = servers(big, "--timeout", "500ms", *options(authority.issue("localhost", stem="cut")))
    with connect(secure_port(server), context) as client:
        client.sendall(get("/big"))
        wait_for(lambda: server.stats()["connections_active"] == 0, "the end of the connection", 20)
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            read_all(client)


def test_a_client_with_too_many_connections_is_refused_by_an_alert(
    servers: Servers, site: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    config = site.parent / "wsrv.toml"
    config.write_text("[limits]\nconnections_per_client = 1\n")
    server = servers(site, "--config", str(config), *options(authority.issue("localhost", stem="many")))
    port = secure_port(server)
    with connect(port, context) as first:
        first.sendall(GET)
        assert read_answer(first).status == 200
        with socket.create_connection(("127.0.0.1", port), 10) as second:
            assert read_all(second) == TLS_ALERT
        first.sendall(GET)
        assert read_answer(first).status == 200


def test_a_drain_finishes_what_is_under_way_and_says_farewell_to_the_others(
    servers: Servers, big: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    server = servers(big, *options(authority.issue("localhost", stem="drain")))
    port = secure_port(server)
    with connect(port, context) as idle, connect(port, context) as busy:
        idle.sendall(GET)
        assert read_answer(idle).status == 200
        busy.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        first = busy.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        assert Answer(first + read_all(busy)).body == (big / "big").read_bytes()


def test_a_session_goes_on_at_whichever_worker(server: Server, port: int, context: ssl.SSLContext) -> None:
    with connect(port, context) as client:
        client.sendall(GET_AND_CLOSE)
        read_all(client)
        session = client.session
    reused = []
    for _ in range(8):
        plain = socket.create_connection(("127.0.0.1", port), 10)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as client:
            client.sendall(GET_AND_CLOSE)
            assert Answer(read_all(client)).status == 200
            reused.append(client.session_reused)
    assert all(reused)


def test_curl_agrees(port: int, authority: Authority, root: Path) -> None:
    base = ["curl", "-sS", "--cacert", str(authority.file)]
    run = subprocess.run([*base, f"https://localhost:{port}/big"], capture_output=True, timeout=30, check=True)
    assert run.stdout == (root / "big").read_bytes()
    run = subprocess.run(
        [
            *base,
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{ssl_verify_result}",
            "--http2",
            f"https://localhost:{port}/",
        ],
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert run.stdout == b"1.1 0"


def test_openssl_agrees(port: int, authority: Authority) -> None:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{port}",
        "-CAfile",
        str(authority.file),
        "-quiet",
        "-ign_eof",
    ]
    run = subprocess.run(
        [*command, "-verify_return_error", "-servername", "localhost"],
        input=GET_AND_CLOSE,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert run.stdout.startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_own_pages_are_shown_over_tls(port: int, context: ssl.SSLContext) -> None:
    request = b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b'"tls"' in ask(port, context, request).body


def test_transport_security_is_said_over_tls_and_never_in_the_clear(
    servers: Servers, root: Path, authority: Authority, context: ssl.SSLContext
) -> None:
    pair = authority.issue("localhost", stem="hsts")
    said = "strict-transport-security"
    preset = servers(root, "--security-headers", *options(pair), "--listen", "0", "--listen", "https://0")
    for _ in range(3):
        for target in ("/", "/middle", "/big", "/gone"):
            answer = ask(secure_port(preset), context, get(target))
            assert answer.fields[said] == "max-age=31536000"
            assert answer.fields["x-content-type-options"] == "nosniff"
            assert said not in preset.get(target).fields
    without = servers(root, *options(pair), "--listen", "0", "--listen", "https://0")
    assert said not in ask(secure_port(without), context, get("/")).fields
