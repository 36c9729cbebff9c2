"""A Kafka of several brokers on this machine, each of which can be killed and started again by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.access.certificates import Authority
from deploy.access.login import Login
from deploy.local.broker import BrokerSettings, Member, kafka_uuid
from deploy.local.handles import StackError
from deploy.local.kafka import LocalKafka
from deploy.local.tls import broker_tls


@dataclass(frozen=True)
class SeveralBrokers:
    """The handle of a stack's Kafka; every address names all of its brokers."""

    nodes: tuple[LocalKafka, ...]

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(node.bootstrap_servers for node in self.nodes)

    @property
    def services_bootstrap(self) -> str:
        return ",".join(node.services_bootstrap for node in self.nodes)

    @property
    def providers_bootstrap(self) -> str:
        return ",".join(node.providers_bootstrap for node in self.nodes)

    @property
    def ca_file(self) -> Path:
        return self.nodes[0].ca_file

    @property
    def providers_authority(self) -> Authority:
        return self.nodes[0].providers_authority

    @property
    def admin(self) -> Login:
        return self.nodes[0].admin

    def start(self) -> None:
        """Start them together: none answers before most of them run."""
        for node in self.nodes:
            node.begin()
        with ThreadPoolExecutor(max_workers=len(self.nodes)) as all_at_once:
            for waited in [all_at_once.submit(node.wait_ready) for node in self.nodes]:
                waited.result()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def stop(self) -> None:
        raise StackError(
            "the last brokers of a cluster do not stop in order: there is nobody to hand over to"
        )

    restart = stop


@contextmanager
def several_brokers(folder: Path, count: int = 3) -> Iterator[SeveralBrokers]:
    """Run so many brokers, each a controller too; kill them in the end."""
    first = BrokerSettings.new()
    settings = [
        first,
        *(
            replace(
                BrokerSettings.new(),
                cluster_id=first.cluster_id,
                admin_password=first.admin_password,
                broker_password=first.broker_password,
            )
            for _ in range(count - 1)
        ),
    ]
    places = [f"127.0.0.1:{one.controller_port}" for one in settings]
    controllers = ",".join(f"{number}@{place}:{kafka_uuid()}" for number, place in enumerate(places, 1))
    folder.mkdir(parents=True, exist_ok=True)
    tls = broker_tls(folder / "tls")
    nodes = tuple(
        LocalKafka(
            folder / f"broker-{number}",
            member=Member(number, one, tls, controllers, ",".join(places), count),
        )
        for number, one in enumerate(settings, 1)
    )
    with ExitStack() as running:
        running.callback(SeveralBrokers(nodes).kill)
        SeveralBrokers(nodes).start()
        yield SeveralBrokers(nodes)
