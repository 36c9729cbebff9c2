"""Partitions take turns: nobody starves behind another's backlog, and each keeps its order."""

import asyncio
from collections import deque
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from hypothesis import given
from hypothesis import strategies as st

from shared.turns import SHORT_WAIT_MS, TURN, FairFetcher
from tests.raw_batches import raw_batch, raw_record

AT_MOST = 2 * TURN
"""So few that not every partition can have its turn in each batch."""


def place(number: int) -> TopicPartition:
    return TopicPartition(f"replies.{number:012d}", 0)


class Fetched:
    """A fetcher that has fetched so many records of each partition, and asks no broker for more."""

    def __init__(self, counts: list[int]) -> None:
        self.state = SubscriptionState()
        self.state.assign_from_user([place(number) for number in range(len(counts))])
        self.assignment = self.state.subscription.assignment
        for one in self.assignment.tps:
            self.assignment.state_value(one).seek(0)
        self.fetcher = FairFetcher(AIOKafkaClient(), self.state)
        self.fetcher._fetch_task.cancel()
        for number, count in enumerate(counts):
            if count:
                self.add(place(number), count)

    def add(self, one: TopicPartition, count: int) -> None:
        batch = raw_batch(b"".join(raw_record(b"%d" % n, number=n) for n in range(count)), count)
        records = fetcher.PartitionRecords(
            one, fetcher.MemoryRecords(batch), [], 0, None, None, True, fetcher.READ_UNCOMMITTED
        )
        self.fetcher._records[one] = fetcher.FetchResult(
            one, assignment=self.assignment, partition_records=records, backoff=0
        )

    async def take(self, at_most: int | None = AT_MOST) -> dict[TopicPartition, list[Any]]:
        return await self.fetcher.fetched_records((), 0, at_most)


@given(st.lists(st.integers(0, 5 * TURN), min_size=1, max_size=8), st.integers(1, 4 * TURN))
def test_every_record_comes_once_and_in_its_order_and_nobody_waits_for_two_turns_of_another(
    counts: list[int], at_most: int
) -> None:
    async def check() -> None:
        fetched = Fetched(counts)
        seen: dict[TopicPartition, list[int]] = {place(number): [] for number in range(len(counts))}
        turns: list[TopicPartition] = []
        left = sum(counts)
        while left:
            taken = await fetched.take(at_most)
            assert 0 < sum(map(len, taken.values())) <= at_most
            for one, records in taken.items():
                assert len(records) <= TURN
                seen[one] += [record.offset for record in records]
                turns.append(one)
                left -= len(records)
        assert [seen[place(number)] for number in range(len(counts))] == [list(range(n)) for n in counts]
        assert not await fetched.take(at_most)
        for one in seen:
            mine = [index for index, other in enumerate(turns) if other == one]
            # All were there from the beginning: between two turns of one, and before its first, each other has one at most.
            for before, after in pairwise([-1, *mine]):
                between = turns[before + 1 : after]
                assert len(between) == len(set(between))

    asyncio.run(check())


async def test_what_comes_behind_a_backlog_is_in_the_next_batch() -> None:
    fetched = Fetched([100 * TURN, 0])
    assert list(await fetched.take()) == [place(0)]
    fetched.add(place(1), 1)
    assert set(await fetched.take()) == {place(0), place(1)}


async def test_an_error_of_one_partition_costs_no_other_its_records() -> None:
    fetched = Fetched([TURN + 1, 0, 1])
    fetched.fetcher._records[place(1)] = fetcher.FetchError(
        error=TopicAuthorizationFailedError(place(1).topic), backoff=0
    )
    waiting = deque([[place(0)], KafkaError, [place(2), place(0)]])
    # The error comes behind what was taken with it, and then first.
    fetched.fetcher._records[place(2)] = fetched.fetcher._records.pop(place(2))
    while waiting:
        match waiting.popleft():
            case list() as places:
                assert list(await fetched.take()) == places
            case error:
                with pytest.raises(error):
                    await fetched.take()


async def test_without_a_limit_all_that_was_fetched_comes_at_once() -> None:
    fetched = Fetched([3 * TURN, 1])
    assert {one: len(records) for one, records in (await fetched.take(None)).items()} == {
        place(0): 3 * TURN,
        place(1): 1,
    }


async def test_the_broker_is_asked_for_the_others_while_one_waits_and_may_then_not_wait_long() -> None:
    fetched = Fetched([2 * TURN, 0])
    asking = fetched.fetcher
    asking._client.cluster = SimpleNamespace(leader_for_partition=lambda _: 0)
    asking._subscriptions = fetched.state

    def asked() -> tuple[set[str], int]:
        [(_, request)] = asking._get_actions_per_node(fetched.assignment)[0]
        return {topic for topic, _ in request._topics}, request._max_wait_ms

    assert asked() == ({place(1).topic}, SHORT_WAIT_MS)
    while await fetched.take():
        pass
    topics, wait_ms = asked()
    assert topics == {place(0).topic, place(1).topic}
    assert wait_ms > SHORT_WAIT_MS
