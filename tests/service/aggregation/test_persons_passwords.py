"""Initial passwords are spent once and assigned anew; a chosen one takes the place of one."""

from datetime import timedelta
from uuid import uuid4

import pytest
from argon2 import PasswordHasher

from shared.messages.aggregation import CredentialAssigned
from shared.messages.people import (
    AddressConfirmed,
    ChangePassword,
    PasswordChosen,
    PasswordSpent,
    ReissuePassword,
)
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import Conversation
from tests.service.aggregation.persons import (
    OTHER_VERIFIER,
    VERIFIER,
    a_minute_later,
    accepting,
    inviting,
    member,
    opened,
    signed_in,
    spending,
)


async def test_a_spent_password_is_spent_chosen_anew_and_confirms_the_address(group: Conversation) -> None:
    await group.say(group.opening())
    await group.say(spending(group))
    (spent,) = group.events(PasswordSpent)
    (assigned,) = group.events(CredentialAssigned)
    assert (spent.subject, spent.number) == (assigned.subject, assigned.number)
    (chosen,) = group.events(PasswordChosen)
    assert (chosen.person_id, chosen.number, chosen.verifier) == (group.coordinator.person_id, 1, VERIFIER)
    (confirmed,) = group.events(AddressConfirmed)
    assert confirmed.person_id == group.coordinator.person_id


async def test_a_password_is_spent_once(group: Conversation) -> None:
    await group.say(group.opening())
    order = spending(group)
    id_ = await group.say(order)
    await group.say(order, id=id_)
    assert group.refusals() == []
    await group.say(order)
    assert group.refusals() == ["password_void"]
    assert len(group.events(PasswordSpent)) == len(group.events(PasswordChosen)) == 1


async def test_only_the_newest_password_is_spent_and_by_its_own_person(
    aggregation: Running, group: Conversation
) -> None:
    await group.say(group.opening())
    await a_minute_later(aggregation)
    await group.say(ReissuePassword(purchase_id=group.purchase_id))
    await group.say(spending(group, 1))
    await group.say(spending(group, 3))
    await group.say(spending(group, 2), member(uuid4()))
    assert group.refusals() == ["password_void", "password_unknown", "password_unknown"]
    assert not group.events(PasswordSpent, PasswordChosen, AddressConfirmed)
    await group.say(spending(group, 2))
    assert [one.number for one in group.events(PasswordSpent)] == [2]


async def test_an_order_that_the_portal_took_in_time_is_obeyed_after_the_password_has_expired(
    aggregation: Running, group: Conversation
) -> None:
    await group.say(group.opening())
    await aggregation.pool.execute("UPDATE credentials SET expires_at = assigned_at")
    await group.say(spending(group))
    assert len(group.events(PasswordSpent)) == 1


async def test_nobody_is_left_without_a_password_of_their_own(group: Conversation) -> None:
    await group.say(group.opening())
    await group.say(spending(group, verifier=None))
    assert group.refusals() == ["no_password"]
    assert not group.events(PasswordSpent)
    await group.say(spending(group))
    person_id = group.coordinator.person_id
    other = Conversation(group.kafka, group.service, coordinator=group.coordinator)
    await other.say(other.opening(contact=group.contact(person_id)))
    await other.say(spending(other, verifier=None))
    assert len(group.events(PasswordSpent)) == 2
    assert len(group.events(PasswordChosen)) == len(group.events(AddressConfirmed)) == 1


@pytest.mark.parametrize("number", [2**31, 10**30, 0, -1])
async def test_a_number_that_no_column_holds_is_refused_and_stops_nothing(
    aggregation: Running, group: Conversation, number: int
) -> None:
    await group.say(group.opening())
    sound = spending(group)
    await group.say(sound.model_copy(update={"number": number}))
    assert group.refusals() == ["invalid"]
    assert not await aggregation.pool.fetchval("SELECT count(*) FROM parked")
    await group.say(sound)
    assert len(group.events(PasswordSpent)) == 1


