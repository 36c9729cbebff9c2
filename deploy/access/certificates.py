"""Certificates: an authority of our own, for brokers and for providers (X.509 version 3, RFC 5280).

Two authorities are kept apart. The one for brokers is what every client trusts; the one for providers is all that the
broker's certificate listener trusts. So a broker's certificate is nobody's login, and an installation can take its brokers'
certificates from elsewhere without letting anybody in.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.access.model import check_prefix, provider

ORGANISATION = "Linepool"
PROVIDERS_ORGANISATION = "Linepool providers"
PRINCIPAL_RULE = rf"RULE:^CN=(([a-z0-9-]+[.])?providers[.][a-z0-9]{{12}}),O={PROVIDERS_ORGANISATION}$/$1/"
"""What Kafka makes of a provider's certificate: the user named by its CN, which can only be a provider.

There is no DEFAULT beside it: any other name is refused, so that no certificate can be `admin` or a service, whoever signed it.
"""
_BACKDATED = timedelta(minutes=5)
_RSA_BITS = 2048
_REQUEST_BYTES = 16_384
_AUTHORITY_YEARS = timedelta(days=3653)
SERVER_VALIDITY = timedelta(days=90)
PROVIDER_VALIDITY = timedelta(days=90)

_SignedKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM; the key is PKCS#8 without a password."""

    certificate: bytes
    key: bytes = field(repr=False)

    def write(self, certificate_file: Path, key_file: Path) -> None:
        """Write both, readable for the owner alone; what stands there is replaced."""
        write_private(key_file, self.key)
        write_private(certificate_file, self.certificate)

    @property
    def expires_at(self) -> datetime:
        """When the certificate ends."""
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc


@dataclass(frozen=True)
class Authority:
    """Who signs certificates. Keys made here are EC P-256; the authority's own, when it is read, may be RSA."""

    pair: Pair

    @classmethod
    def new(cls, name: str) -> Self:
        """Make an authority with a key of its own, valid for ten years."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name, ORGANISATION)
        signed = (
            _builder(subject, subject, key.public_key(), _AUTHORITY_YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(_pair(signed, key))

    @classmethod
    def read(cls, certificate_file: Path, key_file: Path) -> Self:
        """Read one that `write` wrote. Raises OSError, and ValueError for files that hold something else."""
        found = cls(Pair(certificate_file.read_bytes(), key_file.read_bytes()))
        if found._key.public_key() != found._certificate.public_key():
            raise ValueError(f"{key_file} is not the key of {certificate_file}")
        return found

    @property
    def certificate(self) -> bytes:
        """What those trust who trust this authority, PEM."""
        return self.pair.certificate

    def issue_for_server(self, hosts: Sequence[str], validity: timedelta = SERVER_VALIDITY) -> Pair:
        """Make a certificate for a server that is reached under these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = _builder(
            _name(hosts[0], ORGANISATION), self._certificate.subject, key.public_key(), validity
        )
        builder = builder.add_extension(names, critical=False)
        return _pair(self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH), key)

    def issue_for_provider(self, pid: str, prefix: str = "", validity: timedelta = PROVIDER_VALIDITY) -> Pair:
        """Make a certificate with which a provider logs in, and its key. Raises ValueError for an id that is not allowed."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _pair(self._sign_for_provider(key.public_key(), pid, prefix, validity), key)

    def sign_request(
        self, request: bytes, pid: str, prefix: str = "", validity: timedelta = PROVIDER_VALIDITY
    ) -> bytes:
        """Return the certificate, PEM, for a provider that keeps its key and sends a request (PKCS#10, PEM: RFC 2986).

        Of the request only the public key counts; whatever else it asks for, its name first, is ignored.

        Raises:
            ValueError: it is no request, not signed by its own key, or its key is too weak; or the id is not allowed.
        """
        return _pem(self._sign_for_provider(_key_of(request), pid, prefix, validity))

    def write(self, certificate_file: Path, key_file: Path) -> None:
        """Write certificate and key, readable for the owner alone."""
        self.pair.write(certificate_file, key_file)

    def _sign_for_provider(
        self, key: _SignedKey, pid: str, prefix: str, validity: timedelta
    ) -> x509.Certificate:
        principal = check_prefix(prefix) + provider(pid).name
        subject = _name(principal, PROVIDERS_ORGANISATION)
        builder = _builder(subject, self._certificate.subject, key, validity)
        return self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _sign(self, builder: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.Certificate:
        own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pair.certificate)

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
        key = serialization.load_pem_private_key(self.pair.key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("an authority's key is EC or RSA")  # noqa: TRY004 -- a file holds it, no caller
        return key


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read; whoever reads meanwhile sees the old or the new one, never a part."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        os.fchmod(descriptor, 0o600)
        output.write(content)
    unfinished.replace(file)


def _key_of(request: bytes) -> _SignedKey:
    if len(request) > _REQUEST_BYTES:
        raise ValueError(f"a certificate request is at most {_REQUEST_BYTES:,} bytes long")
    try:
        found = x509.load_pem_x509_csr(request)
        is_its_own = found.is_signature_valid
        key = found.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("this is no certificate request (PKCS#10) in PEM") from error
    if not is_its_own:
        raise ValueError("the certificate request is not signed by the key that it holds")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        return key
    raise ValueError(f"a provider's key is EC P-256, EC P-384, or RSA of at least {_RSA_BITS} bits")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: _SignedKey, validity: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind ours takes it, too.
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str, organisation: str) -> x509.Name:
    # Kafka writes a name from its end to its beginning (RFC 4514): CN=…,O=….
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    if re.fullmatch(r"[0-9.]+|.*:.*", host):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        _pem(certificate),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
