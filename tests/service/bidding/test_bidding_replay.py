import asyncio
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.bidding import handlers
from shared.envelope import read_headers
from shared.messages import Message
from shared.messages.bidding import ProviderSelected
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, UNLISTED, Purchase, an_offer
from tests.service.bidding.bidding_talk import all_of, announce, deliver_only, reply_of, said
from tests.service.rebuilding import read_back

DELIVERY = ("inbox", "positions", "sequences", "parked", "outbox", "subjects", "log", "adopted", "timers")


async def live_a_whole_purchase(kafka: MemoryKafka, purchase: Purchase) -> None:
    kafka.from_provider(AIKO, purchase.reply(offer=an_offer("0.12")), id="a1", at=purchase.in_time)
    kafka.from_provider(UNLISTED, purchase.reply(), id="x1", at=purchase.in_time)
    announce(kafka, purchase)
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.reply(offer=an_offer("0.11")), id="b1", at=purchase.in_time)
    kafka.from_provider(
        BRIO, purchase.reply(revision=2, offer=an_offer("0.10")), id="b2", at=purchase.in_time
    )
    kafka.from_provider(BRIO, purchase.reply(revision=2), id="b3", at=purchase.in_time)
    kafka.from_provider(CORA, purchase.decline(), id="c1", at=purchase.in_time)
    kafka.from_provider(CORA, purchase.reply(), id="c2", at=purchase.deadline)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.command(purchase.select(reply_of(kafka, BRIO)), purchase.by_coordinator)
    await kafka.settle()
    for text, answer in (("first", purchase.reject("first")), ("second", purchase.accept("second"))):
        kafka.from_provider(BRIO, purchase.terms(text), id=text)
        await kafka.settle()
        kafka.command(answer, purchase.by_coordinator)
        await kafka.settle()


def spoken(kafka: MemoryKafka) -> dict[str, set[tuple[str | None, bytes | None]]]:
    """What bidding has said, by topic, each id with its body once."""
    own = ("bidding.events", "bidding.comparisons", "notices.")
    return {
        topic: {(read_headers(record.headers).id, record.value) for record in records}
        for topic, records in kafka.topics.items()
        if topic.startswith(own)
    }


async def test_a_process_that_starts_beside_one_that_sends_takes_nothing_for_forgotten(
    bidding: Running, kafka: MemoryKafka
) -> None:
    announce(kafka, purchase := Purchase())
    for provider in (AIKO, BRIO):
        kafka.from_provider(provider, purchase.reply(), at=purchase.in_time)
    for topic in (
        "aggregation.events",
        "aggregation.usage",
        "rfp.events",
        f"replies.{AIKO}",
        f"replies.{BRIO}",
    ):
        await deliver_only(bidding, topic)
    async with bidding.pool.acquire() as connection, kafka.sender() as sender:

        async def note_as_sent(topic: str) -> None:
            if topic.startswith("notices."):
                await bidding.relay.send_some(connection, sender)

        # Sent, and not noted as sent: that comes after the other one has seen that a notice is behind the position.
        await bidding.relay.send_some(connection, sender)
        assert [len(kafka.topics[f"notices.{one}"]) for one in (AIKO, BRIO)] == [1, 1]
        await read_back(bidding, note_as_sent)
    assert await bidding.pool.fetchval("SELECT count(*) FROM outbox") == 0
    assert await bidding.pool.fetchval("SELECT count(*) FROM adopted") == 0


