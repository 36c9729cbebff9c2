"""What is compared: a service's log, what it still has to send, what it has adopted, and what stands on its own topics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from deploy.access.model import topics
from shared.chain import LogEntry
from shared.envelope import as_uuid, derived_id, read_headers
from shared.messages import registry
from shared.messages.base import Message

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
class LedgerRow:
    """A row of one of the ledgers, and the fact that it must have been said as; `says` goes by that fact's fields.

    `fact` is None where nothing is said. `request_id` is the request for access that the row decides, and `answers` goes
    by the fields of the event that said so.
    """

    ledger: str
    place: str
    purchase_id: UUID
    cause_id: UUID
    at: datetime
    fact: type[Message] | None
    says: Mapping[str, Any] = field(default_factory=dict)
    request_id: UUID | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fact_id(self) -> UUID | None:
        """The id of that fact."""
        return None if self.fact is None else derived_id(self.cause_id, self.fact.type(), "", 0)


@dataclass
class Topic:
    """What the records of one own topic show beside its events.

    `unreadable` are the places of records that are no events of the service. `cut`: by partition, the first offset that
    is left where earlier ones are gone. `erased` are the keys of tombstones.
    """

    cut: Mapping[int, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)


def _erases(type_: str) -> bool:
    return type_ in registry and registry[type_].tombstone


def said(
    place: str, stream: str, headers: Iterable[tuple[str, bytes | None]], body: bytes | None
) -> Said | None:
    """Read an event; None where it lacks what every fact of a service has."""
    received = read_headers(headers)
    event_id = as_uuid(received.id)
    if event_id is None or received.type is None or received.subject is None:
        return None
    if body is None and not _erases(received.type):
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
        body_sha256=sha256(body or b"").digest(),
    )
    return Said(place, stream, received.subject, entry, received.log_head, body or b"")
