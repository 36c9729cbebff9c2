"""A group opens, gains and loses buyers, and closes."""

from datetime import timedelta
from uuid import uuid4

import pytest
from argon2 import PasswordHasher

from services.notification.sealed import open_password, sealing_key
from shared.envelope import Actor
from shared.messages.aggregation import (
    BillingPreferencesSet,
    BuyerJoined,
    BuyerLeft,
    ContactRecorded,
    CredentialAssigned,
    GroupAggregated,
    GroupOpened,
    Identifier,
    RemoveBuyer,
    UsageLinesReported,
)
from shared.usage_digest import usage_digest
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import NOTIFICATION_SECRET, Conversation, a_line
from tests.service.rebuilding import rebuilt


async def test_whoever_opens_a_group_coordinates_it(group: Conversation) -> None:
    await group.say(group.opening())
    (opened,) = group.events(GroupOpened)
    assert opened.coordinator_id == group.coordinator.person_id
    assert opened.name == "Harbour towns"
    (contact,) = group.events(ContactRecorded)
    assert contact.person_id == group.coordinator.person_id


async def test_a_group_is_opened_only_by_its_own_contact(group: Conversation) -> None:
    await group.say(group.opening(contact=group.contact(uuid4())))
    assert group.refusals() == ["contact_not_actor"]
    assert not group.events(GroupOpened, ContactRecorded, CredentialAssigned)


async def test_a_purchase_has_one_group(group: Conversation) -> None:
    await group.say(group.opening())
    await group.say(group.opening(name="Another"))
    assert group.refusals() == ["group_exists"]
    assert len(group.events(CredentialAssigned)) == 1


