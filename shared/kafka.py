"""Connections to Kafka beside FastStream's consumers: the relay's producer, and reading where topics end."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from faststream.security import SASLScram512

from shared.crash import crash
from shared.relay import SEND_TIMEOUT_S, Sent, headers_of
from shared.settings import ServiceSettings

LOG_APPEND_TIME = 1


def tls(settings: ServiceSettings) -> ssl.SSLContext | None:
    """Return the context that verifies the broker, where a certificate authority is set."""
    return ssl.create_default_context(cafile=settings.kafka_ca_file) if settings.kafka_ca_file else None


def security(settings: ServiceSettings) -> SASLScram512:
    """Return FastStream's description of our login."""
    context = tls(settings)
    return SASLScram512(
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        ssl_context=context,
        use_ssl=context is not None,
    )


def login(settings: ServiceSettings) -> dict[str, Any]:
    """Return the same login as aiokafka's arguments."""
    context = tls(settings)
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": "SASL_SSL" if context else "SASL_PLAINTEXT",
        "ssl_context": context,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }


class KafkaSender:
    """The relay's `Sender` on a real producer: acks=all, idempotent."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer

    async def unknown(self, topics: set[str]) -> set[str]:
        """Ask the broker about topics that are not in the metadata yet, all at once."""
        cluster = self.producer.client.cluster
        new = {topic for topic in topics if not cluster.partitions_for_topic(topic)}
        if new:
            await asyncio.gather(*(self.producer.client.add_topic(topic) for topic in new))
            await self.producer.client.force_metadata_update()
        return {topic for topic in new if not cluster.partitions_for_topic(topic)}

    async def send(self, rows: Sequence[asyncpg.Record]) -> list[Sent | Exception]:
        """Send all, then wait for all; after a row that fails at once, no later row of its topic is sent."""
        pending: list[asyncio.Future[Any] | Exception] = []
        failed: dict[str, Exception] = {}
        for row in rows:
            if row["topic"] in failed:
                pending.append(failed[row["topic"]])
                continue
            try:
                pending.append(
                    await self.producer.send(
                        row["topic"], value=row["body"], key=row["key"], headers=headers_of(row)
                    )
                )
            except (KafkaError, ValueError) as error:
                failed[row["topic"]] = error
                pending.append(error)
        crash("after_send")
        waiting = [one for one in pending if not isinstance(one, Exception)]
        if waiting:
            await asyncio.wait(waiting, timeout=SEND_TIMEOUT_S)
        return [one if isinstance(one, Exception) else _result(one) for one in pending]


def _result(future: asyncio.Future[Any]) -> Sent | Exception:
    if not future.done():
        return TimeoutError("not acknowledged")
    error = future.exception()
    if error is not None:
        return error if isinstance(error, Exception) else RuntimeError("cancelled")
    meta = future.result()
    appended = (
        datetime.fromtimestamp(meta.timestamp / 1000, UTC) if meta.timestamp_type == LOG_APPEND_TIME else None
    )
    return Sent(meta.partition, meta.offset, appended)


@asynccontextmanager
async def sender(settings: ServiceSettings) -> AsyncIterator[KafkaSender]:
    """Start a producer; a broken one is not waited for at the end."""
    producer = AIOKafkaProducer(
        **login(settings),
        client_id=f"{settings.kafka_username}-relay",
        acks="all",
        enable_idempotence=True,
        linger_ms=2,
        max_batch_size=131_072,
        metadata_max_age_ms=30_000,
    )
    await producer.start()
    try:
        yield KafkaSender(producer)
    finally:
        try:
            async with asyncio.timeout(3):
                await producer.stop()
        except (TimeoutError, KafkaError):
            await producer.client.close()


@asynccontextmanager
async def reader(settings: ServiceSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer outside any group, for reading ends and own streams."""
    consumer = AIOKafkaConsumer(
        **login(settings),
        client_id=f"{settings.kafka_username}-reader",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def partitions_of(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    """Return the partitions of those topics that exist."""
    await asyncio.gather(*(consumer._client.add_topic(topic) for topic in topics))  # noqa: SLF001 # no public call asks for topics outside a subscription
    await consumer._client.force_metadata_update()  # noqa: SLF001 # as above
    return [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in sorted(consumer.partitions_for_topic(topic) or ())
    ]
