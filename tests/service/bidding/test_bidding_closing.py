import asyncio
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from prometheus_client import Gauge

from services.bidding.comparing import compare_opened_boxes
from services.bidding.jobs import close_boxes
from shared.messages.bidding import RepliesCompared, RepliesOpened
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, UNLISTED, Purchase, an_offer
from tests.service.bidding.bidding_talk import announce, answers, clocks_disagree, deliver_only, one_of, said


async def close_to_opening(bidding: Running, kafka: MemoryKafka, purchase: Purchase) -> None:
    """All facts are taken, but no job has looked yet."""
    announce(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    for topic in ("aggregation.events", "aggregation.usage", "rfp.events"):
        await deliver_only(bidding, topic)
    await clocks_disagree(bidding, timedelta(0))


async def test_a_box_opens_only_once_all_that_was_appended_in_time_is_taken(
    bidding: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await close_to_opening(bidding, kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    assert await close_boxes(bidding.runtime) == 0

    # What comes after the ends were read, here from a listed provider that never stops, is not waited for.
    kafka.from_provider(BRIO, purchase.reply(), at=purchase.deadline)
    await deliver_only(bidding, f"replies.{AIKO}")
    assert await close_boxes(bidding.runtime) == 1

    await bidding.send()
    assert [one.provider_id for one in one_of(kafka, RepliesOpened).replies] == [AIKO]


@pytest.mark.parametrize("skew", [None, timedelta(seconds=2.001)])
async def test_a_box_stays_shut_while_the_clocks_disagree(
    bidding: Running, kafka: MemoryKafka, skew: timedelta | None
) -> None:
    await close_to_opening(bidding, kafka, Purchase())
    await clocks_disagree(bidding, skew)
    assert await close_boxes(bidding.runtime) == 0

    await clocks_disagree(bidding, timedelta(seconds=2))
    assert await close_boxes(bidding.runtime) == 1


async def test_a_box_stays_shut_for_the_allowance_after_its_deadline(
    bidding: Running, kafka: MemoryKafka
) -> None:
    deadline = datetime.now(UTC)
    await close_to_opening(bidding, kafka, Purchase(deadline=deadline))

    assert await close_boxes(bidding.runtime) == 0
    async with asyncio.timeout(10):
        while not await close_boxes(bidding.runtime):
            await bidding.pool.fetchval("SELECT pg_sleep(0.1)")
    opened_at = await bidding.pool.fetchval("SELECT opened_at FROM boxes")
    assert opened_at >= deadline + timedelta(seconds=2)


async def test_a_box_stays_shut_while_the_end_of_a_listed_providers_topic_is_unknown(
    bidding: Running, kafka: MemoryKafka
) -> None:
    await close_to_opening(bidding, kafka, Purchase())

    async def not_all_ends(topic: str) -> dict[TopicPartition, int]:
        return {} if topic == f"replies.{BRIO}" else await kafka.end_offsets(topic)

    bidding.runtime.end_offsets = not_all_ends
    assert await close_boxes(bidding.runtime) == 0

    bidding.runtime.end_offsets = kafka.end_offsets
    assert await close_boxes(bidding.runtime) == 1


async def test_a_box_stays_shut_while_a_listed_providers_message_is_put_aside(
    bidding: Running, kafka: MemoryKafka
) -> None:
    await close_to_opening(bidding, kafka, Purchase())
    await bidding.pool.execute(
        'INSERT INTO parked (consumer, key, inbox_id, topic, partition, "offset", timestamp_ms, headers, state, '
        "reason) VALUES ('bidding.replies', $1, $2, $3, 0, 0, 0, '[]', 'failed', 'x')",
        f"replies.{AIKO}".encode(),
        uuid4(),
        f"replies.{AIKO}",
    )
    assert await close_boxes(bidding.runtime) == 0

    await bidding.pool.execute("DELETE FROM parked")
    assert await close_boxes(bidding.runtime) == 1


async def test_a_stranger_cannot_keep_a_box_shut(bidding: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    await close_to_opening(bidding, kafka, purchase)
    kafka.from_provider(UNLISTED, purchase.reply(), at=purchase.in_time)
    await deliver_only(bidding, f"replies.{UNLISTED}")

    assert await bidding.pool.fetchval("SELECT count(*) FROM held_messages") == 1
    assert await close_boxes(bidding.runtime) == 1


async def test_a_box_waits_for_whoever_is_just_putting_something_in(
    bidding: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await close_to_opening(bidding, kafka, purchase)
    async with bidding.pool.acquire() as intake, intake.transaction():
        await intake.execute("SELECT FROM boxes WHERE purchase_id = $1 FOR SHARE", purchase.purchase_id)
        closing = asyncio.create_task(close_boxes(bidding.runtime))
        done, _ = await asyncio.wait([closing], timeout=0.5)
        assert not done
    assert await closing == 1


async def test_two_closers_open_a_box_once(bidding: Running, kafka: MemoryKafka) -> None:
    await close_to_opening(bidding, kafka, Purchase())

    opened = await asyncio.gather(*(close_boxes(bidding.runtime) for _ in range(4)))
    await bidding.send()

    assert sum(opened) == 1
    assert said(kafka) == ["BidBoxReady", "RepliesOpened"]


@pytest.mark.usefixtures("desk")
async def test_a_late_reply_after_the_opening_is_late(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.reply())
    await kafka.settle()

    assert answers(kafka, AIKO) == ["late"]


async def test_a_comparison_waits_visibly_until_the_pinned_usage_is_here(
    desk: Running, kafka: MemoryKafka, worker: Executor
) -> None:
    purchase = Purchase()
    waiting = Gauge("waiting", "Boxes", registry=None)
    for fact in (purchase.group, *purchase.usage[1:], purchase.request, purchase.deadline_passed):
        kafka.event(fact)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    await compare_opened_boxes(desk.runtime, worker, waiting)
    assert (said(kafka)[-1], waiting._value.get()) == ("RepliesOpened", 1)

    kafka.event(purchase.usage[0])
    await deliver_only(desk, "aggregation.usage")
    assert await compare_opened_boxes(desk.runtime, worker, waiting) == 1
    await desk.send()
    assert (said(kafka)[-1], waiting._value.get()) == ("RepliesCompared", 0)


async def test_usage_that_differs_from_what_was_pinned_is_an_alarm_and_never_compared(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    changed = purchase.usage[0].model_copy(update={"lines": purchase.usage[1].lines})
    for fact in (purchase.group, changed, *purchase.usage[1:], purchase.request, purchase.deadline_passed):
        kafka.event(fact)
    await kafka.settle()

    assert said(kafka) == ["BidBoxReady", "RepliesOpened"]
    alarms = desk.runtime.metrics.alarms.labels(kind="usage_differs")
    assert alarms._value.get() >= 1


@pytest.mark.usefixtures("desk")
async def test_reports_that_do_not_count_are_not_compared(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    for part in purchase.usage:
        kafka.event(part.model_copy(update={"report_id": uuid4()}))
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(offer=an_offer("0.10")), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert str(one_of(kafka, RepliesCompared).replies[0].total) == "960.00"
