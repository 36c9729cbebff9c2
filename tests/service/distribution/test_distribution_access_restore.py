import json
from random import Random

import pytest

from shared.messages.rfp import ProviderSuspended
from tests.memory import MemoryKafka, Running
from tests.service.distribution.distribution_facts import LISTED
from tests.service.distribution.test_distribution_access import STRANGER, offered, say, told
from tests.service.rebuilding import rebuilt

LEDGERS = ("disclosures", "access_requests", "answer_disclosures")
ASKER, OTHER, THIRD = LISTED


def kept(tables: dict[str, list[str]]) -> dict[str, list[list[str]]]:
    """Return the ledgers, without the moments at which quiet repeats were noted: those are looked up anew."""
    found = {name: [json.loads(row) for row in tables[name]] for name in LEDGERS}
    for row in found["access_requests"]:
        if "shown_before" in row:
            row[row.index("shown_before") + 1] = ""
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_a_database_built_anew_grants_refuses_and_answers_as_it_had(
    distribution: Running, kafka: MemoryKafka, database: str, seed: int
) -> None:
    kafka.random = Random(seed)  # noqa: S311 # an order to repeat, no secret
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER), purchase.asks(STRANGER), purchase.answered())
    await say(kafka, ProviderSuspended(provider_id=THIRD, reason="complaint"), purchase.asks(THIRD))
    await say(kafka, purchase.asks(OTHER), purchase.answered("Which walls?"))
    await say(kafka, purchase.lapsed, ProviderSuspended(provider_id=ASKER, reason="complaint"))
    await say(kafka, purchase.asks(ASKER), purchase.cancelled)
    before = await distribution.tables()
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    own = ["distribution.events", *(topic for topic in kafka.topics if topic.startswith("invitations."))]

    async with rebuilt("distribution", distribution, database, own) as again:
        await kafka.settle()
        for _ in range(20):
            await again.pool.execute("UPDATE parked SET retry_at = clock_timestamp()")
            await kafka.settle()
        assert await again.pool.fetchval("SELECT count(*) FROM parked") == 0
        after = await again.tables()

    assert kept(after) == kept(before)
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said
    assert told(kafka, ASKER).count("AnswerPresented") == 2
