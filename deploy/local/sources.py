"""Where a stack's Kafka and Postgres come from: the environment, a Docker engine, or local processes.

LINEPOOL_STACK          `environment`, `containers` or `local`; unset: the first of them that is there
LINEPOOL_STACK_KAFKA    `host:port` of a Kafka with TLS, SCRAM-SHA-512 and access control
  LINEPOOL_STACK_KAFKA_CA_FILE   the authority of its certificate, PEM
  LINEPOOL_STACK_KAFKA_USERNAME, LINEPOOL_STACK_KAFKA_PASSWORD   a super user's login there
  LINEPOOL_STACK_KAFKA_SERVICES  `host:port` of its listener for the services (default: the same)
LINEPOOL_STACK_POSTGRES `postgresql://user:password@host:port/database` of a super user
LINEPOOL_STACK_PREFIX   what stands before all topics, groups and users, for a shared Kafka (default: nothing)
LINEPOOL_HOME           where downloads and data go (default: `.linepool` in the source tree)
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.access.certificates import Authority
from deploy.access.login import Login
from deploy.local.handles import KafkaHandle, PostgresHandle, StackError
from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres


@dataclass(frozen=True)
class Servers:
    """The two servers, and where they come from."""

    kafka: KafkaHandle
    postgres: PostgresHandle
    source: str


class _Foreign:
    """A server that someone else runs: it can be used, but not stopped from here."""

    def start(self) -> None:
        """Do nothing: it runs already."""

    def stop(self) -> None:
        raise StackError("a server named in the environment is not stopped from here")

    kill = restart = stop


@dataclass(frozen=True)
class ForeignKafka(_Foreign):
    """The Kafka named in the environment."""

    bootstrap_servers: str
    services_bootstrap: str
    ca_file: Path
    admin: Login

    @property
    def providers_bootstrap(self) -> str:
        """Refuse."""
        raise StackError("of a Kafka named in the environment, no certificate listener is known")

    @property
    def providers_authority(self) -> Authority:
        """Refuse."""
        raise StackError("for a Kafka named in the environment, no certificates are signed from here")


@dataclass(frozen=True)
class ForeignPostgres(_Foreign):
    """The Postgres named in the environment."""

    admin_dsn: str

    def copy_to(self, folder: Path) -> None:
        """Refuse."""
        raise StackError(f"a Postgres named in the environment is not copied to {folder} from here")

    def restore_from(self, folder: Path) -> None:
        """Refuse."""
        raise StackError(f"a Postgres named in the environment is not restored from {folder} from here")


@contextmanager
def servers(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Servers]:
    """Yield running servers and stop them at the end, however it comes. Data goes to `folder`.

    Raises StackError with one sentence when the source asked for is not there.
    """
    source = choose_source(environment)
    if source == "environment":
        yield from_environment(environment)
    elif source == "containers":
        # Imported here: only this source needs a Docker client.
        from deploy.local.containers import start_containers  # noqa: PLC0415 -- as above

        with start_containers(folder) as (kafka, postgres):
            yield Servers(kafka, postgres, source)
    else:
        with _local(folder) as found:
            yield found


def choose_source(environment: Mapping[str, str]) -> str:
    """Return `environment`, `containers` or `local`. Raises StackError for a half-given or unknown choice."""
    asked = environment.get("LINEPOOL_STACK", "")
    if asked not in ("", "environment", "containers", "local"):
        raise StackError(f"LINEPOOL_STACK is `environment`, `containers` or `local`, not {asked!r}")
    addresses = [
        name for name in ("LINEPOOL_STACK_KAFKA", "LINEPOOL_STACK_POSTGRES") if environment.get(name)
    ]
    if asked == "environment" or (not asked and addresses):
        return "environment"
    if asked:
        return asked
    return "containers" if _containers_are_ready(environment) else "local"


def from_environment(environment: Mapping[str, str]) -> Servers:
    """Return the servers whose addresses the environment gives. StackError names what it does not give."""
    names = ("KAFKA", "KAFKA_CA_FILE", "KAFKA_USERNAME", "KAFKA_PASSWORD", "POSTGRES")
    missing = [f"LINEPOOL_STACK_{name}" for name in names if not environment.get(f"LINEPOOL_STACK_{name}")]
    if missing:
        raise StackError(
            f"the environment names a stack, but not all of it: {', '.join(missing)} must be set"
        )
    address, ca_file, username, password, postgres = (environment[f"LINEPOOL_STACK_{name}"] for name in names)
    services = environment.get("LINEPOOL_STACK_KAFKA_SERVICES") or address
    return Servers(
        ForeignKafka(address, services, Path(ca_file), Login(username, password)),
        ForeignPostgres(postgres),
        "environment",
    )


def _containers_are_ready(environment: Mapping[str, str]) -> bool:
    if not environment.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    from deploy.local.containers import images_are_present  # noqa: PLC0415 -- only needed where an engine may be

    return images_are_present()


@contextmanager
def _local(folder: Path) -> Iterator[Servers]:
    kafka, postgres = LocalKafka(folder / "kafka"), LocalPostgres(folder / "postgres")
    with ExitStack() as running, ThreadPoolExecutor(max_workers=2) as both:
        running.callback(postgres.stop)
        running.callback(kafka.stop)
        for started in [both.submit(kafka.start), both.submit(postgres.start)]:
            started.result()
        yield Servers(kafka, postgres, "local")
