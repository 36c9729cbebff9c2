"""What is compared: a service's log, what it still has to send, what it has adopted, and what stands on its own topics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import asyncpg

from deploy.access.model import topics
from linepool.client.journal import Entry
from shared.chain import LogEntry
from shared.envelope import as_uuid, read_headers
from shared.outbox import decode_headers
from shared.readback import own_streams

TOPICS = {topic.name: topic for topic in topics()}


@dataclass(frozen=True)
class Logged:
    """A row of a log, or of what was adopted and has no row yet; `head` is the chain's head with it."""

    stream: str
    subject: str
    entry: LogEntry
    head: bytes
    adopted: bool = False


@dataclass(frozen=True)
class Said:
    """An event on a topic, or in the outbox; `head` is None where it was said before heads travelled."""

    place: str
    stream: str
    subject: str
    entry: LogEntry
    head: bytes | None
    body: bytes


@dataclass(frozen=True)
class End:
    """Where a subject's log ends, as the table `subjects` says."""

    version: int
    head: bytes


@dataclass(frozen=True)
class Disclosure:
    """A row of the disclosure ledger."""

    purchase_id: UUID
    request_version: int
    provider_id: str
    kind: str
    """transmitted, offered or granted."""
    content_sha256: str
    qualification: int
    disclosed_at: datetime
    cause_id: UUID


@dataclass(frozen=True)
class Tables:
    """What a service's schema holds, as one moment saw it. `ends` go by stream and subject."""

    service: str
    rows: tuple[Logged, ...]
    adopted: tuple[Logged, ...]
    ends: Mapping[tuple[str, str], End]
    unsent: tuple[Said, ...]
    disclosures: tuple[Disclosure, ...] = ()


@dataclass(frozen=True)
class Topic:
    """What the records of one own topic can show.

    `unreadable` are the places of records that are no events of the service. `cut`: by partition, the first offset that
    is left where earlier ones are gone. `erased` are the keys of tombstones.
    """

    events: tuple[Said, ...]
    unreadable: tuple[str, ...] = ()
    cut: Mapping[int, int] = field(default_factory=dict)
    erased: frozenset[str] = frozenset()


async def read_tables(connection: asyncpg.Connection, service: str) -> Tables:
    """Read a service's schema, on a connection whose search path it is."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        log = await connection.fetch("SELECT * FROM log")
        adopted = await connection.fetch(
            "SELECT * FROM adopted WHERE event_id NOT IN (SELECT event_id FROM log)"
        )
        # Where something was said to a provider, only the topic is counted; no log belongs to it.
        subjects = await connection.fetch("SELECT * FROM subjects WHERE subject <> ''")
        outbox = await connection.fetch("SELECT topic, headers, body FROM outbox ORDER BY id")
        ledger = await connection.fetch("SELECT * FROM disclosures") if service == "distribution" else []
    streams = own_streams(service)
    return Tables(
        service,
        rows=tuple(Logged(row["stream"], row["subject"], _entry(row), row["chain"]) for row in log),
        adopted=tuple(
            Logged(row["stream"], row["subject"], _adopted_entry(row), row["chain"], adopted=True)
            for row in adopted
            if row["stream"] in streams
        ),
        ends={(row["stream"], row["subject"]): End(row["version"], row["chain"]) for row in subjects},
        unsent=tuple(_unsent(outbox, streams)),
        disclosures=tuple(
            Disclosure(**{name: row[name] for name in Disclosure.__dataclass_fields__}) for row in ledger
        ),
    )


def read_topic(
    name: str, entries: Iterable[Entry], beginnings: Mapping[int, int], known: set[UUID] | None
) -> Topic:
    """Read the records of one own topic; `beginnings` is the first offset left of each partition.

    Records of `known` ids only are taken, where that is given.
    """
    events, unreadable, erased = [], [], set()
    for entry in entries:
        place = f"{name}/{entry.partition}@{entry.offset}"
        if entry.body is None and TOPICS[name].cleanup_policy == "compact":
            erased.add((entry.key or b"").decode("utf-8", "replace"))
            continue
        event = said(place, name, entry.headers, entry.body)
        if event is None:
            unreadable.append(place)
        elif known is None or event.entry.event_id in known:
            events.append(event)
    cut = {partition: offset for partition, offset in beginnings.items() if offset > 0}
    return Topic(tuple(events), tuple(unreadable), cut, frozenset(erased))


def said(
    place: str, stream: str, headers: Iterable[tuple[str, bytes | None]], body: bytes | None
) -> Said | None:
    """Read an event; None where it lacks what every fact of a service has."""
    received = read_headers(headers)
    event_id = as_uuid(received.id)
    if event_id is None or received.type is None or received.subject is None or body is None:
        return None
    if received.sequence is None or received.time is None or received.causation_id is None:
        return None
    entry = LogEntry(
        sequence=received.sequence,
        event_id=event_id,
        type=received.type,
        cause_id=received.causation_id,
        actor_id=received.actor_id,
        decided_at=received.time,
        body_sha256=sha256(body).digest(),
    )
    return Said(place, stream, received.subject, entry, received.log_head, body)


def _unsent(outbox: Sequence[asyncpg.Record], streams: Sequence[str]) -> Iterable[Said]:
    for row in outbox:
        stream = next((one for one in streams if f".{row['topic']}".endswith(f".{one}")), None)
        if stream is not None:
            event = said("outbox", stream, decode_headers(row["headers"]), row["body"])
            if event is not None:
                yield event


def _entry(row: Any) -> LogEntry:
    return LogEntry(**{name: row[name] for name in LogEntry.__dataclass_fields__})


def _adopted_entry(row: Any) -> LogEntry:
    return _entry({**dict(row), "body_sha256": sha256(row["body"]).digest()})
