"""A service whose database is lost, and starts again on an empty one or on an older copy."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

import asyncpg
import pytest
from aiokafka import ConsumerRecord, TopicPartition

from shared import readback
from shared.adoption import adopt, load
from shared.postgres import connect
from tests.memory import MemoryKafka, Running, running


@asynccontextmanager
async def rebuilt(
    name: str, lost: Running, database: str, own_streams: Sequence[str]
) -> AsyncIterator[Running]:
    """Start the service again on an empty schema, with what it finds on its own streams adopted, before it handles anything."""
    kafka = lost.kafka
    kafka.services.remove(lost)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(f"ALTER SCHEMA {name} RENAME TO lost")
        await connection.execute(f"CREATE SCHEMA {name}")
    finally:
        await connection.close()
    try:
        async with running(lost.service, kafka) as again:
            async with connect(again.pool) as own:
                for stream in own_streams:
                    records = [(list(record.headers), record.value) for record in kafka.topics[stream]]
                    await adopt(own, stream, records)
                again.runtime.adoptions = await load(own)
            yield again
    finally:
        kafka.services.append(lost)


@dataclass
class Copy:
    """A copy of all tables of a service's schema, as `COPY` writes them."""

    tables: dict[str, bytes]

    @classmethod
    async def of(cls, service: Running) -> "Copy":
        names = await service.pool.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'migrations'"
        )
        tables = {}
        async with service.pool.acquire() as connection:
            for name in names:
                out = BytesIO()
                await connection.copy_from_table(name["tablename"], output=out, format="binary")
                tables[name["tablename"]] = out.getvalue()
        return cls(tables)

    async def restore(self, service: Running) -> None:
        """Put the copy in the place of the database, and let the service start on it as it does after a crash."""
        async with service.pool.acquire() as connection, connection.transaction():
            # As a restored database has them, whatever their constraints and triggers say about changes.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(f"TRUNCATE {', '.join(self.tables)}")
            for table, content in self.tables.items():
                await connection.copy_to_table(table, source=BytesIO(content), format="binary")
        await read_back(service)


async def nothing(_topic: str) -> None:
    """What happens meanwhile where nothing does."""


async def read_back(service: Running, meanwhile: Callable[[str], Awaitable[object]] = nothing) -> None:
    """Do what a service does at start before it handles anything; consumers begin at the positions then.

    `meanwhile` is called with a topic while that is read.
    """

    @asynccontextmanager
    async def reader(_settings: object) -> AsyncIterator["MemoryReader"]:
        yield MemoryReader(service.kafka, meanwhile)

    async def partitions_of(_consumer: object, topics: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, 0) for topic in topics if service.kafka.topics.get(topic)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readback, "reader", reader)
        patch.setattr(readback, "partitions_of", partitions_of)
        await readback.adopt_forgotten(service.runtime)
    for put_right in service.service.on_adopted:
        await put_right(service.runtime)
    service.rewind()


@dataclass
class MemoryReader:
    """What `adopt_forgotten` needs of a consumer, on topics in memory."""

    kafka: MemoryKafka
    meanwhile: Callable[[str], Awaitable[object]]
    at: int = 0
    place: TopicPartition = TopicPartition("", 0)  # noqa: RUF009 # a named tuple

    async def topics(self) -> set[str]:
        return set(self.kafka.topics)

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self.kafka.topics[place.topic]) for place in places}

    def assign(self, places: Sequence[TopicPartition]) -> None:
        (self.place,) = places

    def seek(self, _place: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, _place: TopicPartition) -> int:
        return self.at

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        assert timeout_ms
        records = self.kafka.topics[self.place.topic][self.at : self.at + 3]
        self.at += len(records)
        await self.meanwhile(self.place.topic)
        return {self.place: records}
