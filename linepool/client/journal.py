"""Reading topics from their beginning, and waiting for what is to come."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from linepool.client.connection import Connection
from shared.envelope import Received, read_headers
from shared.fetched import fetch_safely
from shared.messages import Message, registry

M = TypeVar("M", bound=Message)
_POLL_MS = 200


@dataclass(frozen=True)
class Entry:
    """A record of a topic. `topic` is without prefix, `appended_at` is the broker's time."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    body: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    appended_at: datetime
    envelope: Received

    @cached_property
    def message(self) -> Message | None:
        """What it says, where it can be read as its type."""
        model = registry.get(self.envelope.type or "")
        if model is None:
            return None
        try:
            return model.from_record(self.key, self.body)
        except ValueError:
            return None

    @property
    def id(self) -> UUID | None:
        """The CloudEvents id where it is a UUID, as ours always are."""
        try:
            return UUID(self.envelope.id or "")
        except ValueError:
            return None

    @property
    def type_name(self) -> str:
        """The type as people read it, such as `GroupOpened`; `?` where there is none."""
        known = registry.get(self.envelope.type or "")
        return known.__name__ if known else self.envelope.type or "?"

    def says(self, type_: type[M], about: UUID | str | None = None) -> M | None:
        """Return the message if it is of this type (and its subject is this one)."""
        model = registry.get(self.envelope.type or "")
        # Only what is asked for is read: parts of documents and of usage are large.
        if model is None or not issubclass(model, type_):
            return None
        message = self.message
        if not isinstance(message, type_) or (about is not None and message.subject != str(about)):
            return None
        return message


class Journal:
    """All records of some topics, as they come, in memory. Order holds within each partition.

    Made by `open_journal`. Waiting raises what broke the reading, such as a topic that the login may not read.
    """

    def __init__(self, consumer: AIOKafkaConsumer, prefix: str) -> None:
        self.entries: list[Entry] = []
        self._consumer = consumer
        self._prefix = prefix
        self._topics: list[str] = []
        self._grown = asyncio.Condition()
        self._broken: BaseException | None = None

    async def add(self, topics: Iterable[str]) -> None:
        """Read these topics too, from their beginning. TimeoutError: one of them is not there after 10 s."""
        self._topics += [topic for topic in topics if topic not in self._topics]
        places: list[TopicPartition] = []
        async with asyncio.timeout(10):
            for topic in self._topics:
                places += await partitions_of(self._consumer, self._prefix + topic)
        known = self._consumer.assignment()
        reached = {place: await self._consumer.position(place) for place in known}
        self._consumer.assign(places)
        for place in places:
            self._consumer.seek(place, reached.get(place, 0))

    async def wait_for(self, wanted: Callable[[Entry], M | None], *, within: float, what: str = "") -> M:
        """Return the first message that `wanted` finds, among those read already or yet to come.

        Raises:
            TimeoutError: none came within so many seconds; it names `what`.
        """
        seen = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    while seen < len(self.entries):
                        found = wanted(self.entries[seen])
                        seen += 1
                        if found is not None:
                            return found
                    await self._growth(seen)
        except TimeoutError:
            raise TimeoutError(
                f"{what or 'what was waited for'} did not come within {within:.0f} s"
            ) from None

    async def wait_until(self, condition: Callable[[], bool], *, within: float, what: str = "") -> None:
        """Wait until a condition on what was read holds. Raises as `wait_for`."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    await self._growth(len(self.entries))
        except TimeoutError:
            raise TimeoutError(
                f"{what or 'what was waited for'} did not hold within {within:.0f} s"
            ) from None

    def all_of(self, type_: type[M], about: UUID | str | None = None) -> list[M]:
        """Return every message of this type (about this subject) read so far."""
        found = (entry.says(type_, about) for entry in self.entries)
        return [message for message in found if message is not None]

    async def catch_up(self, *, within: float = 30) -> None:
        """Wait until everything is read that the topics hold now."""
        places = sorted(self._consumer.assignment())
        ends = await self._consumer.end_offsets(places)
        try:
            async with asyncio.timeout(within):
                while True:
                    self._raise_if_broken()
                    reached = [await self._consumer.position(place) >= end for place, end in ends.items()]
                    if all(reached):
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimeoutError(f"the topics were not read to their ends within {within:.0f} s") from None

    async def beginnings(self) -> dict[tuple[str, int], int]:
        """Return the first offset that is left of each partition, by topic (without prefix) and number."""
        found = await self._consumer.beginning_offsets(sorted(self._consumer.assignment()))
        return {
            (one.topic.removeprefix(self._prefix), one.partition): offset for one, offset in found.items()
        }

    async def _growth(self, size: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.entries) > size or self._broken is not None)
        self._raise_if_broken()

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    async def read(self) -> None:
        """Read until cancelled; what goes wrong is raised to those who wait."""
        try:
            while True:
                # Without an assignment the consumer would return at once, for ever.
                if not self._consumer.assignment():
                    await asyncio.sleep(_POLL_MS / 1000)
                    continue
                found = await self._consumer.getmany(timeout_ms=_POLL_MS)
                new = [self._entry(record) for records in found.values() for record in records]
                if new:
                    self.entries += new
                    async with self._grown:
                        self._grown.notify_all()
        except Exception as error:  # noqa: BLE001 # it is raised again to everyone who waits
            self._broken = error
            async with self._grown:
                self._grown.notify_all()

    def _entry(self, record: ConsumerRecord) -> Entry:
        return entry_of(record, self._prefix)


def entry_of(record: ConsumerRecord, prefix: str = "") -> Entry:
    """Read a record; whatever cannot be read is missing, and nothing is raised."""
    return Entry(
        topic=record.topic.removeprefix(prefix),
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        body=record.value,
        headers=tuple(record.headers),
        appended_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        envelope=read_headers(record.headers),
    )


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return a topic's partitions, once the broker knows it.

    Raises:
        TopicAuthorizationFailedError: the broker does not let this login see it.
    """
    client = consumer._client  # noqa: SLF001 # no public call asks for a topic outside a subscription
    await client.add_topic(topic)
    while not (found := consumer.partitions_for_topic(topic)):
        if topic in client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(topic)
        await client.force_metadata_update()
        await asyncio.sleep(0.05)
    return [TopicPartition(topic, number) for number in sorted(found)]


