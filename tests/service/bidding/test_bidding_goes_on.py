import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import Executor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from services.bidding.comparing import compare_opened_boxes, worker_process
from services.bidding.concerns import Concerns, Pauses
from services.bidding.jobs import LEAST_PAUSE_S, close_boxes, tend_boxes, tend_once
from services.bidding.judging import judge_held_messages
from shared.messages.bidding import RepliesCompared, RepliesOpened
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, Purchase
from tests.service.bidding.bidding_talk import all_of, announce, answers, clocks_disagree, deliver_only, said

UNREADABLE = b'{"from": "another model"}'


def alarms(bidding: Running, kind: str) -> float:
    return float(bidding.runtime.metrics.alarms.labels(kind=kind)._value.get())


async def two_purchases(bidding: Running, kafka: MemoryKafka) -> tuple[Purchase, Purchase]:
    """Both can be closed, and the first is the one that is looked at first."""
    first, second = Purchase(UUID(int=1)), Purchase(UUID(int=2))
    for purchase in (first, second):
        announce(kafka, purchase)
        kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
        kafka.event(purchase.deadline_passed)
    for topic in ("aggregation.events", "aggregation.usage", "rfp.events", f"replies.{AIKO}"):
        await deliver_only(bidding, topic)
    await clocks_disagree(bidding, timedelta(0))
    return first, second


async def two_held(bidding: Running, kafka: MemoryKafka) -> tuple[Purchase, Purchase]:
    """The request of each came after a provider's two replies."""
    first, second = Purchase(UUID(int=1)), Purchase(UUID(int=2))
    for purchase in (first, second):
        announce(kafka, purchase)
        for revision in (1, 2):
            kafka.from_provider(AIKO, purchase.reply(revision=revision), at=purchase.in_time)
    for topic in (f"replies.{AIKO}", "rfp.events"):
        await deliver_only(bidding, topic)
    return first, second


@pytest.mark.parametrize("broken", ["boxes SET services = '[{}]'", "replies SET body = '{}'"])
async def test_a_box_that_cannot_be_read_is_alarmed_once_and_the_next_one_opens(
    bidding: Running, kafka: MemoryKafka, broken: str
) -> None:
    first, second = await two_purchases(bidding, kafka)
    await bidding.pool.execute(f"UPDATE {broken} WHERE purchase_id = $1", first.purchase_id)
    concerns = Concerns()

    assert [await close_boxes(bidding.runtime, concerns) for _ in range(3)] == [1, 0, 0]
    await bidding.send()
    assert [one.purchase_id for one in all_of(kafka, RepliesOpened)] == [second.purchase_id]
    assert alarms(bidding, "box_not_closed") == 1


async def test_a_comparison_that_fails_is_alarmed_once_and_the_next_one_is_made(
    bidding: Running, kafka: MemoryKafka, worker: Executor
) -> None:
    first, second = await two_purchases(bidding, kafka)
    assert await close_boxes(bidding.runtime) == 2
    await bidding.pool.execute(
        "UPDATE replies SET body = $2 WHERE purchase_id = $1", first.purchase_id, UNREADABLE
    )
    concerns = Concerns()

    compared = [await compare_opened_boxes(bidding.runtime, worker, None, concerns) for _ in range(3)]
    await bidding.send()
    assert compared == [1, 0, 0]
    assert [one.purchase_id for one in all_of(kafka, RepliesCompared)] == [second.purchase_id]
    assert alarms(bidding, "box_not_compared") == 1


async def test_a_worker_process_that_breaks_during_one_comparison_is_replaced_for_the_next(
    bidding: Running, kafka: MemoryKafka
) -> None:
    await two_purchases(bidding, kafka)
    assert await close_boxes(bidding.runtime) == 2
    with worker_process() as worker:
        # The first comparison queues up behind what breaks the process.
        worker.submit(time.sleep, 1)
        worker.submit(os._exit, 1)
        assert await compare_opened_boxes(bidding.runtime, worker) == 1
        assert await compare_opened_boxes(bidding.runtime, worker) == 1
    assert alarms(bidding, "box_not_compared") == 1


