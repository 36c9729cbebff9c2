"""Where purchases wait at bidding, from a box's key to the comparison, found in its tables."""

from datetime import UTC, datetime, timedelta

from shared.workers import measure
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, Purchase
from tests.service.bidding.bidding_talk import announce, deliver_only
from tests.service.bidding.test_bidding_seals import a_box, an_offer_for, closed


async def steps(service: Running) -> dict[str, float]:
    """Return by step how long the purchase has been there."""
    async with service.pool.acquire() as connection:
        look = await service.service.looking.look(connection)
    return {step.name: age for step, _, age in look.purchases}


async def test_a_box_waits_for_its_key_then_for_the_deadline(sealing: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase(deadline=datetime.now(UTC) + timedelta(hours=1))
    announce(kafka, purchase)
    for topic in ("aggregation.events", "aggregation.usage", "rfp.events"):
        await deliver_only(sealing, topic)
    assert set(await steps(sealing)) == {"key"}
    await kafka.settle()
    assert set(await steps(sealing)) == {"replies"}


async def test_a_box_whose_deadline_is_over_waits_to_be_closed_from_the_deadline_on(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await a_box(kafka, purchase)
    found = await steps(sealing)
    assert set(found) == {"closing"}
    since = (datetime.now(UTC) - purchase.deadline).total_seconds()
    assert since - 5 < found["closing"] <= since


async def test_a_closed_box_waits_for_the_opener_and_an_opened_one_for_its_comparison(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    offer = purchase.sealed(ready, AIKO, content=an_offer_for("0.10"))
    kafka.from_provider(AIKO, offer, at=purchase.in_time)
    await closed(sealing, kafka, purchase)
    assert set(await steps(sealing)) == {"opening"}
    comparing = sealing.steps.pop()
    await kafka.settle()
    assert set(await steps(sealing)) == {"comparing"}
    sealing.steps.append(comparing)
    await kafka.settle()
    assert set(await steps(sealing)) == {"selection"}


async def test_an_empty_box_is_over_once_it_is_compared_and_a_cancelled_one_at_once(
    sealing: Running, kafka: MemoryKafka
) -> None:
    empty, cancelled = Purchase(), Purchase()
    for purchase in (empty, cancelled):
        await a_box(kafka, purchase)
    kafka.event(empty.deadline_passed)
    kafka.event(cancelled.cancelled)
    await kafka.settle()
    assert await steps(sealing) == {}


async def test_rows_for_providers_are_not_counted_and_their_age_is_told(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    for provider in purchase.listed:
        offer = purchase.sealed(ready, provider, content=an_offer_for("0.10"))
        kafka.from_provider(provider, offer, at=purchase.in_time)
        await deliver_only(sealing, f"replies.{provider}")
    assert await sealing.pool.fetchval("SELECT count(*) FROM outbox") == len(purchase.listed)
    await sealing.pool.execute("UPDATE outbox SET created_at = created_at - interval '1 minute'")
    await measure(sealing.runtime, sealing.service.looking)
    value = sealing.runtime.metrics.registry.get_sample_value
    assert value("linepool_outbox_rows") == 0
    assert (value("linepool_outbox_age_seconds") or 0) > 60


async def test_parked_messages_of_providers_count_as_one(sealing: Running) -> None:
    await sealing.pool.execute(
        'INSERT INTO parked (consumer, key, inbox_id, topic, partition, "offset", timestamp_ms, headers, state, reason)'
        " SELECT consumer, topic::bytea, gen_random_uuid(), topic, 0, number, 0, ''::bytea, 'failed', 'x'"
        " FROM generate_series(1, 3) AS number,"
        " (VALUES ('bidding.replies', 'replies.aikoaikoaiko'), ('bidding.replies', 'replies.briobriobrio'),"
        " ('bidding.rfp.events', 'rfp.events')) AS of (consumer, topic)"
    )
    await measure(sealing.runtime, sealing.service.looking)
    value = sealing.runtime.metrics.registry.get_sample_value
    assert value("linepool_parked_messages", {"state": "failed"}) == 1 + 3


async def test_figures_have_ages_and_counts_by_step_and_zero_where_nobody_waits(
    sealing: Running, kafka: MemoryKafka
) -> None:
    for purchase in (Purchase(), Purchase(deadline=Purchase().deadline - timedelta(hours=1))):
        await a_box(kafka, purchase)
    await measure(sealing.runtime, sealing.service.looking)
    value = sealing.runtime.metrics.registry.get_sample_value
    assert value("linepool_purchases", {"step": "closing"}) == 2
    assert (value("linepool_purchase_age_seconds", {"step": "closing"}) or 0) > 3600
    assert value("linepool_purchases", {"step": "opening"}) == 0
    assert value("linepool_purchase_age_seconds", {"step": "opening"}) == 0
