"""What our authorities sign, and what they do not."""

import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from deploy.access.certificates import PRINCIPAL_RULE, Authority, Pair

PID = "k3v9q2m7x1ab"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("Linepool providers")


def parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def request(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, name: str = "admin"
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    wishes = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("kafka.example")]), critical=False)
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return wishes.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def test_a_servers_certificate_is_good_for_its_names_and_for_no_other() -> None:
    authority = Authority.new("Linepool brokers")
    leaf = parsed(authority.issue_for_server(["127.0.0.1", "localhost"]).certificate)
    store = PolicyBuilder().store(Store([parsed(authority.certificate)]))
    store.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
    with pytest.raises(VerificationError):
        store.build_server_verifier(x509.DNSName("kafka.example")).verify(leaf, [])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_providers_certificate_names_it_and_is_a_clients(authority: Authority) -> None:
    pair = authority.issue_for_provider(PID)
    leaf = parsed(pair.certificate)
    assert leaf.subject.rfc4514_string() == f"CN=providers.{PID},O=Linepool providers"
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    store = PolicyBuilder().store(Store([parsed(authority.certificate)]))
    with pytest.raises(VerificationError):
        store.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
    leaf.verify_directly_issued_by(parsed(authority.certificate))
    key = serialization.load_pem_private_key(pair.key, password=None)
    assert key.public_key() == leaf.public_key()


def test_a_prefix_stands_in_the_name(authority: Authority) -> None:
    leaf = parsed(authority.issue_for_provider(PID, "north.").certificate)
    assert leaf.subject.rfc4514_string() == f"CN=north.providers.{PID},O=Linepool providers"


@pytest.mark.parametrize(("pid", "prefix"), [("admin", ""), ("K3V9Q2M7X1AB", ""), (PID, "a.b."), (PID, "a")])
def test_an_id_or_prefix_that_is_none_gets_no_certificate(
    authority: Authority, pid: str, prefix: str
) -> None:
    with pytest.raises(ValueError, match="unlike"):
        authority.issue_for_provider(pid, prefix)


def test_certificates_are_valid_now_and_end_soon(authority: Authority) -> None:
    now = datetime.now(UTC)
    server, own = authority.issue_for_server(["localhost"]), authority.issue_for_provider(PID)
    for pair in (server, own):
        assert parsed(pair.certificate).not_valid_before_utc < now
        assert timedelta(days=30) < pair.expires_at - now <= timedelta(days=90)


def test_of_a_request_only_the_key_counts(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = parsed(authority.sign_request(request(key), PID))
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.rfc4514_string() == f"CN=providers.{PID},O=Linepool providers"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 -- what must be refused
        ec.generate_private_key(ec.SECP224R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["RSA 1024", "P-224", "Ed25519"],
)
def test_a_key_that_is_weak_or_that_clients_lack_is_refused(
    authority: Authority, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    with pytest.raises(ValueError, match="at least 2048 bits"):
        authority.sign_request(request(key), PID)


def test_an_rsa_key_of_usual_size_is_taken(authority: Authority) -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert parsed(authority.sign_request(request(key), PID)).public_key() == key.public_key()


def test_what_is_no_request_is_refused_in_one_sentence(authority: Authority) -> None:
    good = request(ec.generate_private_key(ec.SECP256R1()))
    for bad, said in [
        (b"", "no certificate request"),
        (b"\xff\x00", "no certificate request"),
        (authority.certificate, "no certificate request"),
        (good[:200], "no certificate request"),
        (good + b" " * 20_000, "at most 16,384 bytes"),
    ]:
        with pytest.raises(ValueError, match=said):
            authority.sign_request(bad, PID)


def test_a_request_that_another_key_signed_is_refused(authority: Authority) -> None:
    mine, other = (x509.load_pem_x509_csr(request(ec.generate_private_key(ec.SECP256R1()))) for _ in range(2))
    foreign = mine.public_bytes(serialization.Encoding.DER).replace(
        mine.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        ),
        other.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        ),
    )
    forged = x509.load_der_x509_csr(foreign).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ValueError, match="not signed by the key that it holds"):
        authority.sign_request(forged, PID)


def test_files_are_for_their_owner_alone_and_give_the_same_authority_again(
    authority: Authority, tmp_path: Path
) -> None:
    certificate_file, key_file = tmp_path / "ca.pem", tmp_path / "ca.key.pem"
    key_file.touch(0o644)
    authority.write(certificate_file, key_file)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"ca.pem", "ca.key.pem"}
    again = Authority.read(certificate_file, key_file)
    parsed(again.issue_for_provider(PID).certificate).verify_directly_issued_by(parsed(authority.certificate))
    Authority.new("other").write(tmp_path / "other.pem", tmp_path / "other.key.pem")
    with pytest.raises(ValueError, match="is not the key of"):
        Authority.read(certificate_file, tmp_path / "other.key.pem")


def test_a_key_is_not_shown(authority: Authority) -> None:
    shown = repr(authority.pair) + repr(authority) + repr(Pair(b"certificate", b"secret"))
    assert "PRIVATE" not in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("name", "user"),
    [
        (f"CN=providers.{PID},O=Linepool providers", f"providers.{PID}"),
        (f"CN=north.providers.{PID},O=Linepool providers", f"north.providers.{PID}"),
        ("CN=admin,O=Linepool providers", None),
        ("CN=broker,O=Linepool providers", None),
        ("CN=bidding,O=Linepool providers", None),
        (f"CN=providers.{PID},O=Linepool", None),
        (f"CN=providers.{PID},O=Linepool providers,C=DE", None),
        (f"CN=providers.{PID}x,O=Linepool providers", None),
        (f"CN=providers.{PID}.x,O=Linepool providers", None),
        (f"CN=providersx{PID},O=Linepool providers", None),
        (f"CN=providers.{PID}+OU=x,O=Linepool providers", None),
        (f"OU=x,CN=providers.{PID},O=Linepool providers", None),
        (f"CN=admin\\,CN\\=providers.{PID},O=Linepool providers", None),
        (f"CN=a.b.providers.{PID},O=Linepool providers", None),
        (f"CN=providers.{PID},O=Linepool providers\n", None),
        (f"O=Linepool providers,CN=providers.{PID}", None),
    ],
)
def test_the_rule_makes_providers_and_nobody_else(name: str, user: str | None) -> None:
    pattern, replacement = PRINCIPAL_RULE.removeprefix("RULE:").removesuffix("/").split("/")
    assert replacement == "$1"
    # As Kafka does: the whole name must match.
    found = re.fullmatch(pattern, name)
    assert (found[1] if found else None) == user