async def test_a_comparison_that_fails_rests_before_it_is_tried_again(
    bidding: Running, kafka: MemoryKafka, worker: Executor
) -> None:
    first, second = await two_purchases(bidding, kafka)
    assert await close_boxes(bidding.runtime) == 2
    [body] = await bidding.pool.fetchrow("SELECT body FROM replies WHERE purchase_id = $1", first.purchase_id)
    change = "UPDATE replies SET body = $2 WHERE purchase_id = $1"
    await bidding.pool.execute(change, first.purchase_id, UNREADABLE)
    now = 0.0
    pauses = Pauses(first=1, longest=300, clock=lambda: now)

    async def compare() -> int:
        return await compare_opened_boxes(bidding.runtime, worker, None, None, pauses)

    assert await compare() == 1
    await bidding.pool.execute(change, first.purchase_id, body)
    assert await compare() == 0
    now += 1
    assert await compare() == 1
    await bidding.send()
    compared = [one.purchase_id for one in all_of(kafka, RepliesCompared)]
    assert compared == [second.purchase_id, first.purchase_id]


STILL_EVALUATING = """
import os, time
from services.bidding.comparing import worker_process

if __name__ == "__main__":
    with worker_process() as worker:
        worker.submit(os.getpid).result()
        evaluating = worker.submit(time.sleep, 600)
        while not evaluating.running():
            time.sleep(0.01)
"""


