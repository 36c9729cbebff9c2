"""A message's CloudEvents attributes, as Kafka headers (binary mode of the CloudEvents Kafka binding, version 1.0)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from shared.messages.base import Message, Part, Role

Headers = list[tuple[str, bytes]]
SCHEMA_BASE = "https://linepool.example/schemas/"


class Actor(Part):
    """Who gave an order: the person, in which role, and for whom if not for themselves."""

    person_id: UUID
    role: Role
    on_behalf_of: UUID | None = None


@dataclass(frozen=True)
class Envelope:
    """The attributes of one message.

    `sequence` is the version of the subject on this stream at this source; `causation_id` is the message that led to this one.
    """

    id: UUID
    type: str
    source: str
    subject: str
    time: datetime
    sequence: int | None
    correlation_id: UUID
    causation_id: UUID | None
    actor: Actor | None = None
    decision_id: UUID | None = None
    """What the id derives from, where that is not the causing message."""
    actor_id: UUID | None = None
    """On an event: the person whose order caused it."""
    log_head: bytes | None = None
    """On an event: the head of its subject's log with this event's entry, 32 bytes. See `shared.chain`."""

    def to_headers(self) -> Headers:
        """Return the Kafka headers, in a fixed order."""
        headers = {
            "ce_specversion": "1.0",
            "ce_id": str(self.id),
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_subject": self.subject,
            "ce_time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "ce_dataschema": f"{SCHEMA_BASE}{self.type}.json",
            "ce_correlationid": str(self.correlation_id),
            # A trace is one purchase's conversation: W3C Trace Context, both ids taken from ours.
            "traceparent": f"00-{self.correlation_id.hex}-{self.id.hex[:16]}-01",
            "content-type": "application/json",
        }
        if self.sequence is not None:
            headers["ce_sequence"] = str(self.sequence)
        if self.causation_id is not None:
            headers["ce_causationid"] = str(self.causation_id)
        if self.decision_id is not None:
            headers["ce_decisionid"] = str(self.decision_id)
        if self.actor is not None:
            headers["ce_actor"] = self.actor.model_dump_json(exclude_none=True)
        if self.actor_id is not None:
            headers["ce_actorid"] = str(self.actor_id)
        if self.log_head is not None:
            headers["ce_loghead"] = self.log_head.hex()
        return [(name, value.encode()) for name, value in headers.items()]


@dataclass(frozen=True)
class Received:
    """What could be read of an incoming message's attributes; nothing here is trusted, and anything may be missing."""

    id: str | None
    type: str | None
    subject: str | None
    time: datetime | None
    sequence: int | None
    correlation_id: UUID | None
    causation_id: UUID | None
    decision_id: UUID | None
    actor: Actor | None
    actor_id: UUID | None
    log_head: bytes | None


def read_headers(headers: Iterable[tuple[str, bytes | None]]) -> Received:
    """Read attributes from Kafka headers, whatever they hold: null values and bytes that are not UTF-8 read as missing."""
    text: dict[str, str] = {}
    for name, value in headers:
        if value is not None:
            try:
                text[name] = value.decode()
            except UnicodeDecodeError:
                continue
    sequence = text.get("ce_sequence", "")
    return Received(
        id=text.get("ce_id") or None,
        type=text.get("ce_type") or None,
        subject=text.get("ce_subject") or None,
        time=_time(text.get("ce_time")),
        sequence=int(sequence) if re.fullmatch(r"\d{1,18}", sequence, re.ASCII) else None,
        correlation_id=as_uuid(text.get("ce_correlationid")),
        causation_id=as_uuid(text.get("ce_causationid")),
        decision_id=as_uuid(text.get("ce_decisionid")),
        actor=_actor(text),
        actor_id=as_uuid(text.get("ce_actorid")),
        log_head=_digest(text.get("ce_loghead")),
    )


def derived_id(*parts: object) -> UUID:
    """Return the id that follows from these parts and nothing else, so that a replay says the same again."""
    return uuid5(NAMESPACE_URL, "linepool:" + "/".join(str(part) for part in parts))


def command_headers(message: Message, *, id: UUID, actor: Actor, source: str, time: datetime) -> Headers:  # noqa: A002 # CloudEvents' word
    """Return the headers of a command that a person gives; it begins the conversation that its id names."""
    return Envelope(
        id=id,
        type=message.type(),
        source=source,
        subject=message.subject,
        time=time,
        sequence=None,
        correlation_id=id,
        causation_id=None,
        actor=actor,
    ).to_headers()


def as_uuid(text: str | None) -> UUID | None:
    """Return the UUID that the text spells, or None."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo else None


def _digest(text: str | None) -> bytes | None:
    return bytes.fromhex(text) if text and re.fullmatch(r"[0-9a-f]{64}", text) else None


def _actor(text: Mapping[str, str]) -> Actor | None:
    try:
        return Actor.model_validate_json(text["ce_actor"]) if "ce_actor" in text else None
    except ValidationError:
        return None
