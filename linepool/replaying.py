"""Letting a service read its topics again from their beginning: after Kafka was restored, or a topic was made anew."""

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from linepool.client.connection import Connection
from linepool.client.journal import partitions_of
from linepool.operating import OperatingError
from shared.adoption import RELAY
from shared.fetched import fetch_safely
from shared.relay import RELAY_LOCK


async def forget_positions(connection: asyncpg.Connection, service: str, kafka: Connection) -> int:
    """Forget how far a stopped service has read; return how many partitions it reads again when it starts.

    Inbox and business rows absorb what was handled before. How far the service itself has written each topic is kept, up to
    the topic's end: a position beyond it would hide, after a later restore of the database, what was said in between.

    Args:
        connection: to the service's schema.
        service: its name, for the sentence that is said when it runs.
        kafka: a login that may see all topics that the service writes.

    Raises:
        OperatingError: the service runs; it would write its positions down again.
        KafkaError: the broker is away or refuses the login.
    """
    if not await connection.fetchval(
        "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))", RELAY_LOCK
    ):
        raise OperatingError(f"{service} is running; stop all its processes first")
    written = await connection.fetch(
        "SELECT topic, partition, next FROM positions WHERE consumer = $1", RELAY
    )
    ends = await _ends(kafka, {row["topic"] for row in written})
    async with connection.transaction():
        for row in written:
            place = TopicPartition(row["topic"], row["partition"])
            await connection.execute(
                "UPDATE positions SET next = least(next, $4) WHERE consumer = $1 AND topic = $2 AND partition = $3",
                RELAY,
                place.topic,
                place.partition,
                ends.get(place, 0),
            )
        forgotten = await connection.fetch("DELETE FROM positions WHERE consumer <> $1 RETURNING next", RELAY)
    return len(forgotten)


async def _ends(kafka: Connection, topics: set[str]) -> dict[TopicPartition, int]:
    """Return where the topics end that are there."""
    fetch_safely()
    consumer = AIOKafkaConsumer(**kafka.arguments(), client_id=f"{kafka.username}-ends")
    await consumer.start()
    try:
        there = sorted(topics & await consumer.topics())
        places = [place for topic in there for place in await partitions_of(consumer, topic)]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return ends
    finally:
        await consumer.stop()
