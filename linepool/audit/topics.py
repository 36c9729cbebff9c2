"""Reads a service's own topics to their ends, some records at a time, and on from there when more has come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from linepool.audit.evidence import Topic
from linepool.client.connection import Connection
from linepool.client.journal import Entry, entry_of, partitions_of
from shared.fetched import fetch_safely

_POLL_MS = 500


class Reading:
    """A place in some topics. Made by `open_reading`."""

    def __init__(self, consumer: AIOKafkaConsumer, prefix: str, topics: dict[str, Topic]) -> None:
        self.topics = topics
        """By name without prefix; what was cut off at their beginnings is known."""
        self._consumer = consumer
        self._prefix = prefix

    async def to_the_end(self, *, within: float) -> AsyncIterator[list[Entry]]:
        """Yield what is new up to where the topics end now.

        Raises:
            TimeoutError: nothing came for so many seconds.
        """
        ends = await self._consumer.end_offsets(sorted(self._consumer.assignment()))
        while unread := [one for one, end in ends.items() if await self._consumer.position(one) < end]:
            try:
                async with asyncio.timeout(within):
                    while not (found := await self._consumer.getmany(*unread, timeout_ms=_POLL_MS)):
                        pass
            except TimeoutError:
                raise TimeoutError(
                    f"the topics were not read to their ends: nothing came for {within:.0f} s"
                ) from None
            yield [entry_of(record, self._prefix) for records in found.values() for record in records]


@asynccontextmanager
async def open_reading(kafka: Connection, names: Sequence[str]) -> AsyncIterator[Reading]:
    """Read topics (named without prefix) from their beginning while the context lasts.

    Raises:
        KafkaError: the broker is away or refuses the login.
        TimeoutError: a topic is not there.
    """
    fetch_safely()
    consumer = AIOKafkaConsumer(
        **kafka.arguments(),
        client_id=f"{kafka.username}-audit",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        places: list[TopicPartition] = []
        async with asyncio.timeout(10):
            for name in names:
                places += await partitions_of(consumer, kafka.prefix + name)
        consumer.assign(places)
        topics = {name: Topic() for name in names}
        for place, offset in (await consumer.beginning_offsets(places)).items():
            consumer.seek(place, offset)
            if offset > 0:
                topic = topics[place.topic.removeprefix(kafka.prefix)]
                topic.cut = {**topic.cut, place.partition: offset}
        yield Reading(consumer, kafka.prefix, topics)
    finally:
        await consumer.stop()
