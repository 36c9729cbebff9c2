"""What the measurements share: logins, and when the broker appended the records of topics."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.access.login import Login
from deploy.local.stack import Stack
from linepool.client.connection import Connection


def connection(stack: Stack, login: Login | None = None) -> Connection:
    """Return a way to the stack's Kafka, as its super user unless told otherwise."""
    who = login or stack.admin
    return Connection(stack.bootstrap_servers, who.username, who.password, stack.ca_file, stack.prefix)


def producer(stack: Stack, *, login: Login | None = None, **settings: Any) -> AIOKafkaProducer:
    """Return an idempotent producer with acks=all; it logs in as the stack's super user unless told otherwise."""
    return AIOKafkaProducer(
        **connection(stack, login).arguments(), acks="all", enable_idempotence=True, **settings
    )


async def append_times(
    stack: Stack,
    topics: Sequence[str],
    count: int,
    *,
    within: float,
    starts: dict[TopicPartition, int] | None = None,
) -> list[int]:
    """Wait until the topics hold `count` more records than at `starts`; return their append times in ms, sorted.

    Raises:
        TimeoutError: they did not come in time.
    """
    consumer = AIOKafkaConsumer(**connection(stack).arguments(), enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, 0) for topic in topics]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, (starts or {}).get(place, 0))
        times: list[int] = []
        async with asyncio.timeout(within):
            while len(times) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    times.extend(record.timestamp for record in records)
        return sorted(times)
    finally:
        await consumer.stop()


def rate(times: Sequence[int]) -> float:
    """Return records per second between the first and the last append time."""
    return (len(times) - 1) / max(0.001, (times[-1] - times[0]) / 1000)
