"""What services have said that stands on no topic any more although somebody has still to read it.

So it is where Kafka was restored to an older copy than the databases. The log knows every fact that a service has said, and each
reader notes the last version of a subject that it has seen: what lies between and is on no topic is lost to that reader.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from deploy.access.model import services
from linepool.audit.evidence import TOPICS
from linepool.audit.topics import open_reading
from linepool.client.connection import Connection
from linepool.operating import database
from shared.envelope import derived_id
from shared.messages import registry
from shared.readback import own_streams

_AT_A_TIME = 500
_SAID = "SELECT stream, subject, sequence, event_id, type FROM log WHERE event_id NOT IN (SELECT event_id FROM outbox)"


@dataclass(frozen=True, order=True)
class Lost:
    """One fact that no topic has. `unread_by` are the services that had still to read it.

    Of a compacted topic only the newest word about each subject is looked at, and who has read it is not known.
    """

    stream: str
    subject: str
    sequence: int
    type: str
    event_id: UUID
    unread_by: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a line."""
        who = f"not read by {', '.join(self.unread_by)}" if self.unread_by else "the last word about it"
        known = registry.get(self.type)
        name = known.__name__ if known else self.type
        return f"{self.stream}: {name} of {self.subject} (version {self.sequence}) is gone: {who}"


async def find_lost(dsn: str, kafka: Connection, *, within: float = 60) -> list[Lost]:
    """Return what is lost, in order. `dsn` and `kafka` are logins that may read all schemas and all topics of the services.

    The services may run: what they say meanwhile is looked for on the topics afterwards.

    Raises:
        OperatingError: the database cannot be reached.
        KafkaError, TimeoutError: the topics cannot be read, or nothing came for so many seconds.
    """
    readers = {one.name: await _reader(dsn, one.name) for one in services()}
    missing: dict[UUID, Lost] = {}
    for writer in services():
        newest: dict[tuple[str, str], Lost] = {}
        async for row in _rows(dsn, writer.name):
            if _is_compacted(row["stream"]):
                one = Lost(**dict(row), unread_by=())
                about = (one.stream, one.subject)
                newest[about] = max(one, newest.get(about, one), key=lambda said: said.sequence)
                continue
            unread_by = tuple(
                reader.name
                for reader in services()
                if row["stream"] in reader.read
                and reader.name != writer.name
                and not readers[reader.name].has_seen(kafka.prefix, row)
            )
            if unread_by:
                missing[row["event_id"]] = Lost(**dict(row), unread_by=unread_by)
        # A tombstone itself is gone after some days, and what it erased with it.
        missing |= {one.event_id: one for one in newest.values() if not _erases(one.type)}
    if missing:
        streams = sorted({one.stream for one in missing.values()})
        async with open_reading(kafka, streams) as reading:
            async for entries in reading.to_the_end(within=within):
                for entry in entries:
                    if entry.id is not None:
                        missing.pop(entry.id, None)
    return sorted(missing.values())


@dataclass(frozen=True)
class _Reader:
    """How far a service has come: by consumer, topic and subject, the last version; and what it has put aside."""

    name: str
    last: Mapping[tuple[str, str, str], int]
    parked: frozenset[UUID]

    def has_seen(self, prefix: str, said: asyncpg.Record) -> bool:
        """Whether it has handled this fact, or holds it parked."""
        topic = prefix + said["stream"]
        seen = self.last.get((f"{self.name}.{said['stream']}", topic, said["subject"]), 0)
        return seen >= said["sequence"] or (
            derived_id("inbox", topic, "id", str(said["event_id"])) in self.parked
        )


async def _reader(dsn: str, name: str) -> _Reader:
    async with database(dsn, name) as connection:
        last = await connection.fetch("SELECT consumer, topic, subject, last FROM sequences")
        parked = await connection.fetch("SELECT inbox_id FROM parked")
    return _Reader(
        name,
        {(row["consumer"], row["topic"], row["subject"]): row["last"] for row in last},
        frozenset(row["inbox_id"] for row in parked),
    )


async def _rows(dsn: str, name: str) -> AsyncIterator[asyncpg.Record]:
    streams = own_streams(name)
    async with database(dsn, name) as connection, connection.transaction(readonly=True):
        cursor = await connection.cursor(_SAID)
        while rows := await cursor.fetch(_AT_A_TIME):
            for row in rows:
                if row["stream"] in streams:
                    yield row


def _is_compacted(stream: str) -> bool:
    return TOPICS[stream].cleanup_policy == "compact"


def _erases(type_: str) -> bool:
    return type_ in registry and registry[type_].tombstone
