"""Where a Kafka is and who is asking."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Connection:
    """One principal's way to a Kafka, always over TLS, and the prefix that stands before all topics and groups.

    The principal proves who it is by a SCRAM-SHA-512 password or by a certificate: one of the two, at the listener
    that takes it. `username` is its name either way. `certificate_file` and `key_file` are PEM, the key without a
    password of its own. The broker's certificate must be of the authority in `ca_file` (PEM; unset: one that this
    machine trusts) and for the name that is connected to.

    Raises:
        ValueError: neither or both are given, or half a certificate is.
    """

    bootstrap_servers: str
    username: str
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    prefix: str = ""
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        if bool(self.password) == bool(self.certificate_file):
            raise ValueError(f"{self.username} needs either a password or a certificate")

    def arguments(self) -> dict[str, Any]:
        """Return aiokafka's arguments for this connection. Raises OSError for a file that cannot be read."""
        context = ssl.create_default_context(cafile=self.ca_file)
        arguments = {"bootstrap_servers": self.bootstrap_servers, "ssl_context": context}
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
            return arguments | {"security_protocol": "SSL"}
        return arguments | {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    def properties(self) -> dict[str, str]:
        """Return the same as properties of librdkafka, for confluent-kafka and every client built on it."""
        found = {
            "bootstrap.servers": self.bootstrap_servers,
            "ssl.endpoint.identification.algorithm": "https",
        }
        if self.ca_file:
            found["ssl.ca.location"] = str(self.ca_file)
        if self.certificate_file:
            return found | {
                "security.protocol": "SSL",
                "ssl.certificate.location": str(self.certificate_file),
                "ssl.key.location": str(self.key_file),
            }
        return found | {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": self.username,
            "sasl.password": self.password,
        }

    def topic(self, name: str) -> str:
        """Return the topic's name at this Kafka."""
        return self.prefix + name
