"""What a handler says is written beside what it did, in the same transaction; the relay sends it afterwards.

Ids are derived from the decision that is being made, so that a replay says the same again. A message on one of the service's own
streams also gets the subject's next version and an entry in the log, which says each fact only once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from shared.adoption import AdoptedEvent, Adoptions
from shared.chain import LogEntry
from shared.crash import crash
from shared.envelope import Actor, Envelope, command_headers, derived_id
from shared.messages.base import AboutPurchase, Message, Order

BODY_BYTES = 960_000
"""The largest body: with its headers it stays under the relay's limit, and that under the broker's."""


@dataclass(frozen=True)
class Outgoing:
    """One message of a bulk: `cause` is what its id derives from, `provider_id` whose topic it goes to."""

    message: Message
    cause: UUID
    provider_id: str
    again: bool = False
    """Asked for again: it is sent also where it stands on the topic already."""


@dataclass(frozen=True)
class Publisher:
    """Says things on behalf of one delivery, timer or job.

    `cause` is the id of what is being handled. `now` is the time of this decision: a decision found again after a restore keeps
    the time at which it was made; `adopted_at` is that time, or None for a decision made now.
    """

    tx: asyncpg.Connection
    service: str
    topic_prefix: str
    cause: UUID
    correlation: UUID | None
    """The conversation that all this belongs to; None where each message belongs to that of its own cause."""
    started_at: datetime
    adoptions: Adoptions
    actor: Actor | None = None
    decision: UUID | None = None
    _said: Counter[tuple[UUID, str, str]] = field(default_factory=Counter)
    _about: list[UUID] = field(default_factory=list)

    @property
    def adopted_at(self) -> datetime | None:
        """When this decision was made before the database was restored, or None."""
        return self.adoptions.decided_at(self.decision or self.cause)

    @property
    def now(self) -> datetime:
        """The time of this decision."""
        return self.adopted_at or self.started_at

    @property
    def has_said(self) -> bool:
        """Whether anything was said in this delivery."""
        return bool(self._said)

    @property
    def has_said_inside(self) -> bool:
        """Whether anything was said to the other services, and not to providers alone."""
        return any(not to for _, _, to in self._said)

    @property
    def purchase_id(self) -> UUID | None:
        """The purchase that what was said is about, or None."""
        return self._about[0] if self._about else None

    def deciding(self, *identity: object) -> "Publisher":
        """Return a publisher whose ids derive from a decision's identity, where any of several causes may lead to it."""
        return replace(self, decision=derived_id(self.service, *identity))

    def answering(self) -> "Publisher":
        """Return a publisher of answers to many senders: nothing in one of them may come from what another sender said."""
        return replace(self, correlation=None)

    async def __call__(self, *messages: Message) -> None:
        """Say facts on this service's own streams, each with the subject's next version."""
        for message in messages:
            if message.stream.endswith("."):
                raise ValueError(f"{message.type()} goes to a provider: use to_provider")
            await self._say(message)

    async def to_provider(self, provider_id: str, *messages: Message) -> None:
        """Say something to one provider, on its own topic."""
        await self.many([Outgoing(message, self.decision or self.cause, provider_id) for message in messages])

    async def many(self, outgoing: Sequence[Outgoing]) -> None:
        """Say many things to providers with a fixed number of statements.

        The version counts this service's messages on each provider's topic, in the order given.
        """
        said = [(self._derive(one.cause, one.message, one.provider_id), one) for one in outgoing]
        # What was said before a restore stands on the topic already.
        new = [
            (event_id, one) for event_id, one in said if one.again or self.adoptions.event(event_id) is None
        ]
        if new:
            await self._add([event_id for event_id, _ in new], [one for _, one in new])

    async def _add(self, event_ids: Sequence[UUID], outgoing: Sequence[Outgoing]) -> None:
        topics = [f"{self.topic_prefix}{one.message.stream}{one.provider_id}" for one in outgoing]
        counts = sorted(Counter(topics).items())
        rows = await self.tx.fetch(
            "INSERT INTO subjects AS s (stream, subject, version, chain) "
            "SELECT topic, '', count, ''::bytea FROM unnest($1::text[], $2::bigint[]) AS new (topic, count) "
            "ON CONFLICT (stream, subject) DO UPDATE SET version = s.version + excluded.version "
            "RETURNING stream, version",
            [topic for topic, _ in counts],
            [count for _, count in counts],
        )
        sequences = {
            row["stream"]: row["version"] - count
            for row, (_, count) in zip(_by_stream(rows), counts, strict=True)
        }
        keys, headers, bodies = [], [], []
        for event_id, one, topic in zip(event_ids, outgoing, topics, strict=True):
            sequences[topic] += 1
            envelope = self._envelope(event_id, one.message, sequences[topic], causation=one.cause)
            keys.append(one.provider_id.encode())
            headers.append(encode_headers(envelope))
            bodies.append(_body(one.message))
        crash("before_outbox")
        await self.tx.execute(
            "INSERT INTO outbox (event_id, topic, key, headers, body) "
            "SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])",
            event_ids,
            topics,
            keys,
            headers,
            bodies,
        )
        crash("after_outbox")

    async def _say(self, message: Message) -> None:
        decision = self.decision or self.cause
        event_id = self._derive(decision, message, "")
        if isinstance(message, AboutPurchase):
            self._about.append(message.purchase_id)
        [subject] = await self.tx.fetch(
            "INSERT INTO subjects (stream, subject, version, chain) VALUES ($1, $2, 0, ''::bytea) "
            "ON CONFLICT (stream, subject) DO UPDATE SET version = subjects.version RETURNING version, chain",
            message.stream,
            message.subject,
        )
        if await self.tx.fetchval("SELECT true FROM log WHERE event_id = $1", event_id):
            return
        adopted = self.adoptions.event(event_id)
        if adopted is not None:
            # It stands on the topic already, and the subject has its version and its head since it was adopted.
            await self._log(message.stream, message.subject, adopted.entry, adopted.chain)
            return
        if message.compacted and self.adoptions.have_later_word(message.stream, message.subject, decision):
            # Said again, what Kafka has dropped for it would become the last word.
            return
        body = _body(message)
        entry = LogEntry(
            sequence=subject["version"] + 1,
            event_id=event_id,
            type=message.type(),
            cause_id=self.cause,
            actor_id=self.actor.person_id if self.actor else None,
            decided_at=self.now,
            body_sha256=sha256(body or b"").digest(),
        )
        head = entry.head_after(subject["chain"])
        envelope = self._envelope(event_id, message, entry.sequence, causation=self.cause)
        crash("before_outbox")
        await self.tx.execute(
            "UPDATE subjects SET version = $3, chain = $4 WHERE stream = $1 AND subject = $2",
            message.stream,
            message.subject,
            entry.sequence,
            head,
        )
        await self._log(message.stream, message.subject, entry, head)
        await self.tx.execute(
            "INSERT INTO outbox (event_id, topic, key, headers, body) VALUES ($1, $2, $3, $4, $5)",
            event_id,
            self.topic_prefix + message.stream,
            message.subject.encode(),
            encode_headers(replace(envelope, actor_id=entry.actor_id, log_head=head)),
            body,
        )
        crash("after_outbox")

    async def again(self) -> list[AdoptedEvent]:
        """Let all stand that this decision said before the database was restored, and return it.

        For a decision that cannot be made anew, because what it was made from must not come back. Nothing is sent: it stands on
        its topics, and gets its entries in the log as they were.
        """
        said = sorted(self.adoptions.of_decision(self.decision or self.cause), key=lambda one: one.sequence)
        for one in said:
            if not await self.tx.fetchval("SELECT true FROM log WHERE event_id = $1", one.event_id):
                await self._log(one.stream, one.subject, one.entry, one.chain)
        return said

    async def _log(self, stream: str, subject: str, entry: LogEntry, head: bytes) -> None:
        await self.tx.execute(
            "INSERT INTO log (stream, subject, sequence, event_id, type, cause_id, actor_id, decided_at, body_sha256, chain) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            stream,
            subject,
            entry.sequence,
            entry.event_id,
            entry.type,
            entry.cause_id,
            entry.actor_id,
            entry.decided_at,
            entry.body_sha256,
            head,
        )

    def _derive(self, decision: UUID, message: Message, to: str) -> UUID:
        said = (decision, message.type(), to)
        ordinal = self._said[said]
        self._said[said] += 1
        return derived_id(decision, message.type(), to, ordinal)

    def _envelope(self, event_id: UUID, message: Message, sequence: int, *, causation: UUID) -> Envelope:
        return Envelope(
            id=event_id,
            type=message.type(),
            source=f"/linepool/{self.service}",
            subject=message.subject,
            time=self.now,
            sequence=sequence,
            correlation_id=self.correlation or causation,
            causation_id=causation,
            decision_id=self.decision,
        )


