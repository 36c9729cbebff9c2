import asyncio
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from services.bidding import intake, reading
from services.bidding.judging import judge_held_messages
from services.bidding.settings import settings_of
from shared.messages.bidding import MessageRejected, ReceiptIssued
from shared.record import Record
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, LISTED, UNLISTED, Purchase, an_offer
from tests.service.bidding.bidding_talk import announce, answers, deliver_only, ids_on, one_of

HOSTILE = [b"", b"{", b"\xff", b"[" * 50_000, b"null", b"{}", b'"' * 10, b"x" * 1_000_000]


async def test_the_same_message_again_gets_the_same_receipt_again(desk: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    for _ in range(3):
        kafka.from_provider(AIKO, purchase.reply(), id="mine-1", at=purchase.in_time)
        await kafka.settle()

    receipts = kafka.topics[f"notices.{AIKO}"]
    assert len(receipts) == 3
    assert len({record.value for record in receipts}) == 1
    assert len(set(ids_on(kafka, f"notices.{AIKO}"))) == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM replies") == 1


async def test_another_message_under_a_used_id_is_rejected_and_the_first_stays(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), id="mine-1", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(revision=2), id="mine-1", at=purchase.in_time)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.reply(revision=3), id="mine-1", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(), id="mine-1", at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.reply(), id="mine-1", at=purchase.in_time)
    await kafka.settle()

    assert Counter(answers(kafka, AIKO)) == {"received": 2, "id_reused": 2}
    assert answers(kafka, BRIO) == ["received"]
    assert await desk.pool.fetchval("SELECT max(revision) FROM replies") == 1


@pytest.mark.usefixtures("desk")
async def test_a_message_that_was_rejected_is_rejected_again_in_the_same_words(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    for _ in range(2):
        kafka.from_provider(AIKO, purchase.reply(), id="late", at=purchase.deadline)
        await kafka.settle()

    first, second = kafka.topics[f"notices.{AIKO}"]
    assert first.value == second.value
    assert len(set(ids_on(kafka, f"notices.{AIKO}"))) == 1
    assert answers(kafka, AIKO) == ["late", "late"]


async def test_ids_are_repeated_also_where_the_inbox_has_forgotten_them(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), id="mine-1", at=purchase.in_time)
    await kafka.settle()
    await desk.pool.execute("DELETE FROM inbox")
    kafka.from_provider(AIKO, purchase.reply(), id="mine-1", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(revision=2), id="mine-1", at=purchase.in_time)
    await kafka.settle()

    assert Counter(answers(kafka, AIKO)) == {"received": 2, "id_reused": 1}