async def test_the_initial_password_is_readable_only_by_notification(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    (credential,) = group.events(CredentialAssigned)
    password = open_password(
        sealing_key(NOTIFICATION_SECRET),
        credential.sealed_password,
        purchase_id=group.purchase_id,
        person_id=group.coordinator.person_id,
    )
    assert PasswordHasher().verify(credential.verifier, password)
    opened_at = await aggregation.pool.fetchval("SELECT opened_at FROM groups")
    assert credential.expires_at - opened_at == timedelta(hours=72)
    # The password is nowhere else: neither in a record nor in a row.
    for topic, records in kafka.topics.items():
        assert all(password.encode() not in (record.value or b"") for record in records), topic
    for table, rows in (await aggregation.tables()).items():
        assert all(password not in row for row in rows), table


async def test_a_known_persons_contact_is_not_for_strangers_to_change(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    other = Conversation(kafka, aggregation)
    await other.say(other.opening())
    await other.say(other.joining(uuid4(), contact_id=group.coordinator.person_id))
    recorded = [one.person_id for one in group.events(ContactRecorded)]
    assert recorded == [group.coordinator.person_id, other.coordinator.person_id]
    assert len(group.events(BuyerJoined)) == 1


async def test_a_contact_may_be_corrected_until_the_person_speaks(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    person = Actor(person_id=uuid4(), role="coordinator")
    for _ in range(2):
        await group.say(group.joining(uuid4(), contact_id=person.person_id))
    own = Conversation(kafka, aggregation, coordinator=person)
    assert len(group.events(ContactRecorded)) == 3
    await own.say(own.opening())
    assert len(group.events(ContactRecorded)) == 4
    await group.say(group.joining(uuid4(), contact_id=person.person_id))
    assert len(group.events(ContactRecorded)) == 4


async def test_only_the_groups_own_coordinator_adds_buyers(group: Conversation) -> None:
    await group.say(group.opening())
    await group.say(group.joining(uuid4()), Actor(person_id=uuid4(), role="coordinator"))
    assert group.refusals() == ["not_coordinator"]
    assert not group.events(BuyerJoined)


async def test_an_order_about_no_group_is_refused(group: Conversation) -> None:
    await group.say(group.joining(uuid4()))
    assert group.refusals() == ["group_unknown"]


async def test_a_buyer_joins_once_and_leaves_once(group: Conversation) -> None:
    await group.say(group.opening())
    buyer_id, contact_id = uuid4(), uuid4()
    joining = group.joining(buyer_id, contact_id=contact_id)
    await group.say(joining)
    await group.say(joining)
    await group.say(group.joining(buyer_id, contact_id=contact_id, name="Another"))
    leaving = RemoveBuyer(purchase_id=group.purchase_id, buyer_id=buyer_id)
    await group.say(leaving)
    await group.say(leaving)
    await group.say(joining)
    await group.say(RemoveBuyer(purchase_id=group.purchase_id, buyer_id=uuid4()))
    assert len(group.events(BuyerJoined)) == len(group.events(BuyerLeft)) == 1
    assert group.refusals() == ["buyer_exists", "buyer_left", "buyer_unknown"]


async def test_a_buyer_with_a_mistyped_register_number_is_refused(group: Conversation) -> None:
    await group.say(group.opening())
    joining = group.joining(uuid4())
    mistyped = Identifier(scheme="XI-LEI", id="529900T8BM49AURSDO54")
    await group.say(joining.model_copy(update={"identifiers": (mistyped,)}))
    assert group.refusals() == ["identifier_invalid"]
    assert not group.events(BuyerJoined, ContactRecorded)[1:]
    await group.say(joining)
    assert len(group.events(BuyerJoined)) == 1


async def test_a_closed_group_is_pinned_by_its_hashes(aggregation: Running, group: Conversation) -> None:
    await group.say(group.opening())
    first, second = sorted((uuid4(), uuid4()), key=str)
    for buyer_id in (second, first):
        await group.say(group.joining(buyer_id))
    lines = {first: (a_line("L2", "5.0"), a_line("L1")), second: (a_line("L1"),)}
    reports = {buyer_id: group.report(buyer_id, *lines[buyer_id]) for buyer_id in (first, second)}
    for report in reports.values():
        await group.say(report)
    await group.say(group.preferring(second))
    await group.say(group.closing())
    (closed,) = group.events(GroupAggregated)
    assert closed.buyer_ids == (first, second)
    assert closed.reports == {buyer_id: report.report_id for buyer_id, report in reports.items()}
    assert closed.lines == 3
    assert list(closed.billing_preferences) == [second]
    said = [(part.buyer_id, line) for part in group.events(UsageLinesReported) for line in part.lines]
    assert closed.usage_digest == usage_digest(said)
    assert closed.snapshot == await aggregation.pool.fetchval("SELECT snapshot FROM groups")


async def test_a_group_closes_only_when_complete(group: Conversation) -> None:
    await group.say(group.opening())
    await group.say(group.closing())
    buyer_id, report_id = uuid4(), uuid4()
    await group.say(group.joining(buyer_id))
    await group.say(group.closing())
    await group.say(group.report(buyer_id, a_line("L1"), report_id=report_id, part=1, parts=2))
    await group.say(group.closing())
    assert group.refusals() == ["no_buyers", "usage_missing", "parts_missing"]
    await group.say(group.report(buyer_id, a_line("L2"), report_id=report_id, part=2, parts=2))
    await group.say(group.closing())
    assert len(group.events(GroupAggregated)) == 1


async def test_nothing_of_a_closed_group_changes(aggregation: Running, group: Conversation) -> None:
    await group.say(group.opening())
    buyer_id = uuid4()
    await group.say(group.joining(buyer_id))
    await group.say(group.report(buyer_id))
    await group.say(group.closing())
    frozen = await aggregation.tables(without=("inbox", "positions", "log", "subjects"))
    for order in (
        group.closing(),
        group.joining(uuid4()),
        RemoveBuyer(purchase_id=group.purchase_id, buyer_id=buyer_id),
        group.report(buyer_id),
        group.preferring(buyer_id),
    ):
        await group.say(order)
    assert group.refusals() == ["group_closed"] * 5
    assert await aggregation.tables(without=("inbox", "positions", "log", "subjects")) == frozen


async def test_a_member_speaks_for_its_own_buyer_only(group: Conversation) -> None:
    await group.say(group.opening())
    buyer_id, other_id, person_id = uuid4(), uuid4(), uuid4()
    await group.say(group.joining(buyer_id, contact_id=person_id))
    await group.say(group.joining(other_id))
    member = Actor(person_id=person_id, role="member")
    await group.say(group.report(buyer_id), member)
    await group.say(group.preferring(buyer_id), member)
    await group.say(group.report(other_id), member)
    await group.say(group.preferring(other_id), member)
    await group.say(group.closing(), member)
    assert group.refusals() == ["not_member", "not_member", "role_not_allowed"]
    assert [one.buyer_id for one in group.events(BillingPreferencesSet)] == [buyer_id]


@pytest.mark.parametrize("copies", [1, 3])
async def test_the_whole_log_again_changes_nothing(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    await group.say(group.opening())
    buyer_id, gone_id, report_id = uuid4(), uuid4(), uuid4()
    await group.say(group.joining(buyer_id))
    await group.say(group.joining(gone_id))
    await group.say(group.closing())
    await group.say(group.report(gone_id))
    await group.say(RemoveBuyer(purchase_id=group.purchase_id, buyer_id=gone_id))
    await group.say(group.report(buyer_id, a_line("L1"), a_line("L1")))
    await group.say(group.report(buyer_id, a_line("L1"), report_id=report_id, part=2, parts=2))
    await group.say(group.report(buyer_id, a_line("L2"), report_id=report_id, part=1, parts=2))
    await group.say(group.report(buyer_id, a_line("L3")))
    await group.say(group.preferring(buyer_id))
    await group.say(group.closing())
    assert len(group.events(GroupAggregated)) == 1
    before = await aggregation.tables(without=("inbox", "positions"))
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    await aggregation.pool.execute("TRUNCATE inbox, positions")
    aggregation.rewind()
    await kafka.settle()
    assert await aggregation.tables(without=("inbox", "positions")) == before
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said


async def test_a_lost_database_is_rebuilt_from_the_topics(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, database: str
) -> None:
    await group.say(group.opening())
    buyer_id, report_id = uuid4(), uuid4()
    await group.say(group.joining(buyer_id))
    await group.say(group.closing())
    await group.say(group.report(buyer_id, a_line("L1"), a_line("L1")))
    await group.say(group.report(buyer_id, a_line("L1"), report_id=report_id, part=2, parts=2))
    await group.say(group.report(buyer_id, a_line("L2"), report_id=report_id, part=1, parts=2))
    await group.say(group.report(buyer_id, a_line("L3")))
    await group.say(group.preferring(buyer_id))
    await group.say(group.closing())
    ours = ("orders", "groups", "buyers", "reports", "report_parts", "usage_lines", "people", "credentials")
    before = {name: rows for name, rows in (await aggregation.tables()).items() if name in ours}
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    own = [topic for topic in said if topic != "aggregation.commands"]
    async with rebuilt("aggregation", aggregation, database, own) as again:
        await kafka.settle()
        after = {name: rows for name, rows in (await again.tables()).items() if name in ours}
    assert after == before
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said
