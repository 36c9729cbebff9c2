"""Which purchases wait at a service, for what, and since when: looked up in its own tables, shown as ages and counts by step.

Ids stand in `/status` alone. A figure is labelled by the step and never by a purchase, of which there may be any number.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

Who = Literal["machine", "person", "provider", "deadline"]
"""Who has to move: at a machine's step a purchase should be for seconds only."""


@dataclass(frozen=True)
class Step:
    """Something that a purchase waits for; `name` is a fixed word, `waits_for` says it to people."""

    name: str
    who: Who
    waits_for: str


@dataclass(frozen=True)
class Waiting:
    """One purchase at one step. `since` is None where the tables do not say it."""

    purchase_id: UUID
    step: str
    since: datetime | None
    detail: str = ""


@dataclass(frozen=True)
class Queue:
    """Something that a service works off: `sql` returns how many there are, and the time of the oldest or null."""

    name: str
    sql: str


@dataclass(frozen=True)
class Waits:
    """What purchases may wait for at one service, and how it finds those that do."""

    steps: Sequence[Step] = ()
    find: Callable[[asyncpg.Connection], Awaitable[Sequence[Waiting]]] | None = None
    queues: Sequence[Queue] = ()


@dataclass(frozen=True)
class Look:
    """What was there at one look; ages in seconds, by the database's clock."""

    purchases: tuple[tuple[Step, Waiting, float], ...]
    queues: Mapping[str, tuple[int, float]]


@dataclass
class Looking:
    """Looks again and again. Where the tables do not say since when, it is since this process first saw it."""

    waits: Waits
    seen: dict[tuple[UUID, str], datetime] = field(default_factory=dict)

    async def look(self, connection: asyncpg.Connection) -> Look:
        """Return who waits now, the longest wait first."""
        now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        found = await self.waits.find(connection) if self.waits.find else ()
        self.seen = {
            (one.purchase_id, one.step): one.since or self.seen.get((one.purchase_id, one.step), now)
            for one in found
        }
        steps = {step.name: step for step in self.waits.steps}
        purchases = [
            (steps[one.step], one, (now - self.seen[one.purchase_id, one.step]).total_seconds())
            for one in found
        ]
        queues = {}
        for queue in self.waits.queues:
            [row] = await connection.fetch(queue.sql)
            count, oldest = row
            queues[queue.name] = (count, (now - oldest).total_seconds() if oldest else 0.0)
        return Look(tuple(sorted(purchases, key=lambda one: -one[2])), queues)
