"""Connections to Kafka beside FastStream's consumers: the relay's producer, and reading where topics end."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from faststream.security import SASLScram512

from shared.crash import crash
from shared.fetched import fetch_safely
from shared.relay import SEND_TIMEOUT_S, Sent, headers_of
from shared.settings import ServiceSettings

LOG_APPEND_TIME = 1
MESSAGE_BYTES = 1_000_000
"""A larger message is not sent: the broker would refuse it, and an idempotent producer would refuse all after it."""
_ASK_SECONDS = 5.0
choose_partition = DefaultPartitioner()


def tls(settings: ServiceSettings) -> ssl.SSLContext:
    """Return the context that verifies the broker: its authority, and the name or address that we connect to."""
    return ssl.create_default_context(cafile=settings.kafka_ca_file)


def security(settings: ServiceSettings) -> SASLScram512:
    """Return FastStream's description of our login."""
    return SASLScram512(
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        ssl_context=tls(settings),
        use_ssl=True,
    )


def login(settings: ServiceSettings) -> dict[str, Any]:
    """Return the same login as aiokafka's arguments."""
    return {
        "bootstrap_servers": settings.kafka_servers,
        "security_protocol": "SASL_SSL",
        "ssl_context": tls(settings),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }


async def why_refused(settings: ServiceSettings) -> str:
    """Say in a few words why no connection came about; aiokafka says it to its log alone.

    Each broker that is named is asked. Where one of them speaks TLS with a good certificate, it is the login that was refused.
    """
    brokers = [(host, port) for host, port, _ in collect_hosts(settings.kafka_servers, randomize=False)]
    answers = await asyncio.gather(*(_why_no_tls(host, port, tls(settings)) for host, port in brokers))
    for (host, port), against in zip(brokers, answers, strict=True):
        if against is None:
            return f"{host}:{port} does not know the login of {settings.kafka_username}"
    return "; ".join(against for against in answers if against)


async def _why_no_tls(host: str, port: int, context: ssl.SSLContext) -> str | None:
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {host}:{port} is not to be trusted ({error.verify_message})"
    except ssl.SSLError:
        return f"{host}:{port} does not speak TLS"
    except OSError as error:
        return f"{host}:{port} does not answer ({type(error).__name__})"
    writer.transport.abort()
    return None


class KafkaSender:
    """The relay's `Sender` on a real producer: acks=all, idempotent."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer

    async def unknown(self, topics: set[str]) -> set[str]:
        """Ask the broker about topics that are not in the metadata yet, all at once.

        A producer that was never told of a topic sees all of them; from the first one on it is told of, it sees those alone.
        So it is told of every topic, and what it does not see after it has asked is unknown, whether it saw it before or not.
        """
        client = self.producer.client
        told = [client.add_topic(topic) for topic in topics]
        if not all(map(client.cluster.partitions_for_topic, topics)):
            await asyncio.gather(*told)
            await client.force_metadata_update()
        return {topic for topic in topics if not client.cluster.partitions_for_topic(topic)}

    async def send(self, rows: Sequence[asyncpg.Record]) -> list[Sent | Exception]:
        """Send all, then wait for all.

        Rows of one partition go as record batches in their order; after a row that fails, none of its topic that comes later
        is said to be sent. Batches are built here because handing over rows one by one costs twice the time.
        """
        places: dict[tuple[str, int], list[int]] = {}
        for index, row in enumerate(rows):
            places.setdefault((row["topic"], self._partition(row["topic"], row["key"])), []).append(index)
        sending = [
            asyncio.ensure_future(
                self._send_to(topic, partition, [(index, rows[index]) for index in indexes])
            )
            for (topic, partition), indexes in places.items()
        ]
        crash("after_send")
        outcomes: list[Sent | Exception] = [TimeoutError("not acknowledged")] * len(rows)
        if sending:
            # A partition that does not answer fails alone: an idempotent producer would wait for it without end.
            done, late = await asyncio.wait(sending, timeout=SEND_TIMEOUT_S)
            for one in late:
                one.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            for one in done:
                for index, outcome in one.result():
                    outcomes[index] = outcome
        return outcomes

    def _partition(self, topic: str, key: bytes) -> int:
        partitions: list[int] = sorted(self.producer.client.cluster.partitions_for_topic(topic))
        if len(partitions) == 1:
            return partitions[0]
        return int(choose_partition(key, partitions, partitions))

    async def _send_to(
        self, topic: str, partition: int, rows: Sequence[tuple[int, asyncpg.Record]]
    ) -> list[tuple[int, Sent | Exception]]:
        """Send rows to one partition, in order; return what became of each."""
        outcomes: list[tuple[int, Sent | Exception]] = []
        rest = list(rows)
        try:
            while rest:
                batch, taken = self.producer.create_batch(), 0
                for _, row in rest:
                    headers = headers_of(row)
                    size = (
                        len(row["body"] or b"")
                        + len(row["key"])
                        + sum(len(name) + len(value) for name, value in headers)
                    )
                    if size > MESSAGE_BYTES:
                        break
                    if (
                        batch.append(timestamp=None, key=row["key"], value=row["body"], headers=headers)
                        is None
                    ):
                        break
                    taken += 1
                if not taken:
                    raise MessageSizeTooLargeError
                meta = await (await self.producer.send_batch(batch, topic, partition=partition))
                at = (
                    datetime.fromtimestamp(meta.timestamp / 1000, UTC)
                    if meta.timestamp_type == LOG_APPEND_TIME
                    else None
                )
                outcomes += [
                    (index, Sent(partition, meta.offset + number, at))
                    for number, (index, _) in enumerate(rest[:taken])
                ]
                rest = rest[taken:]
        except (KafkaError, ValueError) as error:
            outcomes += [(index, error) for index, _ in rest]
        return outcomes


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
    fetch_safely()
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
