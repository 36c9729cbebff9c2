"""One way to say who is asking, for both client libraries."""

import ssl
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from deploy.access.certificates import Authority
from linepool.client.connection import Connection

PID = "k3v9q2m7x1ab"
PRINCIPAL = f"providers.{PID}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority.new("Linepool providers")
    authority.write(folder / "ca.pem", folder / "ca.key.pem")
    authority.issue_for_provider(PID).write(folder / "certificate.pem", folder / "key.pem")
    return folder


def by_certificate(folder: Path) -> Connection:
    return Connection(
        "kafka.invalid:9094",
        PRINCIPAL,
        ca_file=folder / "ca.pem",
        certificate_file=folder / "certificate.pem",
        key_file=folder / "key.pem",
    )


def by_password(folder: Path) -> Connection:
    return Connection("kafka.invalid:9092", PRINCIPAL, "secret", folder / "ca.pem")


def test_a_password_is_only_said_over_verified_tls(folder: Path) -> None:
    for connection in (by_password(folder), Connection("kafka.invalid:9092", PRINCIPAL, "secret")):
        arguments = connection.arguments()
        assert arguments["security_protocol"] == "SASL_SSL"
        assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
        assert arguments["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert arguments["ssl_context"].check_hostname
        assert connection.properties()["security.protocol"] == "SASL_SSL"
        assert connection.properties()["ssl.endpoint.identification.algorithm"] == "https"


def test_only_the_authority_that_is_named_is_trusted(folder: Path) -> None:
    trusted = by_password(folder).arguments()["ssl_context"].get_ca_certs()
    assert [dict(pair[0] for pair in one["subject"])["commonName"] for one in trusted] == [
        "Linepool providers"
    ]


def test_a_certificate_takes_the_place_of_the_password(folder: Path) -> None:
    connection = by_certificate(folder)
    arguments = connection.arguments()
    assert arguments["security_protocol"] == "SSL"
    assert arguments["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert not [name for name in [*arguments, *connection.properties()] if "sasl" in name]
    assert connection.properties()["ssl.certificate.location"] == str(folder / "certificate.pem")


def test_librdkafka_takes_every_property(folder: Path) -> None:
    # It refuses a property that it does not know, and reads the files at once.
    for connection in (by_certificate(folder), by_password(folder)):
        AdminClient({**connection.properties(), "log_level": 0})


def test_neither_or_both_ways_or_half_of_one_are_refused(folder: Path) -> None:
    half = folder / "certificate.pem"
    with pytest.raises(ValueError, match="either a password or a certificate"):
        Connection("kafka.invalid:9092", PRINCIPAL)
    with pytest.raises(ValueError, match="either a password or a certificate"):
        Connection("kafka.invalid:9092", PRINCIPAL, "secret", certificate_file=half, key_file=half)
    with pytest.raises(ValueError, match="a certificate needs its key"):
        Connection("kafka.invalid:9092", PRINCIPAL, certificate_file=half)


def test_a_password_is_not_shown(folder: Path) -> None:
    assert "secret" not in repr(by_password(folder))
