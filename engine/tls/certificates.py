# The certificates of a server: which one a client is shown, and how a new one takes the place of an old.
#
# Rule 1: a pair of files is taken whole or not at all. A renewed pair that does not load leaves the one in use where it
#         was; a complaint is made once a state of the files, and only when the state has lasted: a certificate and its
#         key are not replaced in the same instant.
# Rule 2: the master loads before the first fork, so workers share one key for session tickets, and resumption works
#         whichever of them a client comes to. After a renewal each has its own.
# Rule 3: the first pair is shown to whoever names no host, or one that no certificate has.
"""TLS contexts from pairs of files, chosen by the name a client asks for, and renewed while they are in use."""

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wsrv.engine.settings import CertificateFiles
from wsrv.engine.tls.session import PROTOCOL, Session
from wsrv.engine.tls.x509 import Certificate, X509Error, first_certificate

_SECOND_NS = 1_000_000_000
# How often the files are looked at, and how long a state of them must last before it is called broken.
_LOOK_NS = _SECOND_NS
_SETTLE_NS = 2 * _SECOND_NS
# For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 4.2). Those of 1.3 are all good.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

Stamp = tuple[tuple[int, int, int, int] | None, ...]


class CertificateError(Exception):
    """A pair that cannot be used. The message names the file, and what to do."""


class _Encrypted(Exception):
    """OpenSSL asked for a password."""


class _Pair:
    """One certificate and its key, loaded."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises CertificateError."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        self.context.set_ciphers(_CIPHERS)
        self.context.set_alpn_protocols([PROTOCOL])
        self.certificate = _load(self.context, files)


def _load(context: ssl.SSLContext, files: CertificateFiles) -> Certificate:
    texts = {}
    for path, what in ((files.cert, "certificate"), (files.key, "key")):
        try:
            texts[path] = path.read_bytes()
        except OSError as error:
            raise CertificateError(f"cannot read the TLS {what} {path}: {error.strerror}") from error
    try:
        certificate = first_certificate(texts[files.cert])
    except X509Error as error:
        raise CertificateError(f"the TLS certificate {files.cert} cannot be used: {error}") from error
    if b"PRIVATE KEY-----" not in texts[files.key]:
        remedy = "; name its file with --tls-key" if files.key == files.cert else ""
        raise CertificateError(f"there is no PEM private key in {files.key}{remedy}")
    try:
        context.load_cert_chain(files.cert, files.key, password=_refuse_password)
    except _Encrypted:
        raise CertificateError(
            f"the TLS key {files.key} is encrypted; write it without a password: openssl pkey -in {files.key} -out FILE"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            reason = f"the TLS key {files.key} does not belong to the certificate {files.cert}"
        else:
            reason = f"the TLS pair {files.cert} and {files.key} cannot be used: {error.reason or 'OpenSSL refuses it'}"
        raise CertificateError(reason) from error
    except OSError as error:
        raise CertificateError(f"cannot read {files.cert} or {files.key}: {error.strerror}") from error
    return certificate


def _refuse_password() -> str:
    raise _Encrypted


class Certificates:
    """All pairs."""

    def __init__(self, files: Sequence[CertificateFiles]) -> None:
        """Raises CertificateError."""
        self._files = files
        self._stamp = self._look()
        self._broken: Stamp | None = None
        self._broken_since_ns = 0
        self._next_ns = 0
        self._take([_Pair(one) for one in files])

    def session(self) -> Session:
        """The session of a new client."""
        return Session(self._context)

    def is_current(self) -> bool:
        """Whether the files are those that were loaded."""
        return self._look() == self._stamp

    def refresh(self, now_ns: int) -> tuple[bool, str | None]:
        """Look whether the files are what they were, and load them if not; whether that was done, or why it cannot be.

        The reason is given once.
        """
        if now_ns < self._next_ns:
            return False, None
        self._next_ns = now_ns + _LOOK_NS
        stamp = self._look()
        if stamp == self._stamp:
            self._broken = None
            return False, None
        try:
            pairs = [_Pair(one) for one in self._files]
            if self._look() != stamp:
                return False, None
        except CertificateError as error:
            if stamp != self._broken:
                self._broken, self._broken_since_ns = stamp, now_ns
            elif self._broken_since_ns and now_ns - self._broken_since_ns >= _SETTLE_NS:
                self._broken_since_ns = 0
                return False, f"{error}; the certificate in use stays"
            return False, None
        self._take(pairs)
        self._stamp, self._broken = stamp, None
        return True, None

    def warnings(self) -> list[str]:
        """What a client will say of them."""
        now = datetime.now(UTC)
        found = []
        for files, pair in zip(self._files, self._pairs, strict=True):
            begin, end = pair.certificate.not_before, pair.certificate.not_after
            if now > end:
                found.append(f"the TLS certificate {files.cert} expired on {end:%Y-%m-%d %H:%M} UTC")
            elif now < begin:
                found.append(f"the TLS certificate {files.cert} is not valid before {begin:%Y-%m-%d %H:%M} UTC")
        return found

    def _take(self, pairs: "list[_Pair]") -> None:
        self._pairs = pairs
        self._by_name: dict[str, ssl.SSLContext] = {}
        for pair in pairs:
            for name in pair.certificate.names:
                self._by_name.setdefault(name, pair.context)
        self._context = pairs[0].context
        if len(pairs) > 1:
            self._context.sni_callback = self._choose

    def _choose(self, session: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Show the certificate of `name` (RFC 6066 3); a wildcard stands for one label (RFC 9525 6.3)."""
        if name:
            name = name.lower().rstrip(".")
            chosen = self._by_name.get(name) or self._by_name.get(f"*.{name.partition('.')[2]}")
            if chosen is not None:
                session.context = chosen

    def _look(self) -> Stamp:
        return tuple(_stamp(path) for files in self._files for path in (files.cert, files.key))


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