async def test_an_unlisted_provider_is_answered_like_an_unknown_purchase(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    await kafka.settle()
    kafka.from_provider(UNLISTED, purchase.reply(), id="1", at=purchase.in_time)
    kafka.from_provider(AIKO, Purchase().reply(), id="1", at=purchase.in_time)
    await deliver_only(desk, f"replies.{UNLISTED}")
    await deliver_only(desk, f"replies.{AIKO}")
    await desk.send()
    held = await desk.pool.fetchval("SELECT count(*) FROM held_messages")
    assert (held, answers(kafka, UNLISTED), answers(kafka, AIKO)) == (2, [], [])
    await kafka.settle()

    unlisted = one_of(kafka, MessageRejected, f"notices.{UNLISTED}")
    unknown = one_of(kafka, MessageRejected, f"notices.{AIKO}")
    own = {"purchase_id", "sha256", "chain"}
    assert unlisted.model_dump(exclude=own) == unknown.model_dump(exclude=own)
    assert unlisted.reason == "unknown_purchase"


@pytest.mark.parametrize("distance", [timedelta(milliseconds=-1), timedelta(0)])
async def test_a_reply_ahead_of_its_request_is_judged_by_its_own_append_time(
    desk: Running, kafka: MemoryKafka, distance: timedelta
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.deadline + distance)
    kafka.from_provider(AIKO, purchase.reply(revision=2), at=purchase.deadline + distance)
    await deliver_only(desk, f"replies.{AIKO}")
    assert await judge_held_messages(desk.runtime) == 0
    await deliver_only(desk, "rfp.events")
    kafka.from_provider(AIKO, purchase.reply(revision=3), at=purchase.deadline + distance)
    await deliver_only(desk, f"replies.{AIKO}")
    assert answers(kafka, AIKO) == []
    await kafka.settle()

    assert answers(kafka, AIKO) == (["received"] * 3 if distance < timedelta(0) else ["late"] * 3)
    assert await desk.pool.fetchval("SELECT count(*) FROM checkpoints") == 0


async def test_an_unknown_purchase_is_rejected_only_once_all_facts_of_that_moment_are_taken(
    desk: Running, kafka: MemoryKafka
) -> None:
    for _ in range(3):
        kafka.event(Purchase().request)
    kafka.from_provider(AIKO, Purchase().reply())
    await deliver_only(desk, f"replies.{AIKO}")

    assert await judge_held_messages(desk.runtime) == 0
    kafka.event(Purchase().request)  # what comes after that moment is not waited for
    (stream,) = [one for one in desk.service.wiring.streams.values() if one.topic == "rfp.events"]
    for number, record in enumerate(kafka.topics["rfp.events"][:3], 1):
        await stream.subscriber.process_message(record)
        assert await judge_held_messages(desk.runtime) == (number == 3)


async def test_a_fact_that_was_put_aside_keeps_messages_about_its_purchase_waiting(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await desk.pool.execute(
        'INSERT INTO parked (consumer, key, inbox_id, topic, partition, "offset", timestamp_ms, headers, state, '
        "reason, retry_at) VALUES ('bidding.rfp.events', $1, $2, 'rfp.events', 0, 0, 0, '[]', 'stuck', 'x', now())",
        str(purchase.purchase_id).encode(),
        uuid4(),
    )
    await kafka.settle()
    assert answers(kafka, AIKO) == []

    await desk.pool.execute("DELETE FROM parked")
    kafka.event(purchase.request)
    await kafka.settle()
    assert answers(kafka, AIKO) == ["received"]


async def test_whatever_a_provider_sends_is_answered_and_never_put_aside(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    await kafka.settle()
    headers: list[list[tuple[str, bytes | None]]] = [
        [],
        [("ce_id", None), ("ce_type", b"\xff")],
        [("ce_id", b"a\x00b"), ("ce_type", b"linepool.reply-submitted.v1")],
        [("ce_type", b"linepool.no-such-thing.v1"), ("reply_to", b"rfp.events")],
    ]
    for number, body in enumerate(HOSTILE):
        for more in (*headers, [("ce_id", b"%d" % number), ("ce_type", b"linepool.reply-submitted.v1")]):
            kafka.append(f"replies.{AIKO}", body, more, b"\xff", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()

    assert len(answers(kafka, AIKO)) == len(HOSTILE) * (len(headers) + 1) + 1
    assert answers(kafka, AIKO).count("received") == 1
    assert answers(kafka, BRIO) == ["received"]
    assert await desk.pool.fetchval("SELECT count(*) FROM parked") == 0


async def test_of_10_000_messages_each_gets_exactly_one_answer(desk: Running, kafka: MemoryKafka) -> None:
    purchases = [Purchase() for _ in range(20)]
    for purchase in purchases:
        kafka.event(purchase.request)
    await kafka.settle()
    expected: Counter[tuple[str, str, str]] = Counter()
    for number in range(10_000):
        purchase, provider = purchases[number % 20], LISTED[number // 20 % 3]
        revision = number // 60 + 1
        late = number % 7 == 0
        reply = purchase.reply(revision=revision, offer=an_offer(name=f"Offer {number}"))
        at = purchase.deadline if late else purchase.in_time
        kafka.from_provider(provider, reply, id=f"n{number}", at=at)
        expected[provider, f"n{number}", "late" if late else "received"] += 1

    (stream,) = [one for one in desk.service.wiring.streams.values() if one.kind == "batches"]
    topics = [f"replies.{provider}" for provider in LISTED]
    for start in range(0, 3_340, 167):
        batch = [record for topic in topics for record in kafka.topics[topic][start : start + 167]]
        await stream.subscriber.process_message(tuple(batch))
    await desk.send()

    found = Counter(
        (provider, notice.message_id, notice.reason if isinstance(notice, MessageRejected) else "received")
        for provider in LISTED
        for notice in kafka.messages(f"notices.{provider}")
        if isinstance(notice, ReceiptIssued | MessageRejected)
    )
    assert found == expected
    stored = await desk.pool.fetchval("SELECT count(*) FROM replies")
    assert stored == sum(1 for _, _, answer in expected if answer == "received")
    assert len(set(ids_on(kafka, f"notices.{AIKO}"))) == len(kafka.topics[f"notices.{AIKO}"])


async def test_a_batch_of_any_size_takes_the_same_few_statements(desk: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    kafka.event(purchase.request)
    await kafka.settle()
    counts = []
    for size in (10, 10, 500):  # the first connection asks for its types beforehand
        topic = f"replies.{AIKO}"
        begin = len(kafka.topics[topic])
        for number in range(begin, begin + size):
            kafka.from_provider(AIKO, purchase.reply(revision=number + 1), at=purchase.in_time)
        records = [Record.of(record) for record in kafka.topics[topic][begin:]]
        statements: list[object] = []
        async with desk.runtime.decide("test", size) as (tx, publish):
            connection: asyncpg.Connection = tx
            with connection.query_logger(statements.append):
                arrivals = [reading.read(record) for record in records]
                await intake.take(tx, publish, arrivals, intake.Rules.of(settings_of(desk.runtime)))
        counts.append(len(statements))

    assert counts[1] == counts[2] <= 8


async def test_two_batches_that_meet_the_same_boxes_crosswise_do_not_deadlock(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchases = [Purchase() for _ in range(30)]
    for purchase in purchases:
        kafka.event(purchase.request)
    await kafka.settle()
    for provider, order in ((AIKO, purchases), (BRIO, purchases[::-1])):
        for purchase in order:
            kafka.from_provider(provider, purchase.reply(), at=purchase.in_time)
    (stream,) = [one for one in desk.service.wiring.streams.values() if one.kind == "batches"]

    await asyncio.gather(
        *(
            stream.subscriber.process_message(tuple(kafka.topics[f"replies.{provider}"]))
            for provider in (AIKO, BRIO)
        )
    )
    await desk.send()

    assert len(answers(kafka, AIKO)) == len(answers(kafka, BRIO)) == 30
