"""Kafka and Postgres as containers, behind the same handles as the ones that run as local processes.

Drives the official images and the ones that `.ci/containers` makes alike; LINEPOOL_KAFKA_IMAGE and
LINEPOOL_POSTGRES_IMAGE name them. The engine must run on this machine: ports are published on its loopback.
"""

import io
import os
import secrets
import socket
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from docker.client import DockerClient
from docker.errors import DockerException
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from deploy.access.login import admin_client
from deploy.local.broker import FLAGS, SESSION, BrokerHandle, BrokerSettings, broker_properties
from deploy.local.contained import LOOPBACK, Contained, publish
from deploy.local.handles import StackError
from deploy.local.jars import KAFKA_VERSION
from deploy.local.postgres import DATABASE, SETTINGS
from deploy.local.process import free_port
from deploy.local.tls import BrokerTls, broker_tls

_KAFKA_DATA = Path("/tmp/linepool-kafka")  # noqa: S108 -- inside the container, where every image lets Kafka write
_POSTGRES_DATA = PurePosixPath("/var/lib/postgresql/linepool/data")


class ContainedKafka(Contained, BrokerHandle):
    """A broker in an image of apache/kafka's protocol, with the settings of the local one."""

    def __init__(self, image: str, log: Path, certificates: Path) -> None:
        self._settings = BrokerSettings.new()
        self._tls = broker_tls(certificates)
        self._admin_created = False
        super().__init__(_kafka_container(image, self._settings, self._tls), log)

    def _answers(self) -> bool:
        try:
            if not self._admin_created:
                self._create_admin()
            admin_client(self.bootstrap_servers, self.admin, self.ca_file).list_topics(timeout=2)
        except KafkaException:
            return False
        return True

    def _create_admin(self) -> None:
        """Make the super user's login, as the broker, on the listener where the broker talks to itself."""
        client = AdminClient(
            {
                "bootstrap.servers": f"{LOOPBACK}:{self._settings.internal_port}",
                "security.protocol": "SASL_SSL",
                "ssl.ca.location": str(self.ca_file),
                "sasl.mechanism": "PLAIN",
                "sasl.username": "broker",
                "sasl.password": self._settings.broker_password,
                # It is asked before the broker answers, again and again.
                "log_level": 0,
            }
        )
        secret = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        login = UserScramCredentialUpsertion(self.admin.username, secret, self.admin.password.encode())
        for written in client.alter_user_scram_credentials([login], request_timeout=2).values():
            written.result()
        self._admin_created = True


class ContainedPostgres(Contained):
    """A PostgreSQL in an image of the official one's protocol, with the settings of the local one."""

    def __init__(self, image: str, log: Path) -> None:
        self._port = free_port()
        self._password = secrets.token_hex(16)
        super().__init__(_postgres_container(image, self._port, self._password), log)

    @property
    def admin_dsn(self) -> str:
        """The super user's, with the services' database."""
        return self._dsn(self._port)

    def copy_to(self, folder: Path) -> None:
        """Copy the running cluster, as one archive, into a folder that does not exist yet (pg_basebackup)."""
        scratch = f"/tmp/copy-{secrets.token_hex(4)}"  # noqa: S108 -- inside the container, its own and random
        copy = f"{scratch}/{_POSTGRES_DATA.name}"
        self._call("pg_basebackup", "-D", copy, "-X", "stream", "-c", "fast", "-d", self._dsn(5432))
        chunks, _ = self._container.get_wrapped_container().get_archive(copy)
        folder.mkdir(parents=True)
        with (folder / "cluster.tar").open("xb") as archive:
            archive.writelines(chunks)
        self._call("rm", "-rf", scratch)

    def restore_from(self, folder: Path) -> None:
        """Replace the data by a copy made by `copy_to`, and start on it at the same address."""
        archive = folder / "cluster.tar"
        if not archive.exists():
            raise StackError(f"{folder} holds no copy of a Postgres cluster")
        self.stop()
        container = self._container.get_wrapped_container()
        # A folder is merged into a folder of its name, but gives way to a file, as the file does to the copy.
        for content in (_archive_of_empty_file(_POSTGRES_DATA.name), archive.read_bytes()):
            container.put_archive(str(_POSTGRES_DATA.parent), content)
        self.start()

    def _answers(self) -> bool:
        # Over TCP, because the image's first start runs a private server on its socket.
        return self._exec("pg_isready", "-q", "-h", LOOPBACK)[0] == 0

    def _dsn(self, port: int) -> str:
        return f"postgresql://admin:{self._password}@{LOOPBACK}:{port}/{DATABASE}"

    def _call(self, *program: str) -> None:
        code, said = self._exec(*program)
        if code:
            raise StackError(f"{program[0]} failed in {self._container.image}: {said.decode().strip()}")

    def _exec(self, *program: str) -> tuple[int, bytes]:
        result = self._container.get_wrapped_container().exec_run(list(program), user="postgres")
        return result.exit_code, result.output