def test_a_process_ends_although_its_worker_is_still_evaluating(tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text(STILL_EVALUATING)
    subprocess.run([sys.executable, tmp_path / "process.py"], timeout=60, check=True)


async def test_usage_that_differs_is_alarmed_once(
    desk: Running, kafka: MemoryKafka, worker: Executor
) -> None:
    purchase = Purchase()
    changed = purchase.usage[0].model_copy(update={"lines": purchase.usage[1].lines})
    for fact in (purchase.group, changed, *purchase.usage[1:], purchase.request, purchase.deadline_passed):
        kafka.event(fact)
    await kafka.settle()
    before, concerns = alarms(desk, "usage_differs"), Concerns()

    for _ in range(3):
        assert await compare_opened_boxes(desk.runtime, worker, None, concerns) == 0
    assert alarms(desk, "usage_differs") == before + 1


@pytest.mark.parametrize(
    "broken", ["held_messages SET body = '{}'", "boxes SET services = '[{}]'"], ids=["message", "box"]
)
async def test_a_held_message_that_fails_waits_with_its_senders_others_and_the_rest_is_judged(
    bidding: Running, kafka: MemoryKafka, broken: str
) -> None:
    first, second = await two_held(bidding, kafka)
    await bidding.pool.execute(f"UPDATE {broken} WHERE purchase_id = $1", first.purchase_id)
    concerns = Concerns()

    assert [await judge_held_messages(bidding.runtime, concerns) for _ in range(3)] == [2, 0, 0]
    await bidding.send()
    assert answers(kafka, AIKO) == ["received"] * 2
    held = await bidding.pool.fetch("SELECT purchase_id FROM held_messages")
    assert [row["purchase_id"] for row in held] == [first.purchase_id] * 2
    assert (
        await bidding.pool.fetchval("SELECT count(*) FROM replies WHERE purchase_id = $1", second.purchase_id)
        == 2
    )
    assert alarms(bidding, "held_not_judged") == 1


async def test_boxes_are_closed_even_where_judging_held_messages_fails(
    bidding: Running, kafka: MemoryKafka
) -> None:
    await two_purchases(bidding, kafka)
    kafka.from_provider(BRIO, Purchase().reply())
    await deliver_only(bidding, f"replies.{BRIO}")

    async def ends(topic: str) -> dict[TopicPartition, int]:
        if topic == "rfp.events":
            raise ValueError(topic)
        return await kafka.end_offsets(topic)

    bidding.runtime.end_offsets = ends
    about_held, about_boxes = Concerns(), Concerns()
    for _ in range(3):
        await tend_once(bidding.runtime, about_held, about_boxes)

    await bidding.send()
    assert said(kafka).count("RepliesOpened") == 2
    assert alarms(bidding, "held_not_judged") == 1


async def test_an_error_that_passes_by_itself_ends_the_round(bidding: Running, kafka: MemoryKafka) -> None:
    await two_purchases(bidding, kafka)
    asked: list[str] = []

    async def away(topic: str) -> dict[TopicPartition, int]:
        asked.append(topic)
        raise OSError

    bidding.runtime.end_offsets = away
    with pytest.raises(OSError):  # noqa: PT011 # it is the very error, without words
        await close_boxes(bidding.runtime)
    assert len(asked) == 1
    assert alarms(bidding, "box_not_closed") == 0


async def test_a_box_that_waits_for_replies_is_looked_at_without_locks_and_wakes_nobody(
    bidding: Running, kafka: MemoryKafka
) -> None:
    purchase, _ = await two_purchases(bidding, kafka)
    kafka.from_provider(BRIO, purchase.reply(), at=purchase.in_time)
    concerns = Concerns()
    assert await close_boxes(bidding.runtime, concerns) == 0
    bidding.runtime.work_due.clear()

    with capture_logs() as logs:
        async with asyncio.timeout(10), bidding.pool.acquire() as intake, intake.transaction():
            await intake.execute("SELECT FROM boxes FOR SHARE")
            for _ in range(3):
                assert await close_boxes(bidding.runtime, concerns) == 0
    assert not bidding.runtime.work_due.is_set()
    assert logs == []

    await deliver_only(bidding, f"replies.{BRIO}")
    assert await close_boxes(bidding.runtime, concerns) == 2


async def test_a_message_that_stays_held_wakes_nobody(bidding: Running, kafka: MemoryKafka) -> None:
    kafka.event(Purchase().request)
    kafka.from_provider(AIKO, Purchase().reply())
    await deliver_only(bidding, f"replies.{AIKO}")
    assert await judge_held_messages(bidding.runtime) == 0
    bidding.runtime.work_due.clear()

    assert await judge_held_messages(bidding.runtime) == 0
    assert not bidding.runtime.work_due.is_set()


async def test_why_a_box_stays_shut_is_said_when_it_changes(bidding: Running, kafka: MemoryKafka) -> None:
    await two_purchases(bidding, kafka)
    concerns = Concerns()

    async def unknown(_topic: str) -> dict[TopicPartition, int]:
        return {}

    bidding.runtime.end_offsets = unknown
    with capture_logs() as logs:
        for skew in (None, timedelta(0), None):
            await clocks_disagree(bidding, skew)
            for _ in range(3):
                assert await close_boxes(bidding.runtime, concerns) == 0
    reasons = [one["why"] for one in logs if one["event"] == "box stays shut"]
    assert reasons == [
        why for why in ("skew_unknown", "replies_end_unknown", "skew_unknown") for _ in range(2)
    ]
    assert alarms(bidding, "replies_end_unknown") == 2


async def test_a_job_that_is_woken_without_end_still_pauses(bidding: Running, kafka: MemoryKafka) -> None:
    announce(kafka, purchase := Purchase())
    kafka.event(purchase.deadline_passed)
    await deliver_only(bidding, "rfp.events")
    await clocks_disagree(bidding, timedelta(0))
    rounds: list[float] = []

    async def wake(_topic: str) -> dict[TopicPartition, int]:
        rounds.append(time.monotonic())
        bidding.runtime.wake()
        return {}

    bidding.runtime.end_offsets = wake
    job = asyncio.create_task(tend_boxes(bidding.runtime))
    try:
        async with asyncio.timeout(20):
            while len(rounds) < 4:  # noqa: ASYNC110 # the job tells nobody that it went round
                await asyncio.sleep(0.05)
    finally:
        job.cancel()
    pauses = [later - earlier for earlier, later in pairwise(rounds)]
    assert min(pauses) >= LEAST_PAUSE_S * 0.95


async def test_held_messages_are_locked_after_their_boxes(
    bidding: Running, kafka: MemoryKafka, database: str
) -> None:
    await two_held(bidding, kafka)
    other: Any = await asyncpg.connect(database, server_settings={"search_path": "bidding"})
    try:
        async with asyncio.timeout(20):
            async with other.transaction():
                await other.execute("SELECT FROM boxes FOR UPDATE")
                judging = asyncio.create_task(judge_held_messages(bidding.runtime))
                while not await other.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):  # noqa: ASYNC110 # a lock tells nobody
                    await asyncio.sleep(0.05)
                # An error here is a held message that was locked already.
                await other.execute("SELECT FROM held_messages FOR UPDATE NOWAIT")
            assert await judging == 4
    finally:
        await other.close()
