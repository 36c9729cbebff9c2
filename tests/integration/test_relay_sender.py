"""The relay's producer on a real broker: a key stays on its partition while topics are made beside it."""

import asyncio
from typing import Any
from uuid import uuid4

from aiokafka.partitioner import DefaultPartitioner

from deploy.local.stack import Stack
from shared.kafka import sender
from shared.relay import Sent
from shared.settings import ServiceSettings

KEYS = [str(uuid4()).encode() for _ in range(40)]


def row(topic: str, key: bytes) -> Any:
    return {"topic": topic, "key": key, "headers": b"[]", "body": b"{}"}


async def partitions_of_keys(kafka: Any, topic: str) -> list[int]:
    outcomes = await kafka.send([row(topic, key) for key in KEYS])
    assert all(isinstance(one, Sent) for one in outcomes), outcomes
    return [one.partition for one in outcomes]


async def test_a_key_stays_on_its_partition_when_a_topic_is_made_after_the_relay_has_started(
    stack: Stack,
) -> None:
    login = stack.login("distribution")
    settings = ServiceSettings(
        kafka_bootstrap_servers=stack.services_bootstrap,
        kafka_ca_file=str(stack.ca_file),
        kafka_username=login.username,
        kafka_password=login.password,
        postgres_dsn=stack.dsn("distribution"),
        http_port=1,
        secret=b"11" * 32,
    )
    events = f"{stack.prefix}distribution.events"
    provider_id = f"late{uuid4().hex[:8]}"
    async with sender(settings) as kafka:
        client = kafka.producer.client
        # A producer that was told of no topic sees all of them, once it has asked after its first connection.
        async with asyncio.timeout(20):
            while not client.cluster.partitions_for_topic(events):
                await client.force_metadata_update()
        count = len(client.cluster.partitions_for_topic(events))
        assert count > 1
        await asyncio.to_thread(stack.add_provider, provider_id)
        missing = await kafka.unknown({events, f"{stack.prefix}invitations.{provider_id}"})
        assert events not in missing
        partitions = list(range(count))
        partitioner = DefaultPartitioner()
        expected = [partitioner(key, partitions, partitions) for key in KEYS]
        assert await partitions_of_keys(kafka, events) == expected
