"""Whether the database under a running service was replaced by an older one.

A consumer that went on then would leave a gap behind it for ever, so the process ends; the next one reads back what was said and
begins at the restored positions.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import asyncpg
import structlog

Place = tuple[str, str, int]
"""A consumer, a topic and a partition."""


def end_process() -> None:
    """End at once, as a crash would: everything that matters is in the database and at the broker."""
    os._exit(1)


@dataclass
class Progress:
    """How far this process has seen its positions committed.

    A restore ends every connection, so looking at each new one is enough.
    """

    reached: dict[Place, int] = field(default_factory=dict)
    react: Callable[[], None] | None = None
    """What to do when the database is older than this process; None until the service runs."""

    def note(self, consumer: str, places: Mapping[tuple[str, int], int]) -> None:
        """Note committed positions, by topic and partition."""
        for (topic, partition), next_ in places.items():
            place = (consumer, topic, partition)
            self.reached[place] = max(self.reached.get(place, 0), next_)

    async def look(self, connection: asyncpg.Connection) -> None:
        """Compare a new connection's database with what was committed before."""
        if self.react is None or not self.reached:
            return
        rows = await connection.fetch("SELECT consumer, topic, partition, next FROM positions")
        found = {(row["consumer"], row["topic"], row["partition"]): row["next"] for row in rows}
        behind = sum(found.get(place, 0) < next_ for place, next_ in self.reached.items())
        if behind:
            structlog.get_logger().error("database is older than this process", positions=behind)
            self.react()
