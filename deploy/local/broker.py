"""What a Kafka broker of ours is told: its listeners, logins, certificates and limits, wherever it runs."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

from deploy.access.certificates import Authority
from deploy.access.login import Login
from deploy.local.process import free_ports
from deploy.local.tls import BrokerTls

FLAGS = (
    *("-Xms64m", "-Xmx384m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-XX:ReservedCodeCacheSize=64m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    # Every refused access is one line in the log, with its time: without a format it would count from the start.
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd_HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
)
CIPHER_SUITES = (
    *("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"),
    # TLS 1.2, for clients that are older.
    *("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
)
SESSION = timedelta(hours=1)
"""So long lasts a session on the client listener until its login is asked for again, and a deleted user's is over."""
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class BrokerSettings:
    """What one broker remembers: its address on 127.0.0.1 and its secrets survive a restart."""

    cluster_id: str
    controller_port: int
    internal_port: int
    services_port: int
    client_port: int
    providers_port: int
    admin_password: str
    broker_password: str

    @classmethod
    def new(cls) -> Self:
        """Choose free ports and random passwords."""
        cluster = kafka_uuid()
        controller, internal, services, client, providers = free_ports(5)
        admin, broker = secrets.token_hex(16), secrets.token_hex(16)
        return cls(cluster, controller, internal, services, client, providers, admin, broker)

    def elsewhere(self) -> Self:
        """Return the same with other free ports."""
        controller, internal, services, client, providers = free_ports(5)
        return replace(
            self,
            controller_port=controller,
            internal_port=internal,
            services_port=services,
            client_port=client,
            providers_port=providers,
        )

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener, by its name."""
        return {
            "CONTROLLER": self.controller_port,
            "INTERNAL": self.internal_port,
            "SERVICES": self.services_port,
            "CLIENT": self.client_port,
            "PROVIDERS": self.providers_port,
        }


def kafka_uuid() -> str:
    """Return a new id as Kafka writes it, of a cluster or of a folder; it may not begin with a hyphen."""
    return base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=").replace("-", "A")


@dataclass(frozen=True)
class Member:
    """One node of a cluster of several, each broker and controller, that share logins and certificates.

    `controllers` is Kafka's list of all of them (`id@host:port:directory id`), `bootstrap` where their controllers are.
    """

    node_id: int
    settings: BrokerSettings
    tls: BrokerTls
    controllers: str
    bootstrap: str
    nodes: int

    def properties(self) -> Mapping[str, object]:
        """Return what such a node is told otherwise than a single one; what Kafka keeps for itself is on all of them."""
        own = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        return {
            "node.id": self.node_id,
            "controller.quorum.bootstrap.servers": self.bootstrap,
            **{f"{topic}.replication.factor": self.nodes for topic in own},
        }


class BrokerHandle:
    """What a broker of ours hands out, wherever it runs."""

    _settings: BrokerSettings
    _tls: BrokerTls

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port` of the client listener."""
        return f"127.0.0.1:{self._settings.client_port}"

    @property
    def services_bootstrap(self) -> str:
        """`127.0.0.1:port` of the services' listener."""
        return f"127.0.0.1:{self._settings.services_port}"

    @property
    def providers_bootstrap(self) -> str:
        """`127.0.0.1:port` of the certificate listener."""
        return f"127.0.0.1:{self._settings.providers_port}"

    @property
    def ca_file(self) -> Path:
        """What clients trust, PEM."""
        return self._tls.ca_file

    @property
    def providers_authority(self) -> Authority:
        """Who signs the certificates that the certificate listener takes."""
        return self._tls.providers

    @property
    def admin(self) -> Login:
        """The super user."""
        return Login("admin", self._settings.admin_password)


def broker_properties(
    settings: BrokerSettings, data: Path, tls: BrokerTls, session: timedelta, member: Member | None = None
) -> str:
    """Return the text of server.properties: one node, broker and controller, closed to all but its users.

    No listener speaks without TLS. INTERNAL and CONTROLLER are the broker's own; SERVICES is for the services, CLIENT for
    everyone else with a password, PROVIDERS for providers with a certificate.
    """
    broker = f'username="broker" password="{settings.broker_password}"'
    protocols = dict.fromkeys(settings.ports, "SASL_SSL") | {"PROVIDERS": "SSL"}
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "log.dirs": data,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{settings.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in settings.ports.items()),
        "inter.broker.listener.name": "INTERNAL",
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in protocols.items()
        ),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": (
            f'{_PLAIN} {broker} user_broker="{settings.broker_password}";'
        ),
        "listener.name.internal.scram-sha-512.sasl.jaas.config": f"{_SCRAM} {broker};",
        "listener.name.services.scram-sha-512.sasl.jaas.config": f"{_SCRAM};",
        "listener.name.client.scram-sha-512.sasl.jaas.config": f"{_SCRAM};",
        # Services are ours and keep their connections: aiokafka cannot renew a login, it would reconnect, noisily.
        "listener.name.client.connections.max.reauth.ms": int(session.total_seconds() * 1000),
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
        # FLAGS leave out Java's second compiler, which starts faster; without it, AES costs three times as much.
        "ssl.cipher.suites": ",".join(CIPHER_SUITES),
        **tls.properties("PROVIDERS"),
        **(member.properties() if member else {}),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