@asynccontextmanager
async def open_journal(
    connection: Connection, topics: Iterable[str], *, group: str | None = None
) -> AsyncIterator[Journal]:
    """Read topics (named without prefix) from their beginning while the context lasts.

    With `group` (without prefix) the login must also be allowed to use that consumer group; its offsets are never committed.

    Raises:
        KafkaError: the broker is away or refuses the login.
        TimeoutError: a topic is not there.
    """
    fetch_safely()
    consumer = AIOKafkaConsumer(
        **connection.arguments(),
        client_id=f"{connection.username}-journal",
        group_id=None if group is None else connection.prefix + group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    reading: asyncio.Task[None] | None = None
    try:
        await consumer.start()
        journal = Journal(consumer, connection.prefix)
        await journal.add(topics)
        reading = asyncio.create_task(journal.read())
        yield journal
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()


async def topic_names(connection: Connection) -> list[str]:
    """Return the topics that the login may see, without the prefix, in order. Kafka's own are left out."""
    fetch_safely()
    consumer = AIOKafkaConsumer(**connection.arguments(), client_id=f"{connection.username}-topics")
    await consumer.start()
    try:
        seen: set[str] = await consumer.topics()
    finally:
        await consumer.stop()
    ours = (name for name in seen if name.startswith(connection.prefix) and not name.startswith("__"))
    return sorted(name.removeprefix(connection.prefix) for name in ours)


async def read_all(connection: Connection, topics: Iterable[str], *, within: float = 30) -> list[Entry]:
    """Return what the topics hold now, from their beginning to their end. Raises as `open_journal`."""
    async with open_journal(connection, topics) as journal:
        await journal.catch_up(within=within)
        return journal.entries
