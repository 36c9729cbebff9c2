"""Kafka in memory, for the real handlers on a real Postgres: it queues, delivers, and delivers again when told to.

What it leaves out is the broker: rebalancing, access rules, acknowledgements. Those are tested on the real one.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
from aiokafka import ConsumerRecord, TopicPartition
from faststream.kafka import TestKafkaBroker

from services.bidding.opener.app import build as opener_process
from services.bidding.opener.opening import Opener
from services.bidding.opener.settings import Settings as OpenerSettings
from shared.envelope import Actor, Envelope, command_headers, read_headers
from shared.messages import Message, registry
from shared.outbox import decode_headers
from shared.relay import Relay, Sent
from shared.runtime import Runtime
from shared.service import Service
from shared.wiring import Stream
from shared.workers import fire_timer, retry_parked
from tests.conftest import ROLE_PASSWORD

TEST_SETTINGS: dict[str, Any] = {
    "kafka_bootstrap_servers": "kafka.invalid:9092",
    "kafka_username": "test",
    "kafka_password": "test",
    "http_port": 1,
    "secret": "11" * 32,
    "command_patience_s": 0.0,
}


@dataclass
class MemoryKafka:
    """Topics of one partition each."""

    topics: dict[str, list[ConsumerRecord]] = field(default_factory=lambda: defaultdict(list))
    services: list["Running"] = field(default_factory=list)
    copies: int = 1
    """How often each record is delivered."""
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 # an order to repeat, no secret

    def append(
        self,
        topic: str,
        body: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
        key: bytes | None,
        *,
        at: datetime | None = None,
    ) -> ConsumerRecord:
        """Append a record; its append time is now, or `at`."""
        record: ConsumerRecord = ConsumerRecord(
            topic=topic,
            partition=0,
            offset=len(self.topics[topic]),
            timestamp=int((at or datetime.now(UTC)).timestamp() * 1000),
            timestamp_type=1,
            key=key,
            value=body,
            checksum=None,
            serialized_key_size=-1,
            serialized_value_size=-1,
            headers=tuple(headers),
        )
        self.topics[topic].append(record)
        return record

    def command(self, message: Message, actor: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002
        """Append a command as the portal, the officer or the operator would."""
        id_ = id or uuid4()
        headers = command_headers(
            message, id=id_, actor=actor, source="/linepool/test", time=datetime.now(UTC)
        )
        self.append(message.stream, message.to_bytes(), headers, message.subject.encode())
        return id_

    def event(
        self,
        message: Message,
        *,
        id: UUID | None = None,  # noqa: A002
        sequence: int | None = None,
        causation: UUID | None = None,
    ) -> UUID:
        """Append an event as another service would."""
        id_ = id or uuid4()
        envelope = Envelope(
            id=id_,
            type=message.type(),
            source="/linepool/test",
            subject=message.subject,
            time=datetime.now(UTC),
            sequence=sequence,
            correlation_id=id_,
            causation_id=causation or id_,
        )
        self.append(message.stream, message.to_body(), envelope.to_headers(), message.subject.encode())
        return id_

    def from_provider(
        self,
        provider_id: str,
        message: Message,
        *,
        id: str | None = None,  # noqa: A002
        at: datetime | None = None,
    ) -> str:
        """Append a provider's message to its own topic."""
        id_ = id or str(uuid4())
        headers = [("ce_id", id_.encode()), ("ce_type", message.type().encode()), ("ce_specversion", b"1.0")]
        self.append(f"replies.{provider_id}", message.to_bytes(), headers, None, at=at)
        return id_

    def messages(self, topic: str) -> list[Message]:
        """Return what stands on a topic, read as its types."""
        found = []
        for record in self.topics[topic]:
            type_ = read_headers(record.headers).type
            found.append(registry[type_ or ""].from_record(record.key, record.value))
        return found

    @asynccontextmanager
    async def sender(self) -> AsyncIterator["MemorySender"]:
        """Yield what a relay sends with."""
        yield MemorySender(self)

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """Return where a topic ends."""
        return {TopicPartition(topic, 0): len(self.topics[topic])}

    async def settle(self, *, rounds: int = 200) -> None:
        """Let all services work until nothing moves any more."""
        for _ in range(rounds):
            moved = False
            for service in self.random.sample(self.services, len(self.services)):
                moved = await service.work() or moved
            if not moved:
                return
        raise AssertionError("the services do not come to rest")


