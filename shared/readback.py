"""At start, a service reads its own streams from where its relay last wrote, and adopts what it has forgotten."""

import asyncpg
import structlog

from shared import adoption
from shared.kafka import partitions_of, reader
from shared.messages import Order, registry
from shared.postgres import connect
from shared.runtime import Runtime

PROVIDER_FACING = {"distribution": "invitations.", "bidding": "notices."}
"""Provider-facing topics that are read back too: who was shown a request, and how each message was answered, must never be
forgotten."""


def own_streams(service: str) -> list[str]:
    """Return the streams that this service alone writes."""
    return sorted(
        {
            message.stream
            for message in registry.values()
            if message.stream.startswith(f"{service}.") and not issubclass(message, Order)
        }
    )


async def adopt_forgotten(runtime: Runtime) -> int:
    """Adopt what lies on the own streams behind the relay's positions; return how many events there were."""
    prefix = runtime.settings.topic_prefix
    source = f"/linepool/{runtime.service}".encode()
    count = 0
    async with reader(runtime.settings) as consumer:
        topics = [prefix + stream for stream in own_streams(runtime.service)]
        facing = PROVIDER_FACING.get(runtime.service)
        if facing:
            topics += [topic for topic in await consumer.topics() if topic.startswith(prefix + facing)]
        places = await partitions_of(consumer, topics)
        ends = await consumer.end_offsets(places)
        for place in places:
            next_ = await _relay_position(runtime.pool, place.topic, place.partition)
            if ends[place] <= next_:
                continue
            consumer.assign([place])
            consumer.seek(place, next_)
            records: list[tuple[int, list[tuple[str, bytes]], bytes | None]] = []
            while await consumer.position(place) < ends[place]:
                for batch in (await consumer.getmany(timeout_ms=1000)).values():
                    # On notices.* two services speak.
                    records.extend(
                        (record.offset, list(record.headers), record.value)
                        for record in batch
                        if ("ce_source", source) in record.headers
                    )
            # In one snapshot what another process's relay sends meanwhile is in the outbox or before the position: not forgotten.
            async with (
                connect(runtime.pool) as connection,
                connection.transaction(isolation="repeatable_read"),
            ):
                written = await _relay_position(connection, place.topic, place.partition)
                behind = [(headers, body) for offset, headers, body in records if offset >= written]
                own = place.topic.removeprefix(prefix)
                counted = place.topic if facing and own.startswith(facing) else None
                count += len(await adoption.adopt(connection, own, behind, topic=counted))
    async with connect(runtime.pool) as connection:
        runtime.adoptions = await adoption.load(connection)
    if count:
        structlog.get_logger().warning("adopted", events=count)
    return count


async def _relay_position(connection: asyncpg.Connection | asyncpg.Pool, topic: str, partition: int) -> int:
    next_ = await connection.fetchval(
        "SELECT next FROM positions WHERE consumer = $1 AND topic = $2 AND partition = $3",
        adoption.RELAY,
        topic,
        partition,
    )
    return next_ or 0
