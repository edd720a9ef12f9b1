# Certificates for tests: an authority of our own, and what it issues, as files.
"""An authority, its certificates, and clients that trust it."""

import os
import re
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from tests.support.server import Server, wait_for
from wsrv.engine.settings import CertificateFiles


class Authority:
    """Issues certificates into `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(self, *names: str, stem: str = "site", rsa: bool = False, days: float = 90) -> CertificateFiles:
        """A certificate for `names` and its key; files of that stem are replaced, each at one go."""
        kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
        end = datetime.now(UTC) + timedelta(days=days)
        leaf = self._authority.issue_cert(*names, key_type=kind, not_before=datetime(2000, 1, 1), not_after=end)
        files = CertificateFiles(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        replace(files.key, leaf.private_key_pem.bytes())
        replace(files.cert, b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return files

    def client(self) -> ssl.SSLContext:
        """What a client needs that trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.file))
        context.set_alpn_protocols(["http/1.1"])
        return context


def replace(path: Path, content: bytes) -> None:
    """Put `content` in the place of a file at one go, as a renewal does."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def options(*pairs: CertificateFiles) -> list[str]:
    """The options of `wsrv serve` for these."""
    return [word for pair in pairs for word in ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))]


def connect(port: int, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    """A connection over TLS, whose end without close_notify is an error."""
    plain = socket.create_connection(("127.0.0.1", port), 10)
    try:
        return context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False)
    except BaseException:
        plain.close()
        raise


def secure_port(server: Server) -> int:
    """The port of the listener with TLS. A server counts as begun from the first listener's line on."""
    found = wait_for(lambda: re.search(r"listening on https://\S+:(\d+)\n", server.said.read_text()), "the line")
    assert found is not None
    return int(found[1])