async def test_the_whole_log_again_leaves_the_tables_as_they_are_and_says_nothing_new(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await live_a_whole_purchase(kafka, purchase)
    assert said(kafka)[-1] == "TermsAccepted"
    tables, words = await desk.tables(without=DELIVERY), spoken(kafka)
    events = len(kafka.topics["bidding.events"])

    for _ in range(2):
        await desk.pool.execute("DELETE FROM inbox")
        await desk.pool.execute("DELETE FROM positions")
        desk.rewind()
        await kafka.settle()

    assert await desk.tables(without=DELIVERY) == tables
    assert spoken(kafka) == words
    assert len(kafka.topics["bidding.events"]) == events


@pytest.mark.usefixtures("desk")
async def test_delivering_everything_three_times_is_delivering_it_once(kafka: MemoryKafka) -> None:
    kafka.copies = 3
    await live_a_whole_purchase(kafka, Purchase())

    assert said(kafka) == [
        "BidBoxReady",
        "RepliesOpened",
        "RepliesCompared",
        "ProviderSelected",
        "TermsPresented",
        "TermsRejected",
        "TermsPresented",
        "TermsAccepted",
    ]


@pytest.mark.parametrize("with_cancellation", [False, True])
async def test_the_same_facts_make_the_same_state_in_every_order(
    desk: Running, kafka: MemoryKafka, with_cancellation: bool
) -> None:
    states, words = set(), set()
    template = Purchase()
    facts = ["group", "usage", "request", "deadline_passed", *(["cancelled"] if with_cancellation else [])]
    orders = list(permutations(facts))[:: 5 if with_cancellation else 1]
    for order in orders:
        purchase = Purchase(
            coordinator=template.coordinator, deadline=template.deadline, buyers=template.buyers
        )
        kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
        before = len(kafka.topics["bidding.events"])
        for name in order:
            fact: Message | list[Message] = getattr(purchase, name)
            for one in fact if isinstance(fact, list) else [fact]:
                kafka.event(one)
            for service in kafka.services:
                for stream in service.service.wiring.streams.values():
                    if stream.kind == "events":
                        await service._deliver(stream, stream.topic)
        await kafka.settle()
        row = await desk.pool.fetchrow(
            "SELECT stage, request_version, provider_ids, deadline_passed_by IS NOT NULL, cancelled_by IS NOT NULL, "
            "opened_at IS NOT NULL, compared_at IS NOT NULL, (SELECT count(*) FROM replies "
            "WHERE replies.purchase_id = boxes.purchase_id AND rank = 1) FROM boxes WHERE purchase_id = $1",
            purchase.purchase_id,
        )
        states.add(str([*row.values()] if row else None))
        words.add(tuple(said(kafka)[before:]))

    assert len(states) == 1
    assert words == {
        ("BidBoxReady",) if with_cancellation else ("BidBoxReady", "RepliesOpened", "RepliesCompared")
    }


async def test_of_two_racing_selections_one_wins_and_the_other_is_refused(
    desk: Running, kafka: MemoryKafka
) -> None:
    for _ in range(5):
        purchase = Purchase()
        announce(kafka, purchase)
        for provider in (AIKO, BRIO):
            kafka.from_provider(provider, purchase.reply(), at=purchase.in_time)
        kafka.event(purchase.deadline_passed)
        await kafka.settle()
        rows = await desk.pool.fetch("SELECT id FROM replies WHERE purchase_id = $1", purchase.purchase_id)
        barrier = asyncio.Barrier(2)

        outcomes = await asyncio.gather(*(race(desk, barrier, purchase, row["id"]) for row in rows))

        assert sorted(map(str, outcomes)) == ["None", "already_selected"]
        await desk.send()
        awards = await desk.pool.fetch(
            "SELECT number FROM awards WHERE purchase_id = $1 AND standing", purchase.purchase_id
        )
        assert [row["number"] for row in awards] == [1]
        told = [one for one in all_of(kafka, ProviderSelected) if one.purchase_id == purchase.purchase_id]
        assert len(told) == 1


async def race(desk: Running, barrier: asyncio.Barrier, purchase: Purchase, reply_id: UUID) -> str | None:
    """Select on a connection of its own; at the barrier both transactions have begun."""
    async with desk.runtime.decide("race", uuid4()) as (tx, publish):
        await barrier.wait()
        outcome: Any = await handlers.select_reply(
            purchase.select(reply_id), purchase.by_coordinator, tx, publish
        )
    return outcome and outcome.reason


async def test_the_database_itself_keeps_a_second_award_from_standing(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await live_a_whole_purchase(kafka, purchase)

    with pytest.raises(asyncpg.UniqueViolationError, match="awards_stand_one_at_a_time"):
        await desk.pool.execute(
            "INSERT INTO awards (purchase_id, number, provider_id, reply_id, cause_id) "
            "SELECT purchase_id, 2, provider_id, reply_id, $1 FROM awards",
            uuid4(),
        )
