"""Certificates as files: what ends the start, what is renewed while the server runs, and what is never served."""

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.integration.transports import GET
from tests.support.certificates import Authority, connect, options, replace, secure_port
from tests.support.launch import Launcher
from tests.support.server import Servers, read_answer, wait_for
from wsrv.cli.exits import CANNOT_START, USAGE


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def serial(port: int, context: ssl.SSLContext, name: str = "localhost") -> str:
    with connect(port, context, name) as client:
        client.sendall(GET)
        assert read_answer(client).status == 200
        certificate = client.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_new_certificates_are_shown_without_a_restart_and_nobody_is_disconnected(
    servers: Servers, site: Path, authority: Authority
) -> None:
    pairs = [authority.issue("localhost", stem="renewed"), authority.issue("other.test", stem="kept")]
    server = servers(site, "--workers", "2", *options(*pairs))
    port, context = secure_port(server), authority.client()
    pids = [worker.pid for worker in server.workers()]
    old, other = serial(port, context), serial(port, context, "other.test")
    with connect(port, context) as staying:
        authority.issue("localhost", stem="renewed")
        # Each worker takes it up for itself: eight in a row are all of the new one when both have.
        wait_for(lambda: all(serial(port, context) != old for _ in range(8)), "the new certificate", 20)
        staying.sendall(GET)
        assert read_answer(staying).status == 200
    assert serial(port, context, "other.test") == other
    assert [worker.pid for worker in server.workers()] == pids
    for worker in server.workers():
        worker.kill()
    wait_for(lambda: len(server.workers()) == 2, "the successors")
    assert all(serial(port, context) != old for _ in range(8))


def test_a_renewal_that_does_not_load_changes_nothing_and_is_said_once(
    servers: Servers, site: Path, authority: Authority
) -> None:
    files = authority.issue("localhost", stem="broken")
    server = servers(site, "--workers", "2", *options(files))
    port, context = secure_port(server), authority.client()
    old = serial(port, context)
    whole = files.cert.read_bytes()
    replace(files.cert, b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    said = wait_for(lambda: re.findall("warning: .*certificate.*", server.said.read_text()), "the warning", 20)
    assert said == [
        f"warning: the TLS certificate {files.cert} cannot be used: its base64 is broken; the certificate in use stays"
    ]
    assert serial(port, context) == old
    authority.issue("localhost", stem="broken")
    wait_for(lambda: all(serial(port, context) != old for _ in range(8)), "the next certificate", 20)
    assert whole != files.cert.read_bytes()
    assert server.said.read_text().count("cannot be used") == 1


def faults(authority: Authority) -> dict[str, tuple[list[str], int, str]]:
    """What is given, the exit status, and what is said."""
    good = authority.issue("localhost", stem="good")
    other = authority.issue("localhost", stem="other")
    text = authority.folder / "text"
    text.write_text("no certificate\n")
    locked = authority.folder / "locked.key"
    command = ["openssl", "pkey", "-in", str(good.key), "-aes128", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    cert, key = ["--tls-cert", str(good.cert)], ["--tls-key", str(good.key)]
    return {
        "no such file": ([*cert, "--tls-key", "/none"], CANNOT_START, "cannot read the TLS key /none: No such file"),
        "no certificate": (
            ["--tls-cert", str(text), *key],
            CANNOT_START,
            f"the TLS certificate {text} cannot be used: there is no PEM certificate in it",
        ),
        "no key": (cert, CANNOT_START, f"there is no PEM private key in {good.cert}; name its file with --tls-key"),
        "another's key": (
            [*cert, "--tls-key", str(other.key)],
            CANNOT_START,
            f"the TLS key {other.key} does not belong to the certificate {good.cert}",
        ),
        "encrypted": (
            [*cert, "--tls-key", str(locked)],
            CANNOT_START,
            f"the TLS key {locked} is encrypted; write it without a password: openssl pkey -in {locked} -out FILE",
        ),
        "two keys": ([*cert, *key, *key], USAGE, "--tls-key: there are 2 keys for 1 certificates; each needs its own"),
        "no https": (
            [*cert, *key, "--listen", "0"],
            USAGE,
            "--tls-cert: --listen has no https:// address that the certificate is for",
        ),
        "no pair": (
            ["--listen", "https://0"],
            USAGE,
            "--listen: https:// needs a certificate: --tls-cert FILE --tls-key FILE",
        ),
    }


NAMES = ["no such file", "no certificate", "no key", "another's key", "encrypted", "two keys", "no https", "no pair"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_that_cannot_be_used_ends_the_start_in_one_line(
    launch: Launcher, site: Path, authority: Authority, name: str
) -> None:
    given, status, said = faults(authority)[name]
    ended, words = launch.failing(site, *given)
    (line,) = [line for line in words.splitlines() if "running as root" not in line]
    assert ended == status
    assert line.startswith(f"wsrv: {said}")


def test_an_expired_certificate_is_shown_and_said(servers: Servers, site: Path, authority: Authority) -> None:
    files = authority.issue("localhost", stem="expired", days=-1)
    server = servers(site, *options(files))
    assert re.search(rf"warning: the TLS certificate {files.cert} expired on \d", server.said.read_text())
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connect(secure_port(server), authority.client())


def test_keys_below_the_root_are_never_served(servers: Servers, site: Path) -> None:
    files = Authority(site / "tls").issue("localhost")
    server = servers(site, *options(files), "--listen", "0", "--listen", "https://0")
    for path in ("/tls/site.key", "/tls/site.pem"):
        assert server.get(path).status == 404
    assert server.get("/tls/ca.pem").status == 200


@pytest.mark.parametrize(("text", "loaded"), [("", False), ('[proxy]\ntrusted = "127.0.0.1"\n', False), ("", True)])
def test_openssl_is_loaded_only_where_it_is_used(
    launch: Launcher, site: Path, authority: Authority, text: str, loaded: bool
) -> None:
    config = site.parent / "wsrv.toml"
    config.write_text(text)
    pair = options(authority.issue("localhost", stem="loaded")) if loaded else []
    server = launch(site, "--config", str(config), *pair)
    for process in (server.process, *server.workers()):
        assert ("_ssl" in Path(f"/proc/{process.pid}/maps").read_text()) is loaded
