"""What is due at a time: noted in the database, taken when the database's clock says so, handled like a message."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from shared.envelope import derived_id
from shared.outbox import Publisher

Handler = Callable[["Timer", asyncpg.Connection, Publisher], Awaitable[Any]]


@dataclass(frozen=True)
class Timer:
    """Something due: at most one for each kind and subject."""

    kind: str
    subject: str
    due_at: datetime

    @property
    def cause(self) -> UUID:
        """The id of what follows from this timer."""
        return derived_id("timer", self.kind, self.subject, self.due_at.isoformat())


class Timers:
    """A service's timer handlers, by kind."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def handle(self, kind: str) -> Callable[[Handler], Handler]:
        """Register what to do when a timer of this kind is due."""

        def register(handler: Handler) -> Handler:
            self.handlers[kind] = handler
            return handler

        return register


async def schedule(tx: asyncpg.Connection, *, kind: str, subject: str, due_at: datetime) -> None:
    """Set the timer of this kind for this subject, replacing an earlier one."""
    await tx.execute(
        "INSERT INTO timers (kind, subject, due_at, try_at) VALUES ($1, $2, $3, $3) "
        "ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at, try_at = excluded.try_at",
        kind,
        subject,
        due_at,
    )


async def cancel(tx: asyncpg.Connection, *, kind: str, subject: str) -> None:
    """Take the timer away again, if there is one."""
    await tx.execute("DELETE FROM timers WHERE kind = $1 AND subject = $2", kind, subject)


async def take_due(tx: asyncpg.Connection, kinds: list[str]) -> Timer | None:
    """Take one timer that is due, locked until the transaction ends, or None."""
    row = await tx.fetchrow(
        "DELETE FROM timers WHERE (kind, subject) = (SELECT kind, subject FROM timers "
        "WHERE try_at <= clock_timestamp() AND kind = ANY($1) ORDER BY try_at LIMIT 1 FOR UPDATE SKIP LOCKED) "
        "RETURNING kind, subject, due_at",
        kinds,
    )
    return Timer(**row) if row else None


async def try_again(tx: asyncpg.Connection, timer: Timer, pause: timedelta) -> None:
    """Put back a timer whose handler failed; others come before it meanwhile."""
    await tx.execute(
        "INSERT INTO timers (kind, subject, due_at, try_at) VALUES ($1, $2, $3, clock_timestamp() + $4::interval)",
        timer.kind,
        timer.subject,
        timer.due_at,
        pause,
    )
