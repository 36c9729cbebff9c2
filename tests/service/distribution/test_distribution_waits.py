"""Where requests wait at distribution; since when is since this process first saw it."""

from shared.waiting import Look
from tests.memory import MemoryKafka, Running
from tests.service.distribution.distribution_facts import Purchase


async def look(service: Running) -> Look:
    async with service.pool.acquire() as connection:
        return await service.service.looking.look(connection)


async def test_a_gate_waits_for_what_is_missing_and_then_for_the_qualification(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    kafka.event(purchase.request)
    await kafka.settle()
    [(step, waiting, first)] = (await look(distribution)).purchases
    assert step.name == "distribution"
    assert waiting.detail == "content, usage.csv, bid box, qualification"
    [(_, waiting, second)] = (await look(distribution)).purchases
    assert waiting.since is None
    assert second > first
    for fact in (*purchase.parts, purchase.box):
        kafka.event(fact)
    await kafka.settle()
    [(step, _, age)] = (await look(distribution)).purchases
    assert step.name == "qualification"
    assert age < second
    kafka.event(purchase.qualified)
    await kafka.settle()
    assert (await look(distribution)).purchases == ()


async def test_a_gate_that_is_shut_for_good_waits_for_nothing(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    kafka.event(purchase.request)
    kafka.event(purchase.cancelled)
    await kafka.settle()
    assert (await look(distribution)).purchases == ()