async def test_a_password_is_assigned_anew_now_and_then(aggregation: Running, group: Conversation) -> None:
    await group.say(group.opening())
    again = ReissuePassword(purchase_id=group.purchase_id)
    await group.say(again)
    await a_minute_later(aggregation)
    await group.say(again)
    await group.say(again, member(uuid4()))
    assert group.refusals() == ["too_soon", "password_unknown"]
    first, second = group.events(CredentialAssigned)
    assert (first.number, second.number) == (1, 2)
    assert opened(first) != opened(second)
    assert PasswordHasher().verify(second.verifier, opened(second))


async def test_at_most_ten_passwords_are_assigned_a_day(aggregation: Running, group: Conversation) -> None:
    await group.say(group.opening())
    again = ReissuePassword(purchase_id=group.purchase_id)
    for _ in range(9):
        await a_minute_later(aggregation)
        await group.say(again)
    assert not group.refusals()
    await a_minute_later(aggregation)
    await group.say(again)
    assert group.refusals() == ["too_many"]
    await aggregation.pool.execute(
        "UPDATE credentials SET assigned_at = assigned_at - $1::interval WHERE number <= 1", timedelta(days=1)
    )
    await group.say(again)
    assert [one.number for one in group.events(CredentialAssigned)] == list(range(1, 12))


async def test_whoever_joined_by_a_link_and_forgot_their_password_is_assigned_one(
    group: Conversation,
) -> None:
    await group.say(group.opening())
    person_id, invitation_id = uuid4(), uuid4()
    await group.say(inviting(group, group.contact(person_id), invitation_id))
    again = ReissuePassword(purchase_id=group.purchase_id)
    await group.say(again, member(person_id))
    assert group.refusals() == ["password_unknown"]
    await group.say(accepting(group, invitation_id), member(person_id))
    await group.say(again, member(person_id))
    assert [one.person_id for one in group.events(CredentialAssigned)][1:] == [person_id]
    await group.say(spending(group, verifier=OTHER_VERIFIER), member(person_id))
    assert [one.verifier for one in group.events(PasswordChosen)] == [VERIFIER, OTHER_VERIFIER]


async def test_a_chosen_password_takes_the_place_of_one_and_is_one_s_own(group: Conversation) -> None:
    await group.say(group.opening())
    person_id = group.coordinator.person_id
    order = ChangePassword(person_id=person_id, verifier=OTHER_VERIFIER)
    await group.say(order)
    await group.say(spending(group))
    id_ = await group.say(order)
    await group.say(order, id=id_)
    await group.say(order, member(uuid4()))
    unknown = uuid4()
    await group.say(ChangePassword(person_id=unknown, verifier=VERIFIER), member(unknown))
    assert group.refusals() == ["no_password", "not_oneself", "person_unknown"]
    assert [one.number for one in group.events(PasswordChosen)] == [1, 2]


async def test_a_corrected_address_is_not_confirmed_by_what_was_mailed_to_the_one_before(
    group: Conversation, aggregation: Running
) -> None:
    await signed_in(group)
    contact = group.contact(uuid4())
    first, second = group.joining(uuid4()), group.joining(uuid4())
    await group.say(first.model_copy(update={"contact": contact}))
    corrected = contact.model_copy(update={"email": "corrected@example.org"})
    await group.say(second.model_copy(update={"contact": corrected}))
    person = member(contact.person_id)
    await group.say(spending(group), person)
    assert len(group.events(PasswordSpent)) == 2
    assert contact.person_id not in [one.person_id for one in group.events(AddressConfirmed)]
    await a_minute_later(aggregation)
    await group.say(ReissuePassword(purchase_id=group.purchase_id), person)
    await group.say(spending(group, 2), person)
    assert [one.person_id for one in group.events(AddressConfirmed)][1:] == [contact.person_id]


@pytest.mark.parametrize("copies", [3])
async def test_the_same_log_again_changes_nothing_of_passwords(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    contact = await signed_in(group)
    await group.say(ChangePassword(person_id=contact.person_id, verifier=OTHER_VERIFIER))
    said, before = len(group.events()), await aggregation.tables(without=("inbox", "positions"))
    await aggregation.pool.execute("DELETE FROM inbox")
    await aggregation.pool.execute("DELETE FROM positions")
    aggregation.rewind()
    await kafka.settle()
    assert len(group.events()) == said
    assert await aggregation.tables(without=("inbox", "positions")) == before
