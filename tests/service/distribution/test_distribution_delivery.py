import pytest

from shared.messages.distribution import CancellationPresented, ProviderInvited, RequestDistributed
from tests.memory import MemoryKafka, Running
from tests.service.distribution.distribution_facts import LISTED, Purchase


def types(kafka: MemoryKafka, topic: str) -> list[str]:
    return [type(message).__name__ for message in kafka.messages(topic)]


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_qualified_group_s_request_goes_to_each_listed_provider_once_however_often_facts_come(
    distribution: Running, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    purchase = Purchase(listed=LISTED)
    *early, qualified = purchase.needed
    for fact in early:
        kafka.event(fact)
    await kafka.settle()
    waiting = await distribution.pool.fetchval("SELECT waiting_for FROM waiting")
    assert waiting == ["qualification"]

    kafka.event(qualified)
    await kafka.settle()

    for provider_id in LISTED:
        assert types(kafka, f"invitations.{provider_id}") == ["RequestPresented", "PresentedDocumentPart"]
    assert types(kafka, "distribution.events") == ["ProviderInvited"] * 3 + ["RequestDistributed"]
    assert [
        one.provider_id for one in kafka.messages("distribution.events") if isinstance(one, ProviderInvited)
    ] == [*LISTED]
    assert [
        one.invited for one in kafka.messages("distribution.events") if isinstance(one, RequestDistributed)
    ] == [3]


async def test_reading_all_topics_again_changes_no_table_and_says_nothing(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase, cancelled = Purchase(listed=LISTED), Purchase(listed=LISTED[:1])
    for fact in [*purchase.needed, *cancelled.needed]:
        kafka.event(fact)
    await kafka.settle()
    kafka.event(cancelled.cancelled)
    await kafka.settle()
    assert any(isinstance(one, CancellationPresented) for one in kafka.messages(f"invitations.{LISTED[0]}"))
    tables = await distribution.tables(without=["inbox", "positions"])
    said = {topic: len(records) for topic, records in kafka.topics.items()}

    await distribution.pool.execute("TRUNCATE inbox, positions")
    distribution.rewind()
    await kafka.settle()

    assert await distribution.tables(without=["inbox", "positions"]) == tables
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said
