"""Partitions take turns in a batch of records, so that the backlog of one delays the others by one turn.

aiokafka by itself empties one partition before it looks at the next, and while records of one wait to be taken it asks the broker
for none of the others for a while.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import consumer
from aiokafka.consumer.fetcher import Fetcher, FetchError

TURN = 25
"""At most so many records of one partition are in a batch; a batch of them is done in a few tens of milliseconds."""
SHORT_WAIT_MS = 50
"""So long the broker may wait for new records while others wait here; a partition that was emptied is asked about only then."""


def take_turns() -> None:
    """Let the partitions of every consumer of this process take turns."""
    consumer.Fetcher = FairFetcher


class FairFetcher(Fetcher):  # type: ignore[misc] # aiokafka publishes no types
    """In the place of aiokafka's; `getmany` with `max_records` takes from every partition in turn."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, prefetch_backoff=0.0, **settings)
        self._longest_wait_ms: int = self._fetch_max_wait_ms

    def _get_actions_per_node(self, assignment: Any) -> Any:
        # A broker answers one request at a time.
        self._fetch_max_wait_ms: int = (
            min(SHORT_WAIT_MS, self._longest_wait_ms) if self._records else self._longest_wait_ms
        )
        return super()._get_actions_per_node(assignment)

    async def fetched_records(
        self,
        partitions: Sequence[TopicPartition],
        timeout: float = 0,  # noqa: ASYNC109 # aiokafka's signature
        max_records: int | None = None,
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return what was fetched, of each partition at most a turn; whoever had its turn comes last next time."""
        taken: dict[TopicPartition, list[ConsumerRecord]] = {}
        if max_records is not None:
            taken = await self._turns(partitions, max_records)
            max_records = min(TURN, max_records)
        if not taken and (timeout or max_records is None):
            # It comes back empty or with the first records that come.
            taken = await super().fetched_records(partitions, timeout, max_records)
        return taken

    async def _turns(
        self, partitions: Sequence[TopicPartition], max_records: int
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        taken: dict[TopicPartition, list[ConsumerRecord]] = {}
        left = max_records
        for place in [one for one in self._records if not partitions or one in partitions]:
            if taken and isinstance(self._records.get(place), FetchError):
                # It is raised once it comes first; what is taken must not be lost with it.
                break
            some = await super().fetched_records([place], 0, min(TURN, left))
            taken |= some
            left -= len(some.get(place, ()))
            if place in self._records:
                self._records[place] = self._records.pop(place)
            if not left:
                break
        return taken
