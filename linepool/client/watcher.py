"""Looking on with a login that may read everything: what moves over which topic."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from linepool.client.connection import Connection
from linepool.client.journal import Journal, open_journal


@dataclass(frozen=True)
class Mark:
    """How far the watcher had read at some moment."""

    position: int


@dataclass(frozen=True)
class Watcher:
    """Counts what it sees. Made by `open_watcher`."""

    journal: Journal

    def mark(self) -> Mark:
        """Remember this moment."""
        return Mark(len(self.journal.entries))

    def counts(self, since: Mark | None = None) -> Mapping[str, Counter[str]]:
        """Return how many messages of each type came on each topic (since a moment)."""
        found: dict[str, Counter[str]] = {}
        for entry in self.journal.entries[since.position if since else 0 :]:
            found.setdefault(entry.topic, Counter())[entry.type_name] += 1
        return found

    def count(self, topic: str) -> int:
        """Return how many messages a topic has shown so far."""
        return sum(entry.topic == topic for entry in self.journal.entries)


@asynccontextmanager
async def open_watcher(connection: Connection, topics: Iterable[str]) -> AsyncIterator[Watcher]:
    """Watch these topics (named without prefix) from their beginning. Raises as `open_journal`."""
    async with open_journal(connection, topics) as journal:
        yield Watcher(journal)
