"""The hash chain of a service's log: each head covers the head before it and what was said then."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID


@dataclass(frozen=True)
class LogEntry:
    """What the log says of one event, and what the event itself carries.

    `sequence` is the version of its subject on its stream.
    """

    sequence: int
    event_id: UUID
    type: str
    cause_id: UUID
    actor_id: UUID | None
    decided_at: datetime
    body_sha256: bytes

    def to_bytes(self) -> bytes:
        """Return the bytes that the chain covers: a line for each field, the time in UTC, an empty line for no actor."""
        parts = [
            str(self.sequence),
            str(self.event_id),
            self.type,
            str(self.cause_id),
            str(self.actor_id) if self.actor_id else "",
            self.decided_at.astimezone(UTC).isoformat(),
            self.body_sha256.hex(),
        ]
        return "\n".join(parts).encode()

    def head_after(self, head: bytes) -> bytes:
        """Return the chain's head with this entry: SHA-256 over the head before it (no bytes before the first) and the entry."""
        return sha256(head + self.to_bytes()).digest()
