"""A login at Kafka, and the client for administration that uses it."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient


@dataclass(frozen=True)
class Login:
    """A SCRAM-SHA-512 login at Kafka."""

    username: str
    password: str = field(repr=False)


def admin_client(bootstrap_servers: str, login: Login, ca_file: Path | None = None) -> AdminClient:
    """Return a client for administration, over TLS.

    The broker's certificate must be of the authority in the file (PEM; unset: of one that this machine trusts).
    It keeps quiet about connections it will try again; its calls raise KafkaException.
    """
    quiet = logging.getLogger("deploy.access.kafka")
    quiet.setLevel(logging.CRITICAL)
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap_servers,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": login.username,
        "sasl.password": login.password,
    }
    if ca_file:
        settings["ssl.ca.location"] = str(ca_file)
    return AdminClient(settings, logger=quiet)
