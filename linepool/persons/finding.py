"""Where something about a person stands: every table of every service, and every topic, searched for what reaches them.

What is searched for are their mail addresses, numbers and full names, as text, and as hex and base64 where bytes are kept.
Ids are no such words: events name people by ids for ever, and an id reaches nobody once nothing says whose it is.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from deploy.access.model import Topic, roles, topics
from linepool.client.connection import Connection
from linepool.client.journal import partitions_of
from shared.envelope import read_headers
from shared.fetched import fetch_safely
from shared.messages import registry
from shared.messages.aggregation import AddBuyer, Contact, ContactRecorded, OpenGroup
from shared.messages.people import AppointAuditor, ChangeContact, InviteBuyer

_POLL_MS = 500
_SHORTEST_NAME = 2
"""Names of fewer words are found everywhere, and tell nothing."""


@dataclass(frozen=True)
class Person:
    """What reaches a person, as all their contacts on the topics say it."""

    person_id: UUID
    contacts: tuple[Contact, ...] = field(repr=False)

    @property
    def words(self) -> frozenset[str]:
        """What is searched for."""
        found = {word for one in self.contacts for word in (one.email, one.phone) if word}
        return frozenset(
            found | {one.name for one in self.contacts if len(one.name.split()) >= _SHORTEST_NAME}
        )


@dataclass(frozen=True)
class InTable:
    """So many rows of a table hold something about the person."""

    table: str
    rows: int


@dataclass(frozen=True)
class OnTopic:
    """A record that holds something about the person; `gone_by` is when the broker has removed it at the latest.

    None: it goes once a newer record of its key, or a tombstone, lets it be compacted, which takes a day at most.
    """

    topic: str
    partition: int
    offset: int
    type: str | None
    appended_at: datetime
    gone_by: datetime | None


@dataclass(frozen=True)
class Found:
    """All that was found."""

    tables: tuple[InTable, ...]
    records: tuple[OnTopic, ...]


async def who_is(kafka: Connection, person_id: UUID) -> Person:
    """Gather how a person is and was reached, from all topics that may say it.

    Raises:
        KafkaError: the topics cannot be read.
    """
    found: list[Contact] = []
    names = ("aggregation.contacts", "aggregation.commands", "aggregation.administration")
    async for _, record in records_of(kafka, [topic for topic in topics() if topic.name in names]):
        model = registry.get(read_headers(record.headers).type or "")
        if model is None or record.value is None:
            continue
        try:
            said = model.model_validate_json(record.value)
        except ValueError:
            continue
        match said:
            case ContactRecorded(person_id=about) if about == person_id:
                found.append(Contact(person_id=about, name=said.name, email=said.email, phone=said.phone))
                if said.unconfirmed_email:
                    found.append(Contact(person_id=about, name=said.name, email=said.unconfirmed_email))
            case OpenGroup() | AddBuyer() | InviteBuyer() | AppointAuditor() | ChangeContact():
                if said.contact.person_id == person_id:
                    found.append(said.contact)
            case _:
                pass
    return Person(person_id, tuple(dict.fromkeys(found)))


async def find(dsn: str, kafka: Connection, words: Iterable[str]) -> Found:
    """Search every table and every topic.

    Args:
        dsn: a database where all schemas may be read.
        kafka: a login that may read all topics.
        words: what is searched for; case does not count.

    Raises:
        KafkaError, asyncpg.PostgresError, OSError: something cannot be read.
    """
    wanted = [*words]
    return Found(
        tuple([one async for one in _in_tables(dsn, wanted)]),
        tuple([one async for one in _on_topics(kafka, wanted)]),
    )


async def _in_tables(dsn: str, words: list[str]) -> AsyncIterator[InTable]:
    if not words:
        return
    patterns = [
        f"%{_literal(form)}%" for word in words for form in (word, word.encode().hex(), *_base64(word))
    ]
    connection = await asyncpg.connect(dsn)
    try:
        schemas = [one.schema for one in roles()]
        tables = await connection.fetch(
            "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) AS name FROM information_schema.tables "
            "WHERE table_schema = ANY($1) AND table_type = 'BASE TABLE' ORDER BY 1",
            schemas,
        )
        for table in tables:
            rows = await connection.fetchval(
                f"SELECT count(*) FROM {table['name']} AS t WHERE t::text ILIKE ANY($1::text[])", patterns
            )
            if rows:
                yield InTable(table["name"], rows)
    finally:
        await connection.close()


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _base64(word: str) -> tuple[str, ...]:
    """Return what stands in base64 wherever the word does: one core for each of the three ways it can be aligned."""
    forms = []
    for shift in range(3):
        encoded = b64encode(b"\0" * shift + word.encode()).decode().rstrip("=")
        core = encoded[(0, 2, 3)[shift] : -1]
        forms.append(core)
    return tuple(form for form in forms if len(form) > len(word) // 2)


async def _on_topics(kafka: Connection, words: list[str]) -> AsyncIterator[OnTopic]:
    if not words:
        return
    wanted = [word.lower().encode() for word in words]
    async for topic, record in records_of(kafka, topics()):
        held = b"\0".join(
            part
            for part in (record.key, record.value, *(value for _, value in record.headers))
            if part is not None
        ).lower()
        if any(word in held for word in wanted):
            yield OnTopic(
                topic.name,
                record.partition,
                record.offset,
                read_headers(record.headers).type,
                appended_at(record),
                gone_by(topic, appended_at(record)),
            )


def appended_at(record: ConsumerRecord) -> datetime:
    """Return Kafka's append time."""
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def gone_by(topic: Topic, at: datetime) -> datetime | None:
    """Return when the broker has removed, at the latest, what was appended at a time; None: nobody can say."""
    if topic.cleanup_policy == "compact" or topic.retention_ms < 0:
        return None
    return at + timedelta(milliseconds=topic.retention_ms + (topic.segment_ms or 0))


async def records_of(
    kafka: Connection, wanted: Iterable[Topic]
) -> AsyncIterator[tuple[Topic, ConsumerRecord]]:
    """Yield all that stands on topics now, in the order of each partition. Raises KafkaError where they cannot be read."""
    fetch_safely()
    consumer = AIOKafkaConsumer(**kafka.arguments(), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        owner = {
            place: topic
            for topic in wanted
            for place in await partitions_of(consumer, kafka.topic(topic.name))
        }
        # One assignment for all: a consumer without a group loses its own routine where another takes its place.
        consumer.assign([*owner])
        ends = await consumer.end_offsets([*owner])
        await consumer.seek_to_beginning(*owner)
        while any([await consumer.position(place) < ends[place] for place in owner]):
            for place, batch in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in batch:
                    yield owner[place], record
    finally:
        await consumer.stop()
