# cryptography makes the certificates and is the oracle; it comes with trustme.
"""Names and validity of certificates, read as an X.509 library reads them; and what is none is said to be none."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.tls.x509 import Certificate, X509Error, first_certificate, parse

KEY = ec.generate_private_key(ec.SECP256R1())
DAY = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = st.from_regex(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
MOMENTS = st.datetimes(datetime(1951, 1, 1), datetime(2999, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=UTC))


def made(
    names: list[str], addresses: list[str], common: str | None, begin: datetime = DAY, end: datetime | None = None
) -> x509.Certificate:
    """A certificate that signs itself."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "o")]
    attributes += [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    subject = x509.Name(attributes)
    builder = x509.CertificateBuilder(subject, subject, KEY.public_key(), 1, begin, end or begin + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if names or addresses:
        found: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        found += [x509.IPAddress(ip_address(address)) for address in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@settings(deadline=None, max_examples=60)
@given(names=st.lists(NAMES, max_size=30), addresses=st.lists(st.ip_addresses().map(str), max_size=3))
def test_names_are_those_that_it_was_made_for(names: list[str], addresses: list[str]) -> None:
    expected = (*(name.lower() for name in names), *(str(ip_address(address)) for address in addresses))
    assert parse(der(made(names, addresses, "subject"))).names == (expected or ("subject",))


@settings(deadline=None, max_examples=60)
@given(begin=MOMENTS, days=st.integers(1, 300_000))
def test_validity_is_read_in_both_ways_of_writing_it(begin: datetime, days: int) -> None:
    end = min(begin + timedelta(days=days), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    found = parse(der(made(["a"], [], None, begin, end)))
    assert (found.not_before, found.not_after) == (begin, end)


def test_a_subject_counts_where_there_are_no_other_names() -> None:
    assert parse(der(made([], [], "Näme.test"))).names == ("näme.test",)
    assert parse(der(made([], [], None))).names == ()


def test_the_first_of_a_chain_is_the_servers_own() -> None:
    chain = b"comment\n" + pem(made(["first"], [], None)) + pem(made(["second"], [], None))
    assert first_certificate(chain) == Certificate(("first",), DAY, DAY + timedelta(days=1))


@pytest.mark.parametrize(
    "text", [b"", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", b"-----BEGIN CERTIFICATE-----\nAA==\n"]
)
def test_what_is_no_pem_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(X509Error):
        first_certificate(text)


@settings(max_examples=300)
@given(noise=st.binary(max_size=200))
def test_noise_is_no_certificate(noise: bytes) -> None:
    with pytest.raises(X509Error):
        parse(noise)


@settings(max_examples=200)
@given(cut=st.integers(0, 200))
def test_a_cut_certificate_is_none(cut: int) -> None:
    whole = der(made(["a.test"], ["::1"], "a"))
    with pytest.raises(X509Error):
        parse(whole[: min(cut, len(whole) - 1)])
