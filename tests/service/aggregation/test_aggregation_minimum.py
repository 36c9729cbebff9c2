"""A group must become large enough, is left, and is given up."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.envelope import Actor
from shared.messages.aggregation import (
    BuyerJoined,
    BuyerLeft,
    DissolveGroup,
    GroupAggregated,
    GroupDissolved,
    LeaveGroup,
    MinimumMissed,
    MinimumSet,
    RemoveBuyer,
    SetMinimum,
)
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import Conversation, a_line
from tests.service.rebuilding import Copy, rebuilt


def a_minimum(group: Conversation, **other: Any) -> SetMinimum:
    fields: dict[str, Any] = {
        "purchase_id": group.purchase_id,
        "buyers": 2,
        "lines": 3,
        "decide_by": datetime.now(UTC) + timedelta(days=9),
        "otherwise": "coordinator_decides",
    }
    return SetMinimum(**{**fields, **other})


async def joined(group: Conversation, *lines: str) -> UUID:
    """Let a buyer join and report these lines."""
    buyer_id = uuid4()
    await group.say(group.joining(buyer_id))
    await group.say(group.report(buyer_id, *(a_line(line) for line in lines)))
    return buyer_id


async def let_time_pass(aggregation: Running, kafka: MemoryKafka, purchase_id: UUID) -> None:
    """Let the time to decide be over now; a second is too short for anything else to happen in it."""
    soon = datetime.now(UTC) + timedelta(seconds=-1)
    await aggregation.pool.execute("UPDATE minimums SET decide_by_at = $1", soon)
    await aggregation.pool.execute(
        "UPDATE timers SET due_at = $1, try_at = $1 WHERE subject = $2", soon, str(purchase_id)
    )
    await kafka.settle()


async def test_a_group_below_its_minimum_stays_open_until_its_time_is_over(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    await group.say(a_minimum(group))
    await joined(group, "L1", "L2")
    await group.say(group.closing())
    assert group.refusals() == ["below_minimum"]
    await let_time_pass(aggregation, kafka, group.purchase_id)
    (missed,) = group.events(MinimumMissed)
    assert (missed.buyers, missed.lines, missed.otherwise) == (1, 2, "coordinator_decides")
    assert not group.events(GroupDissolved)
    await group.say(group.closing())
    assert len(group.events(GroupAggregated)) == 1


@pytest.mark.parametrize("lines", [("L1",), ("L1", "L2")])
async def test_a_group_at_its_minimum_may_close_before_its_time(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, lines: tuple[str, ...]
) -> None:
    await group.say(group.opening())
    await group.say(a_minimum(group, otherwise="dissolve"))
    await joined(group, *lines)
    await joined(group, "L1")
    await group.say(group.closing())
    reached = len(lines) == 2
    assert group.refusals() == ([] if reached else ["below_minimum"])
    assert len(group.events(GroupAggregated)) == reached
    await let_time_pass(aggregation, kafka, group.purchase_id)
    assert len(group.events(MinimumMissed)) == len(group.events(GroupDissolved)) == (not reached)


async def test_a_group_that_reaches_its_minimum_in_time_misses_nothing(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    await group.say(a_minimum(group, lines=0))
    await joined(group, "L1")
    await joined(group, "L1")
    await let_time_pass(aggregation, kafka, group.purchase_id)
    assert not group.events(MinimumMissed)
    await group.say(group.closing())
    assert len(group.events(GroupAggregated)) == 1


async def test_a_group_is_given_up_by_itself_where_that_was_to_follow(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    await group.say(a_minimum(group, otherwise="dissolve"))
    buyer_id = await joined(group, "L1")
    await let_time_pass(aggregation, kafka, group.purchase_id)
    assert [type(one) for one in group.events(MinimumMissed, GroupDissolved)] == [
        MinimumMissed,
        GroupDissolved,
    ]
    for order in (
        group.closing(),
        group.joining(uuid4()),
        group.report(buyer_id),
        group.preferring(buyer_id),
        RemoveBuyer(purchase_id=group.purchase_id, buyer_id=buyer_id),
        a_minimum(group),
        DissolveGroup(purchase_id=group.purchase_id, reason="Again"),
    ):
        await group.say(order)
    assert group.refusals()[1:] == ["group_dissolved"] * 7
    assert not await aggregation.pool.fetchval("SELECT count(*) FROM timers")


async def test_a_newer_minimum_takes_the_place_of_the_older(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    await group.say(a_minimum(group, otherwise="dissolve"))
    await group.say(a_minimum(group, decide_by=datetime.now(UTC) - timedelta(seconds=1)))
    assert group.refusals() == ["decide_by_not_ahead"]
    later = datetime.now(UTC) + timedelta(days=30)
    await group.say(a_minimum(group, buyers=1, lines=0, decide_by=later))
    assert await aggregation.pool.fetchval("SELECT due_at FROM timers") == later
    assert [one.buyers for one in group.events(MinimumSet)] == [2, 1]
    await let_time_pass(aggregation, kafka, group.purchase_id)
    assert len(group.events(MinimumMissed)) == 1
    await group.say(a_minimum(group, buyers=1, lines=0))
    await joined(group, "L1")
    await group.say(group.closing())
    assert len(group.events(GroupAggregated)) == 1


async def test_only_the_coordinator_says_how_large_the_group_must_become_or_gives_it_up(
    group: Conversation,
) -> None:
    await group.say(group.opening())
    stranger = Actor(person_id=uuid4(), role="coordinator")
    await group.say(a_minimum(group), stranger)
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="For fun"), stranger)
    assert group.refusals() == ["not_coordinator"] * 2
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few towns"))
    (dissolved,) = group.events(GroupDissolved)
    assert dissolved.reason == "Too few towns"


async def test_a_closed_group_is_not_given_up(group: Conversation) -> None:
    await group.say(group.opening())
    await joined(group, "L1")
    await group.say(group.closing())
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too late"))
    await group.say(a_minimum(group))
    assert group.refusals() == ["group_closed"] * 2


async def test_a_member_leaves_with_its_own_organisation_while_the_group_is_open(group: Conversation) -> None:
    await group.say(group.opening())
    person_id, buyer_id = uuid4(), uuid4()
    member = Actor(person_id=person_id, role="member")
    await group.say(group.joining(buyer_id, contact_id=person_id))
    await group.say(group.report(buyer_id), member)
    other_id = await joined(group, "L1")
    await group.say(LeaveGroup(purchase_id=group.purchase_id, buyer_id=other_id), member)
    await group.say(LeaveGroup(purchase_id=group.purchase_id, buyer_id=buyer_id))
    assert group.refusals() == ["not_member", "role_not_allowed"]
    await group.say(LeaveGroup(purchase_id=group.purchase_id, buyer_id=buyer_id), member)
    assert [one.buyer_id for one in group.events(BuyerLeft)] == [buyer_id]
    await group.say(LeaveGroup(purchase_id=group.purchase_id, buyer_id=buyer_id), member)
    await group.say(group.closing())
    (closed,) = group.events(GroupAggregated)
    assert closed.buyer_ids == (other_id,)
    assert group.refusals()[2:] == ["buyer_unknown"]


@pytest.mark.parametrize("otherwise", ["coordinator_decides", "dissolve"])
async def test_a_lost_database_does_not_find_a_group_too_small_before_its_buyers_are_back(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, database: str, otherwise: Any
) -> None:
    """The time is over at once in the rebuilt database, while the buyers' orders are still to be handled again."""
    await group.say(group.opening())
    decide_by = datetime.now(UTC) + timedelta(seconds=2)
    await group.say(a_minimum(group, buyers=1, lines=1, decide_by=decide_by, otherwise=otherwise))
    await joined(group, "L1")
    while datetime.now(UTC) < decide_by + timedelta(milliseconds=100):
        await kafka.settle()
    assert not group.events(MinimumMissed)
    before = await aggregation.pool.fetchval("SELECT count(*) FROM buyers")
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    own = [topic for topic in said if topic != "aggregation.commands"]
    commands = kafka.topics["aggregation.commands"]
    waiting = commands[2:]
    async with rebuilt("aggregation", aggregation, database, own) as again:
        del commands[2:]
        await kafka.settle()
        assert await again.pool.fetchval("SELECT count(*) FROM minimums") == 1
        assert not group.events(MinimumMissed)
        commands.extend(waiting)
        await kafka.settle()
        await again.pool.execute("UPDATE timers SET try_at = clock_timestamp()")
        await kafka.settle()
        assert not await again.pool.fetchval("SELECT count(*) FROM timers")
        assert await again.pool.fetchval("SELECT count(*) FROM buyers") == before
    assert not group.events(MinimumMissed, GroupDissolved)
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said


async def test_after_a_restore_a_group_that_was_given_up_is_given_up_again_and_once(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    decide_by = datetime.now(UTC) + timedelta(seconds=2)
    await group.say(a_minimum(group, decide_by=decide_by, otherwise="dissolve"))
    copy = await Copy.of(aggregation)
    await joined(group, "L1")
    while not group.events(GroupDissolved):
        await kafka.settle()
    await group.say(group.joining(uuid4()))
    before = await aggregation.tables(without=("inbox", "positions", "adopted", "outbox"))
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    await copy.restore(aggregation)
    await kafka.settle()
    while await aggregation.pool.fetchval("SELECT count(*) FROM timers"):
        await aggregation.pool.execute("UPDATE timers SET try_at = clock_timestamp()")
        await kafka.settle()
    assert group.refusals()[-1] == "group_dissolved"
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said
    after = await aggregation.tables(without=("inbox", "positions", "adopted", "outbox"))
    assert after == before
    assert len(group.events(BuyerJoined)) == 1
