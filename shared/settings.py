"""What every service is told by its environment; there is no default for an address or a secret."""

import ssl
from typing import Annotated

from pydantic import Field, SecretBytes, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Read from variables with the prefix `LINEPOOL_`; what every process has to know."""

    model_config = SettingsConfigDict(env_prefix="LINEPOOL_", hide_input_in_errors=True, frozen=True)

    postgres_dsn: SecretStr
    http_host: str = "127.0.0.1"
    http_port: int
    """Serves `/livez`, `/readyz` and `/metrics`."""
    secret: SecretBytes
    """32 bytes in hex, this process's own: what must look random is derived from it."""
    migrate: bool = True
    """Apply pending migrations at start; switched off where a job does it beforehand."""

    @field_validator("secret")
    @classmethod
    def _secret_has_32_bytes(cls, secret: SecretBytes) -> SecretBytes:
        try:
            raw = bytes.fromhex(secret.get_secret_value().decode())
        except ValueError:
            raise ValueError("must be hex digits") from None
        if len(raw) != 32:  # noqa: PLR2004 # said in the message
            raise ValueError("must be 32 bytes in hex, that is 64 digits")
        return SecretBytes(raw)


class ServiceSettings(ProcessSettings):
    """What every service has to know besides; a service adds its own fields."""

    kafka_bootstrap_servers: str
    kafka_username: str
    kafka_password: SecretStr
    kafka_ca_file: str | None = None
    """The authority of the brokers' certificates, PEM; unset: one that this machine trusts. It is always TLS."""
    topic_prefix: str = ""
    """Stands before every topic and consumer group, for a Kafka that is shared with others."""
    session_timeout_ms: Annotated[int, Field(ge=1000)] = 45_000
    """How soon the group gives a dead process's partitions to another."""
    command_patience_s: float = 5.0
    """How long a command waits for facts that are due before it is refused."""
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = 500
    """At most so many records of a batch subscription share a transaction."""
    park_retries: int = 12
    """After so many tries a parked message is marked stuck, and waits for a person."""
    inbox_days: int = 14
    """Inbox rows older than this are deleted once `positions` have passed them."""

    @property
    def kafka_servers(self) -> list[str]:
        """Each `host:port` that stands, with commas between, in `kafka_bootstrap_servers`; FastStream splits none."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",")]

    @field_validator("kafka_ca_file")
    @classmethod
    def _ca_file_holds_certificates(cls, file: str | None) -> str | None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError:
            raise ValueError("must be a file of certificates in PEM") from None
        return file
