"""The certificates of a local broker, and how the broker is told of them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.access.certificates import PRINCIPAL_RULE, SERVER_VALIDITY, Authority, Pair

HOSTS = ("127.0.0.1", "localhost")
"""Under these a local broker is reached."""


@dataclass(frozen=True)
class BrokerTls:
    """Two authorities and one broker's certificate. `ca_file` holds, as PEM, what a client must trust."""

    ca_file: Path
    providers: Authority
    broker: Pair

    def properties(self, certificate_listener: str) -> dict[str, object]:
        """Return the broker's properties for all listeners; on the one that is named, a client logs in by certificate."""
        own = f"listener.name.{certificate_listener.lower()}"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": _one_line(self.broker.certificate),
            "ssl.keystore.key": _one_line(self.broker.key),
            # With this the broker verifies itself, when it connects to itself.
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": _one_line(self.ca_file.read_bytes()),
            f"{own}.ssl.truststore.type": "PEM",
            f"{own}.ssl.truststore.certificates": _one_line(self.providers.certificate),
            f"{own}.ssl.client.auth": "required",
            f"{own}.ssl.principal.mapping.rules": PRINCIPAL_RULE,
        }


def broker_tls(folder: Path) -> BrokerTls:
    """Return the certificates kept in a folder, made the first time; one that ends soon is made anew by the same authority."""
    folder.mkdir(parents=True, exist_ok=True)
    brokers, providers = (_authority(folder, name) for name in ("brokers", "providers"))
    return BrokerTls(folder / "brokers-ca.pem", providers, _broker(folder, brokers))


def _authority(folder: Path, name: str) -> Authority:
    certificate_file, key_file = folder / f"{name}-ca.pem", folder / f"{name}-ca.key.pem"
    if certificate_file.exists():
        return Authority.read(certificate_file, key_file)
    new = Authority.new(f"Linepool {name}")
    new.write(certificate_file, key_file)
    return new


def _broker(folder: Path, authority: Authority) -> Pair:
    certificate_file, key_file = folder / "broker.pem", folder / "broker.key.pem"
    if certificate_file.exists():
        kept = Pair(certificate_file.read_bytes(), key_file.read_bytes())
        if kept.expires_at - datetime.now(UTC) > SERVER_VALIDITY / 3:
            return kept
    new = authority.issue_for_server(HOSTS)
    new.write(certificate_file, key_file)
    return new


def _one_line(pem: bytes) -> str:
    # Java's properties know "\n" as an end of line inside a value.
    return pem.decode().strip().replace("\n", "\\n")
