"""Where a Kafka is and who is asking."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Connection:
    """One principal's way to a Kafka: its SCRAM-SHA-512 login, and the prefix that stands before all topics and groups."""

    bootstrap_servers: str
    username: str
    password: str = field(repr=False)
    ca_file: Path | None = None
    prefix: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return aiokafka's arguments for this login."""
        context = ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else None
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": "SASL_SSL" if context else "SASL_PLAINTEXT",
            "ssl_context": context,
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    def topic(self, name: str) -> str:
        """Return the topic's name at this Kafka."""
        return self.prefix + name
