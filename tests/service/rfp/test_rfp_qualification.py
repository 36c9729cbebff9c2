"""The officer's findings qualify a group, or do not."""

from uuid import uuid4

import pytest

from shared.envelope import Actor
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
    GroupQualified,
    QualificationLapsed,
    RecordVerificationRefused,
)
from tests.memory import MemoryKafka, Running
from tests.service.rfp.conftest import Purchase, soon


@pytest.fixture
async def drafted(purchase: Purchase, kafka: MemoryKafka) -> Purchase:
    for fact in purchase.facts():
        kafka.event(fact)
    await kafka.settle()
    return purchase


async def test_the_coordinator_and_one_buyer_qualify_the_group(drafted: Purchase) -> None:
    coordinator = drafted.finding(valid_until=soon(days=9))
    await drafted.say(coordinator, drafted.officer)
    assert not drafted.events(GroupQualified)
    await drafted.say(drafted.finding(drafted.buyer_ids[1]), drafted.officer)
    (qualified,) = drafted.events(GroupQualified)
    assert (qualified.number, qualified.snapshot) == (1, drafted.snapshot)
    assert qualified.valid_until == coordinator.valid_until
    assert [one.party for one in drafted.events(BuyerVerified)] == ["coordinator", "buyer"]
    await drafted.say(drafted.finding(drafted.buyer_ids[0]), drafted.officer)
    assert len(drafted.events(GroupQualified)) == 1


async def test_buyers_alone_do_not_qualify_the_group(drafted: Purchase) -> None:
    for buyer_id in drafted.buyer_ids:
        await drafted.say(drafted.finding(buyer_id), drafted.officer)
    assert not drafted.events(GroupQualified)


async def test_findings_wait_for_the_group(purchase: Purchase, kafka: MemoryKafka) -> None:
    await purchase.say(purchase.finding(), purchase.officer)
    await purchase.say(purchase.finding(purchase.buyer_ids[0]), purchase.officer)
    other = await purchase.say(purchase.finding(purchase.buyer_ids[1], snapshot="6" * 64), purchase.officer)
    kafka.event(purchase.aggregated())
    kafka.event(purchase.joined()[0])
    await kafka.settle()
    assert not purchase.events(GroupQualified, BuyerVerified)
    kafka.event(purchase.joined()[1])
    await kafka.settle()
    assert len(purchase.events(GroupQualified)) == 1
    (refused,) = purchase.events(RecordVerificationRefused)
    assert (refused.reason, refused.command_id) == ("other_snapshot", other)


async def test_findings_that_do_not_count_are_refused(drafted: Purchase) -> None:
    buyer_id = drafted.buyer_ids[0]
    await drafted.say(drafted.finding(snapshot="6" * 64), drafted.officer)
    await drafted.say(drafted.finding(uuid4()), drafted.officer)
    await drafted.say(drafted.finding(party_id=uuid4(), party="coordinator"), drafted.officer)
    await drafted.say(drafted.finding(buyer_id, valid_until=soon(seconds=-1)), drafted.officer)
    for person_id in (drafted.coordinator.person_id, drafted.contact_ids[1]):
        await drafted.say(drafted.finding(buyer_id), Actor(person_id=person_id, role="officer"))
    await drafted.say(drafted.finding(buyer_id), Actor(person_id=uuid4().__class__(int=0), role="officer"))
    assert drafted.refusals() == [
        "other_snapshot",
        "party_unknown",
        "party_unknown",
        "expired",
        "officer_is_member",
        "officer_is_member",
        "no_actor",
    ]
    await drafted.say(drafted.finding(), drafted.officer)
    assert not drafted.events(GroupQualified)


async def test_a_refused_party_ends_the_qualification_until_it_is_verified(drafted: Purchase) -> None:
    first, second = drafted.buyer_ids
    await drafted.say(drafted.finding(), drafted.officer)
    await drafted.say(drafted.finding(first), drafted.officer)
    await drafted.say(
        drafted.finding(second, outcome="refused", reason="Not in the register"), drafted.officer
    )
    (refused,) = drafted.events(GroupNotQualified)
    assert (refused.party_id, refused.reason) == (second, "Not in the register")
    (lapsed,) = drafted.events(QualificationLapsed)
    assert (lapsed.number, lapsed.reason) == (1, "party_refused")
    await drafted.say(drafted.finding(first), drafted.officer)
    assert len(drafted.events(GroupQualified)) == 1
    await drafted.say(drafted.finding(second), drafted.officer)
    assert [one.number for one in drafted.events(GroupQualified)] == [1, 2]


async def test_a_qualification_lapses_when_its_time_is_over(
    rfp: Running, drafted: Purchase, kafka: MemoryKafka
) -> None:
    await drafted.say(drafted.finding(), drafted.officer)
    await drafted.say(drafted.finding(drafted.buyer_ids[0]), drafted.officer)
    await _let_time_pass(rfp, kafka)
    (lapsed,) = drafted.events(QualificationLapsed)
    assert (lapsed.number, lapsed.reason) == (1, "expired")
    await drafted.say(drafted.finding(valid_until=soon(days=30)), drafted.officer)
    assert len(drafted.events(GroupQualified)) == 1
    await drafted.say(drafted.finding(drafted.buyer_ids[0], valid_until=soon(days=30)), drafted.officer)
    assert [one.number for one in drafted.events(GroupQualified)] == [1, 2]


async def test_a_renewed_finding_carries_on_with_the_next_number(
    rfp: Running, drafted: Purchase, kafka: MemoryKafka
) -> None:
    await drafted.say(drafted.finding(), drafted.officer)
    await drafted.say(drafted.finding(drafted.buyer_ids[0]), drafted.officer)
    await _let_time_pass(rfp, kafka, settle=False)
    await drafted.say(drafted.finding(valid_until=soon(days=30)), drafted.officer)
    await drafted.say(drafted.finding(drafted.buyer_ids[1], valid_until=soon(days=30)), drafted.officer)
    said = [one.number for one in drafted.events(GroupQualified, QualificationLapsed)]
    assert said[-1] == max(said)
    assert [one.number for one in drafted.events(QualificationLapsed)] == [1]
    assert [one.number for one in drafted.events(GroupQualified)] == [1, 2]


async def test_a_shorter_finding_shortens_the_qualification(rfp: Running, drafted: Purchase) -> None:
    await drafted.say(drafted.finding(), drafted.officer)
    await drafted.say(drafted.finding(drafted.buyer_ids[0]), drafted.officer)
    shorter = drafted.finding(valid_until=soon(days=2))
    await drafted.say(shorter, drafted.officer)
    assert [one.reason for one in drafted.events(QualificationLapsed)] == ["validity_shortened"]
    assert drafted.events(GroupQualified)[-1].valid_until == shorter.valid_until
    assert await rfp.pool.fetchval("SELECT due_at FROM timers WHERE kind = 'lapse'") == shorter.valid_until


async def _let_time_pass(rfp: Running, kafka: MemoryKafka, *, settle: bool = True) -> None:
    """Make the findings and the qualification as old as if their time were over."""
    await rfp.pool.execute("UPDATE verifications SET valid_until_at = clock_timestamp()")
    await rfp.pool.execute("UPDATE requests SET qualified_until_at = clock_timestamp()")
    await rfp.pool.execute(
        "UPDATE timers SET due_at = clock_timestamp(), try_at = clock_timestamp() WHERE kind = 'lapse'"
    )
    if settle:
        await kafka.settle()
