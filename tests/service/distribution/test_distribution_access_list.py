"""Claim 7: that a provider is on the list is checked at the moment of granting, and not only when it was offered the request."""

import asyncpg

from shared.messages.distribution import AccessGranted, AccessRefused
from tests.memory import MemoryKafka, Running
from tests.service.distribution.distribution_facts import LISTED, Purchase

ASKER, OTHER, _ = LISTED


async def test_who_was_offered_the_request_and_is_on_its_list_no_more_is_refused(
    distribution: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase = Purchase(mode="grant", listed=LISTED)
    for fact in purchase.needed:
        kafka.event(fact)
    await kafka.settle()
    # No order takes anyone off a frozen list: a superuser does, past the keys that hold the tables together.
    admin = await asyncpg.connect(database)
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM distribution.listed_providers WHERE provider_id = $1", ASKER)
    await admin.close()
    for asker in (ASKER, OTHER):
        kafka.event(purchase.asks(asker))
    await kafka.settle()

    said = kafka.messages("distribution.events")
    assert [one.provider_id for one in said if isinstance(one, AccessRefused)] == [ASKER]
    assert [one.provider_id for one in said if isinstance(one, AccessGranted)] == [OTHER]
    assert await distribution.pool.fetchval("SELECT count(*) FROM parked") == 0