@contextmanager
def start_containers(folder: Path) -> Iterator[tuple[ContainedKafka, ContainedPostgres]]:
    """Start both side by side and remove them, with their data, at the end. Their logs go to `folder`.

    Raises:
        StackError: no engine answers, an image cannot be had, or a server does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    require_engine()
    try:
        kafka = ContainedKafka(kafka_image(), folder / "kafka.log", folder / "tls")
        postgres = ContainedPostgres(postgres_image(), folder / "postgres.log")
    except DockerException as error:
        raise StackError(f"the Docker engine does not answer: {error}") from error
    with ExitStack() as removal:
        for server in (kafka, postgres):
            removal.callback(server.remove)
        with ThreadPoolExecutor(max_workers=2) as starters:
            starting = [starters.submit(server.start) for server in (kafka, postgres)]
        for start in starting:
            start.result()
        yield kafka, postgres


def require_engine() -> None:
    """Raise StackError when nothing listens at DOCKER_HOST or, where that is not set, at the usual socket.

    Asked before the Docker client is, which leaves its socket open when it is refused.
    """
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    path = host.removeprefix("unix://")
    if path == host:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            raise StackError(f"no Docker engine answers at {host}: {error.strerror}") from error


def images_are_present() -> bool:
    """Say whether an engine answers that holds both images, so that starting them downloads nothing."""
    try:
        require_engine()
        client = DockerClient.from_env()
    except (StackError, DockerException):
        return False
    try:
        for image in (kafka_image(), postgres_image()):
            client.images.get(image)
    except DockerException:
        return False
    finally:
        client.close()
    return True


def kafka_image() -> str:
    """The image of LINEPOOL_KAFKA_IMAGE, or the official one of the version that runs without containers."""
    return os.environ.get("LINEPOOL_KAFKA_IMAGE") or f"apache/kafka:{KAFKA_VERSION}"


def postgres_image() -> str:
    """The image of LINEPOOL_POSTGRES_IMAGE, or the official one."""
    return os.environ.get("LINEPOOL_POSTGRES_IMAGE") or "postgres:18"


def _kafka_container(image: str, settings: BrokerSettings, tls: BrokerTls) -> DockerContainer:
    container = DockerContainer(image).with_env("CLUSTER_ID", settings.cluster_id)
    for name, value in _container_properties(settings, tls).items():
        variable = name.replace("_", "__").replace("-", "___").replace(".", "_").upper()
        container.with_env(f"KAFKA_{variable}", value)
    heap = [flag for flag in FLAGS if flag.startswith(("-Xms", "-Xmx"))]
    container.with_env("KAFKA_HEAP_OPTS", " ".join(heap))
    container.with_env("KAFKA_JVM_PERFORMANCE_OPTS", " ".join(flag for flag in FLAGS if flag not in heap))
    # The same numbers inside and outside, so that the advertised addresses hold on both sides.
    for port in _published(settings).values():
        publish(container, port, port)
    return container


def _published(settings: BrokerSettings) -> dict[str, int]:
    return {name: port for name, port in settings.ports.items() if name != "CONTROLLER"}


def _container_properties(settings: BrokerSettings, tls: BrokerTls) -> dict[str, str]:
    """Return the local broker's properties with what the image's protocol asks to be different.

    The image formats its log folder without SCRAM users and with a static quorum. So the broker logs in to
    itself with PLAIN, and the super user's login is created once it is up.
    """
    text = broker_properties(settings, _KAFKA_DATA, tls, SESSION)
    values = dict(line.split("=", 1) for line in text.splitlines())
    del values["controller.quorum.bootstrap.servers"]
    del values["listener.name.internal.scram-sha-512.sasl.jaas.config"]
    public = _published(settings)
    controller = f"{LOOPBACK}:{settings.controller_port}"
    return values | {
        "controller.quorum.voters": f"1@{controller}",
        "listeners": ",".join(
            [f"CONTROLLER://{controller}", *(f"{name}://0.0.0.0:{port}" for name, port in public.items())]
        ),
        "advertised.listeners": ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in public.items()),
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.internal.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.internal.plain.sasl.jaas.config": values[
            "listener.name.controller.plain.sasl.jaas.config"
        ],
    }


def _postgres_container(image: str, port: int, password: str) -> PostgresContainer:
    container = PostgresContainer(image, username="admin", password=password, dbname=DATABASE, driver=None)
    # Where it listens is the image's business.
    own = {
        name: value
        for name, value in SETTINGS.items()
        if name not in {"listen_addresses", "unix_socket_directories"}
    }
    container.with_command(
        ["postgres", *(word for name, value in own.items() for word in ("-c", f"{name}={value}"))]
    )
    container.with_env("PGDATA", str(_POSTGRES_DATA))
    publish(container, container.port, port)
    return container


def _archive_of_empty_file(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()
