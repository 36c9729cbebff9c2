"""An incoming Kafka record as delivery sees it: raw bytes, what could be read of its attributes, and its id in the inbox."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from aiokafka import ConsumerRecord

from shared.envelope import Received, as_uuid, derived_id, read_headers
from shared.messages import registry


@dataclass(frozen=True)
class Record:
    """One record of a topic.

    `inbox_id` derives from the topic and the sender's `ce_id`, so that no provider can use up another's ids; a record without
    one has an id by its place. `appended_at` is Kafka's append time. `body` is None for a tombstone.
    """

    inbox_id: UUID
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    body: bytes | None
    received: Received
    sha256: str

    @classmethod
    def of(cls, raw: ConsumerRecord) -> "Record":
        """Read a raw record; nothing in it can make this fail."""
        headers = tuple(raw.headers)
        received = read_headers(headers)
        place = received.id if received.id is not None else f"{raw.partition}/{raw.offset}"
        return cls(
            inbox_id=derived_id("inbox", raw.topic, "id" if received.id is not None else "place", place),
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            timestamp_ms=raw.timestamp,
            key=raw.key,
            headers=headers,
            body=raw.value,
            received=received,
            sha256=sha256(raw.value or b"").hexdigest(),
        )

    @property
    def erases(self) -> bool:
        """Whether it is a tombstone of the contract, after which nothing counts that stood under its key before."""
        model = registry.get(self.received.type or "")
        return self.body is None and self.key is not None and model is not None and model.tombstone

    @property
    def appended_at(self) -> datetime:
        """Kafka's append time, in whole milliseconds."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def cause(self) -> UUID:
        """The id that follow-ups derive from: the sender's where it is a UUID on a stream of ours, else the inbox id."""
        return as_uuid(self.received.id) or self.inbox_id

    @property
    def provider_id(self) -> str:
        """The part of the topic after its last dot: on provider-facing topics, who said it."""
        return self.topic.rpartition(".")[2]

    @property
    def order_key(self) -> bytes:
        """What order holds for: the key, or the record alone where it has none."""
        return self.key if self.key is not None else f"{self.topic}/{self.partition}/{self.offset}".encode()


@dataclass(frozen=True)
class Batch:
    """Some records of one subscription, in order per partition."""

    fresh: tuple[Record, ...]
    """Never handled before."""
    repeated: tuple[Record, ...]
    """New records whose sender used an id again: the same message once more, or another under its id."""
