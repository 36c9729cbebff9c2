"""Where requests wait at rfp, found in its tables."""

from datetime import timedelta

from tests.memory import MemoryKafka, Running
from tests.service.rfp.conftest import Purchase


async def steps(service: Running) -> dict[str, float]:
    """Return by step how long the purchase has been there."""
    async with service.pool.acquire() as connection:
        look = await service.service.looking.look(connection)
    return {step.name: age for step, _, age in look.purchases}


async def test_a_draft_waits_for_its_issue_and_an_issued_request_for_the_officer(
    rfp: Running, purchase: Purchase
) -> None:
    await purchase.ready()
    found = await steps(rfp)
    assert set(found) == {"request"}
    assert 0 <= found["request"] < 60
    await purchase.say(purchase.issuing())
    assert set(await steps(rfp)) == {"verification"}


async def test_a_deadline_that_is_over_and_was_not_said_waits_for_rfp_itself(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka
) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    past = await rfp.pool.fetchval("SELECT clock_timestamp() - $1::interval", timedelta(minutes=10))
    await rfp.pool.execute("UPDATE requests SET deadline_at = $1", past)
    found = await steps(rfp)
    assert set(found) == {"deadline"}
    assert 600 <= found["deadline"] < 660
    await rfp.pool.execute("UPDATE timers SET due_at = $1, try_at = $1 WHERE kind = 'deadline'", past)
    await kafka.settle()
    assert await steps(rfp) == {}


async def test_a_cancelled_request_waits_for_nothing(rfp: Running, purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.cancelling())
    assert await steps(rfp) == {}
