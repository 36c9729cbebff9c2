"""A Kafka of three brokers: each dies once while a purchase runs."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.access.apply import add_providers, apply_access, difference_of
from deploy.access.broker import Broker
from deploy.access.found import look
from deploy.local.process import wait_until
from deploy.local.stack import Stack
from tests.integration.beside import another_installation
from tests.integration.faults import meanwhile
from tests.integration.several_brokers import SeveralBrokers, several_brokers
from tests.integration.system import PROVIDERS, UNLISTED, running_system


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeveralBrokers]:
    with several_brokers(tmp_path_factory.mktemp("brokers")) as running:
        yield running


def all_copies_are_there(broker: Broker) -> bool:
    topics = broker.client().list_topics(timeout=10).topics.values()
    partitions = [one for topic in topics for one in topic.partitions.values()]
    return all(len(one.isrs) == len(one.replicas) == 3 for one in partitions)


@pytest.mark.soak
async def test_a_purchase_is_whole_although_one_broker_after_the_other_dies(
    stack: Stack, brokers: SeveralBrokers, tmp_path: Path
) -> None:
    async with another_installation(replace(stack, kafka=brokers), "several.", tmp_path) as place:
        broker = replace(place.broker, replicas=3)
        await asyncio.to_thread(apply_access, broker, place.passwords)
        passwords = {pid: secrets.token_hex(16) for pid in (*PROVIDERS, UNLISTED)}
        logins = await asyncio.to_thread(add_providers, broker, passwords)
        assert not difference_of(broker)
        assert {topic.replicas for topic in look(broker).topics.values()} == {3}
        assert {topic.settings["min.insync.replicas"] for topic in look(broker).topics.values()} == {"2"}

        async with running_system(place, providers=dict(zip(passwords, logins, strict=True))) as system:
            before = {node.pid for node in brokers.nodes}

            async def each_dies_once() -> None:
                for node in brokers.nodes:
                    await asyncio.to_thread(node.kill)
                    await asyncio.to_thread(node.start)
                    await asyncio.to_thread(
                        wait_until, lambda: all_copies_are_there(broker), 90, lambda: "a broker is behind"
                    )

            await meanwhile(system, [system.purchase() for _ in range(3)], each_dies_once, apart=8, takes=15)
            assert not before & {None, *(node.pid for node in brokers.nodes)}
