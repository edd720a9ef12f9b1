"""Which pair is shown to whom, and when a new one takes its place."""

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority, replace
from tests.tls.clients import Ends
from wsrv.engine.settings import CertificateFiles
from wsrv.engine.tls.certificates import CertificateError, Certificates
from wsrv.engine.tls.x509 import first_certificate, parse

SECOND = 1_000_000_000


def shown(certificates: Certificates, context: ssl.SSLContext, name: str = "localhost") -> bytes:
    """The certificate that a client sees who asks for `name`."""
    context.check_hostname = False
    with Ends(certificates, context, name) as ends:
        ends.shake_hands()
        found = ends.client.getpeercert(binary_form=True)
    assert found is not None
    return found


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(
        path.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )


def test_the_certificate_shown_is_that_of_the_file(authority: Authority) -> None:
    files = authority.issue("localhost", stem="shown")
    assert shown(Certificates([files]), authority.client()) == der(files.cert)
    assert parse(der(files.cert)) == first_certificate(files.cert.read_bytes())


def test_files_are_looked_at_once_a_second(authority: Authority) -> None:
    files = authority.issue("localhost", stem="second")
    certificates = Certificates([files])
    assert certificates.refresh(10 * SECOND) == (False, None)
    authority.issue("localhost", stem="second")
    assert certificates.refresh(10 * SECOND + SECOND // 2) == (False, None)
    assert certificates.refresh(11 * SECOND) == (True, None)
    assert shown(certificates, authority.client()) == der(files.cert)
    assert certificates.refresh(12 * SECOND) == (False, None)


def test_a_key_that_comes_after_its_certificate_is_waited_for(authority: Authority) -> None:
    """The pair is broken for a moment, and nothing is said of it."""
    files, other = authority.issue("localhost", stem="late"), authority.issue("localhost", stem="new")
    certificates = Certificates([files])
    before = der(files.cert)
    replace(files.cert, other.cert.read_bytes())
    assert certificates.refresh(10 * SECOND) == (False, None)
    assert shown(certificates, authority.client()) == before
    replace(files.key, other.key.read_bytes())
    assert certificates.refresh(11 * SECOND) == (True, None)
    assert shown(certificates, authority.client()) == der(other.cert)


def test_a_broken_pair_is_said_to_be_once_when_it_has_lasted(authority: Authority) -> None:
    files = authority.issue("localhost", stem="lasting")
    certificates = Certificates([files])
    files.key.unlink()
    said = [certificates.refresh(second * SECOND) for second in range(10, 16)]
    fault = f"cannot read the TLS key {files.key}: No such file or directory; the certificate in use stays"
    assert said == [(False, None), (False, None), (False, fault), *[(False, None)] * 3]
    files.key.write_text("another fault")
    said = [certificates.refresh(second * SECOND) for second in range(16, 20)]
    assert [text is None for _, text in said] == [True, True, False, True]
    authority.issue("localhost", stem="lasting")
    assert certificates.refresh(20 * SECOND) == (True, None)


def test_one_broken_pair_of_two_keeps_both(authority: Authority) -> None:
    pairs = [authority.issue("one.test", stem="one"), authority.issue("two.test", stem="two")]
    certificates = Certificates(pairs)
    before = [der(files.cert) for files in pairs]
    authority.issue("one.test", stem="one")
    pairs[1].cert.write_text("")
    assert certificates.refresh(10 * SECOND) == (False, None)
    context = authority.client()
    assert [shown(certificates, context, name) for name in ("one.test", "two.test")] == before


def test_kinds_of_keys_may_change(authority: Authority) -> None:
    files = authority.issue("localhost", stem="kind", rsa=True)
    certificates = Certificates([files])
    authority.issue("localhost", stem="kind")
    assert certificates.refresh(10 * SECOND) == (True, None)
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+aECDSA+AESGCM")
    assert shown(certificates, context) == der(files.cert)
    context.set_ciphers("ECDHE+aRSA+AESGCM")
    with pytest.raises(ssl.SSLError):
        shown(certificates, context)


@pytest.mark.parametrize(("days", "said"), [(-1, "expired on"), (90, None)])
def test_a_certificate_that_is_out_of_date_is_warned_of(authority: Authority, days: float, said: str | None) -> None:
    files = authority.issue("localhost", stem="dated", days=days)
    warnings = Certificates([files]).warnings()
    assert [said in warning for warning in warnings if said] == ([True] if said else [])
    assert bool(warnings) is (said is not None)


def test_names_are_found_in_the_order_of_the_pairs(authority: Authority) -> None:
    pairs = [authority.issue("a.test", "both.test", stem="a"), authority.issue("both.test", "*.both.test", stem="b")]
    certificates, context = Certificates(pairs), authority.client()
    wanted = {"a.test": 0, "both.test": 0, "x.both.test": 1, "X.BOTH.test": 1, "nobody.test": 0}
    assert {name: shown(certificates, context, name) for name in wanted} == {
        name: der(pairs[at].cert) for name, at in wanted.items()
    }


def test_the_same_file_may_hold_both(authority: Authority) -> None:
    files = authority.issue("localhost", stem="both")
    both = authority.folder / "both-in-one.pem"
    both.write_bytes(files.cert.read_bytes() + files.key.read_bytes())
    assert shown(Certificates([CertificateFiles(both, both)]), authority.client()) == der(files.cert)
    with pytest.raises(CertificateError, match=r"there is no PEM private key in .*; name its file with --tls-key"):
        Certificates([CertificateFiles(files.cert, files.cert)])
