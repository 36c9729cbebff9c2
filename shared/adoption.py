"""After a restore: what this service has already said, read back from its own streams, so that it says nothing else now.

The relay notes how far it has written each topic. Where a topic goes on past that point, the database is older than the
topic: the events there are decisions that this database has forgotten. They keep their time and their version when the
messages that led to them are handled again, and their rows in the log come out as they were: same cause, actor and head. A
command that was obeyed then is not refused now.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import asyncpg

from shared.chain import LogEntry
from shared.envelope import as_uuid, read_headers
from shared.messages import registry

RELAY = "relay"
"""The name under which the relay notes its positions."""


@dataclass(frozen=True)
class AdoptedEvent:
    """An event found on an own stream that the database does not know."""

    event_id: UUID
    decision_id: UUID
    type: str
    stream: str
    subject: str
    sequence: int
    decided_at: datetime
    body: bytes
    """Empty for a tombstone."""
    cause_id: UUID
    actor_id: UUID | None
    chain: bytes
    """The head of its subject's log with this event's entry; empty where the event had no place in a log."""
    body_sha256: bytes | None = None
    """Of a body that was erased since, so that its entry is the same without it."""

    @property
    def entry(self) -> LogEntry:
        """What the log said of it."""
        return LogEntry(
            self.sequence,
            self.event_id,
            self.type,
            self.cause_id,
            self.actor_id,
            self.decided_at,
            self.body_sha256 or sha256(self.body).digest(),
        )


@dataclass
class Adoptions:
    """The adopted events, by id and by the decision that they came from."""

    events: dict[UUID, AdoptedEvent] = field(default_factory=dict)
    by_decision: dict[UUID, list[AdoptedEvent]] = field(default_factory=dict)
    last_words: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """By stream and subject, when the newest of its adopted events was decided."""

    @classmethod
    def of(cls, events: Iterable[AdoptedEvent]) -> "Adoptions":
        """Index the events."""
        adoptions = cls()
        for event in events:
            adoptions.add(event)
        return adoptions

    def add(self, event: AdoptedEvent) -> None:
        """Add one event; one that is known already stays as it is."""
        if event.event_id not in self.events:
            self.events[event.event_id] = event
            self.by_decision.setdefault(event.decision_id, []).append(event)
            about = (event.stream, event.subject)
            self.last_words[about] = max(event.decided_at, self.last_words.get(about, event.decided_at))

    def event(self, event_id: UUID) -> AdoptedEvent | None:
        """Return the event as it was said then, if it was."""
        return self.events.get(event_id)

    def decided_at(self, decision: UUID) -> datetime | None:
        """Return when this decision was made, if it was."""
        found = self.by_decision.get(decision)
        return min(event.decided_at for event in found) if found else None

    def have_later_word(self, stream: str, subject: str, decision: UUID) -> bool:
        """Whether more was said of a subject after this decision was made, which a compacted topic has kept instead."""
        decided, last = self.decided_at(decision), self.last_words.get((stream, subject))
        return decided is not None and last is not None and last > decided

    def of_decision(self, decision: UUID) -> list[AdoptedEvent]:
        """Return all that this decision said."""
        return self.by_decision.get(decision, [])


async def load(connection: asyncpg.Connection) -> Adoptions:
    """Return the adoptions noted so far."""
    rows = await connection.fetch(
        "SELECT event_id, decision_id, type, stream, subject, sequence, decided_at, body, cause_id, actor_id, chain, "
        "body_sha256 FROM adopted"
    )
    return Adoptions.of(AdoptedEvent(**row) for row in rows)


async def adopt(
    connection: asyncpg.Connection,
    stream: str,
    records: Iterable[tuple[Mapping[str, bytes] | list[tuple[str, bytes]], bytes | None]],
    *,
    topic: str | None = None,
) -> list[AdoptedEvent]:
    """Note the events among the records of an own stream that neither log nor outbox know; return them.

    A record is its headers and its body. The version of each subject moves up to what was said, and the head of its log with
    it, so that nothing new takes a number that is taken or forks the chain; on a provider's `topic`, which counts all that is
    said there and has no log, the topic's version does.
    """
    found = []
    for headers, body in records:
        received = read_headers(headers.items() if isinstance(headers, Mapping) else headers)
        event_id = as_uuid(received.id)
        if event_id is None or received.type is None or received.subject is None:
            continue
        model = registry.get(received.type)
        if body is None and (model is None or not model.tombstone):
            continue
        if received.sequence is None or received.time is None or received.causation_id is None:
            continue
        decision = received.decision_id or received.causation_id
        found.append(
            AdoptedEvent(
                event_id,
                decision,
                received.type,
                stream,
                received.subject,
                received.sequence,
                received.time,
                body or b"",
                received.causation_id,
                received.actor_id,
                received.log_head or b"",
            )
        )
    if not found:
        return []
    known = await connection.fetch(
        "SELECT event_id FROM log WHERE event_id = ANY($1) UNION ALL SELECT event_id FROM outbox WHERE event_id = ANY($1)",
        [one.event_id for one in found],
    )
    new = [one for one in found if one.event_id not in {row["event_id"] for row in known}]
    if topic is None:
        new = await _chained(connection, new)
    async with connection.transaction():
        await connection.executemany(
            "INSERT INTO adopted (event_id, decision_id, type, stream, subject, sequence, decided_at, body, "
            "cause_id, actor_id, chain) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
            [
                (
                    one.event_id,
                    one.decision_id,
                    one.type,
                    one.stream,
                    one.subject,
                    one.sequence,
                    one.decided_at,
                    one.body,
                    one.cause_id,
                    one.actor_id,
                    one.chain,
                )
                for one in new
            ],
        )
        await connection.executemany(
            "INSERT INTO subjects (stream, subject, version, chain) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (stream, subject) DO UPDATE SET version = excluded.version, chain = excluded.chain "
            "WHERE excluded.version > subjects.version",
            [(topic or one.stream, "" if topic else one.subject, one.sequence, one.chain) for one in new],
        )
    return new


async def _chained(connection: asyncpg.Connection, events: Sequence[AdoptedEvent]) -> list[AdoptedEvent]:
    """Give each event the head that it had; one said before heads travelled goes on from the one before it."""
    rows = (
        await connection.fetch("SELECT subject, chain FROM subjects WHERE stream = $1", events[0].stream)
        if events
        else []
    )
    heads = {row["subject"]: row["chain"] for row in rows}
    chained = []
    for one in sorted(events, key=lambda event: event.sequence):
        head = one.chain or one.entry.head_after(heads.get(one.subject, b""))
        heads[one.subject] = head
        chained.append(replace(one, chain=head))
    return chained