async def send_order(
    tx: asyncpg.Connection,
    topic_prefix: str,
    order: Order,
    *,
    id: UUID,  # noqa: A002 # CloudEvents' word
    actor: Actor,
    source: str,
    time: datetime,
) -> None:
    """Send a person's order beside what the transaction does; the same id again is sent again, and obeyed once."""
    crash("before_outbox")
    await tx.execute(
        "INSERT INTO outbox (event_id, topic, key, headers, body) VALUES ($1, $2, $3, $4, $5)",
        id,
        topic_prefix + order.stream,
        order.subject.encode(),
        orjson.dumps(
            [
                (name, value.decode())
                for name, value in command_headers(order, id=id, actor=actor, source=source, time=time)
            ]
        ),
        _body(order),
    )
    crash("after_outbox")


def encode_headers(envelope: Envelope) -> bytes:
    """Return the headers as the outbox keeps them: JSON pairs."""
    return orjson.dumps([(name, value.decode()) for name, value in envelope.to_headers()])


def decode_headers(stored: bytes) -> list[tuple[str, bytes]]:
    """Return what `encode_headers` kept."""
    return [(name, value.encode()) for name, value in orjson.loads(stored)]


def _body(message: Message) -> bytes | None:
    """Return the body, None for a tombstone.

    What is too large must fail where it is said, not block its topic for all that come later.
    """
    body = message.to_body()
    if body is not None and len(body) > BODY_BYTES:
        raise ValueError(f"a message has at most {BODY_BYTES} bytes")
    return body


def _by_stream(rows: Sequence[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: row["stream"])
