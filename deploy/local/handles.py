"""What a stack hands out for its Kafka and its Postgres, wherever they run."""

from pathlib import Path
from typing import Protocol

from deploy.access.certificates import Authority
from deploy.access.login import Login


class StackError(RuntimeError):
    """The stack cannot do what was asked; the text is one sentence for the person at the keyboard."""


class Server(Protocol):
    """A server that can be stopped and started again at the same address with the same data."""

    def start(self) -> None:
        """Start and return when it answers. Raises StackError when it does not within its deadline."""

    def stop(self) -> None:
        """Stop in order, as an operator would. Does nothing when it is not running."""

    def kill(self) -> None:
        """Stop at once, as a power cut would, as far as one process can show it."""

    def restart(self) -> None:
        """Stop in order if it still runs, and start again at the same address."""


class KafkaHandle(Server, Protocol):
    """A broker with access control, over TLS alone. Its addresses are the same for the handle's whole life."""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for everyone with a SCRAM-SHA-512 login; a session there ends and is renewed."""

    @property
    def services_bootstrap(self) -> str:
        """`host:port` for the services, with their SCRAM-SHA-512 logins."""

    @property
    def providers_bootstrap(self) -> str:
        """`host:port` for providers that log in by certificate. Raises StackError where nothing is known of it."""

    @property
    def ca_file(self) -> Path:
        """The authority of the broker's certificate, PEM."""

    @property
    def providers_authority(self) -> Authority:
        """Who signs providers' certificates. Raises StackError where that is not known."""

    @property
    def admin(self) -> Login:
        """The login of a super user, for deploy/access and for tests that look from outside."""


class PostgresHandle(Server, Protocol):
    """A PostgreSQL server with one database for all services."""

    @property
    def admin_dsn(self) -> str:
        """`postgresql://user:password@host:port/database` of a super user, the same for the handle's life."""

    def copy_to(self, folder: Path) -> None:
        """Copy the running database cluster into a new folder."""

    def restore_from(self, folder: Path) -> None:
        """Replace the data by a copy made by `copy_to`, and start again. The server may run or not."""