@dataclass
class MemorySender:
    """Appends outbox rows."""

    kafka: MemoryKafka

    async def unknown(self, topics: set[str]) -> set[str]:
        """Every topic exists here."""
        return topics - topics

    async def send(self, rows: Sequence[asyncpg.Record]) -> list[Sent | Exception]:
        """Append each row."""
        return [
            Sent(0, record.offset, record_time(record))
            for record in (
                self.kafka.append(row["topic"], row["body"], decode_headers(row["headers"]), row["key"])
                for row in rows
            )
        ]


@dataclass
class Running:
    """One service on real Postgres, fed from memory."""

    service: Service
    runtime: Runtime
    kafka: MemoryKafka
    relay: Relay
    next: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    steps: list[Callable[[Runtime], Any]] = field(default_factory=list)
    """Extra work of a round, such as one step of a job: `async (runtime) -> bool`, whether anything moved."""

    @property
    def pool(self) -> asyncpg.Pool:
        """The service's own connections."""
        return self.runtime.pool

    def topics_of(self, stream: Stream) -> list[str]:
        """Return the topics that a subscription reads now."""
        if stream.kind == "batches":
            return sorted(topic for topic in self.kafka.topics if topic.startswith(stream.topic))
        return [stream.topic]

    async def work(self) -> bool:
        """Deliver, fire, retry and send once; return whether anything moved."""
        moved = False
        streams = list(self.service.wiring.streams.values())
        for stream in self.kafka.random.sample(streams, len(streams)):
            for topic in self.topics_of(stream):
                moved = await self._deliver(stream, topic) or moved
        while await fire_timer(self.runtime, self.service.timers):
            moved = True
        moved = await retry_parked(self.service.wiring, self.service.broker) or moved
        for step in self.steps:
            moved = bool(await step(self.runtime)) or moved
        return await self.send() or moved

    async def send(self) -> bool:
        """Send what the outbox holds; return whether there was anything."""
        moved = False
        async with self.pool.acquire() as connection, self.kafka.sender() as sender:
            while await connection.fetchval("SELECT true FROM outbox LIMIT 1"):
                await self.relay.send_some(connection, sender)
                moved = True
        return moved

    async def _deliver(self, stream: Stream, topic: str) -> bool:
        at = self.next[stream.consumer, topic]
        new = self.kafka.topics[topic][at:]
        if not new:
            return False
        self.next[stream.consumer, topic] = at + len(new)
        for _ in range(self.kafka.copies):
            if stream.kind == "batches":
                await stream.subscriber.process_message(tuple(_copy(record) for record in new))
            else:
                for record in new:
                    await stream.subscriber.process_message(_copy(record))
        return True

    def rewind(self) -> None:
        """Read all topics from their beginning again."""
        self.next.clear()

    async def tables(self, *, without: Sequence[str] = ()) -> dict[str, list[str]]:
        """Return every table of the service's schema as sorted rows of text, but for what is only measured."""
        names = await self.pool.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'clock_skews'"
        )
        return {
            name["tablename"]: sorted(
                json.dumps([str(value) for value in row.values()])
                for row in await self.pool.fetch(f'SELECT * FROM "{name["tablename"]}"')
            )
            for name in names
            if name["tablename"] not in without
        }


@asynccontextmanager
async def running(service: Service, kafka: MemoryKafka) -> AsyncIterator[Running]:
    """Start a service on its database, without a broker."""
    async with service.open() as runtime, TestKafkaBroker(service.broker):
        runtime.end_offsets = kafka.end_offsets
        one = Running(service, runtime, kafka, Relay(runtime, kafka.sender))
        kafka.services.append(one)
        try:
            yield one
        finally:
            kafka.services.remove(one)


def record_time(record: ConsumerRecord) -> datetime:
    """Return a record's append time."""
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def _copy(record: ConsumerRecord) -> ConsumerRecord:
    return ConsumerRecord(**{name: getattr(record, name) for name in record.__dataclass_fields__})


OPENER_SECRET = "22" * 32


def as_role(dsn: str, role: str) -> str:
    """Return the address of a test's database for a role that the fixture `database` made."""
    address = urlsplit(dsn)
    place = address.netloc.rpartition("@")[2]
    return urlunsplit(address._replace(netloc=f"{role}:{ROLE_PASSWORD}@{place}"))


def open_opener(dsn: str, **settings: Any) -> AbstractAsyncContextManager[Opener]:
    """Start the opener with its own role; call its `work` for a round."""
    own = {"postgres_dsn": as_role(dsn, "opener"), "http_port": 1, "secret": OPENER_SECRET, **settings}
    return opener_process(OpenerSettings(**own)).open()
