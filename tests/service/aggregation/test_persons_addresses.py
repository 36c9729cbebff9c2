"""How a person is reached changes by themselves alone, and to an address that has given a code back."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from argon2 import PasswordHasher

from shared.messages import Message
from shared.messages.aggregation import Contact, ContactRecorded, CredentialAssigned
from shared.messages.people import (
    AddressCodeAssigned,
    AddressCodeSpent,
    AddressConfirmed,
    InvitationLinkAssigned,
    PasswordChosen,
    RequestAddressCode,
)
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import Conversation
from tests.service.aggregation.persons import (
    a_minute_later,
    at,
    changing,
    confirming,
    inviting,
    member,
    opened,
    signed_in,
    spending,
)

NEW = "new@example.org"


async def test_a_new_address_counts_once_its_code_has_come_back(group: Conversation) -> None:
    contact = await signed_in(group)
    await group.say(changing(contact, NEW))
    recorded = group.events(ContactRecorded)[-1]
    assert (recorded.email, recorded.unconfirmed_email) == (contact.email, NEW)
    (code,) = group.events(AddressCodeAssigned)
    assert PasswordHasher().verify(code.verifier, opened(code))
    await group.say(confirming(at(contact, NEW)))
    recorded = group.events(ContactRecorded)[-1]
    assert (recorded.email, recorded.unconfirmed_email) == (NEW, None)
    (spent,) = group.events(AddressCodeSpent)
    assert (spent.subject, spent.number) == (code.subject, 1)
    await group.say(changing(contact, None))
    assert group.refusals() == ["address_outdated"]


async def test_a_code_lives_half_an_hour_and_stands_nowhere_but_in_its_box(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    contact = await signed_in(group)
    await group.say(changing(contact, NEW))
    (code,) = group.events(AddressCodeAssigned)
    assigned_at = await aggregation.pool.fetchval("SELECT code_assigned_at FROM people")
    assert code.expires_at - assigned_at == timedelta(minutes=30)
    for topic, records in kafka.topics.items():
        assert all(opened(code).encode() not in (record.value or b"") for record in records), topic
    for table, rows in (await aggregation.tables()).items():
        assert all(opened(code) not in row for row in rows), table
        if table not in ("outbox", "adopted"):
            assert all(NEW not in row and contact.email not in row for row in rows), table


async def test_a_name_and_a_number_change_at_once_and_without_a_code(group: Conversation) -> None:
    contact = await signed_in(group)
    renamed = contact.model_copy(update={"name": "Ann Other", "phone": None})
    await group.say(changing(renamed, None))
    recorded = group.events(ContactRecorded)[-1]
    assert (recorded.name, recorded.phone, recorded.email) == ("Ann Other", None, contact.email)
    assert not group.events(AddressCodeAssigned)


async def test_the_address_that_was_asked_for_and_no_other_is_confirmed(group: Conversation) -> None:
    contact = await signed_in(group)
    await group.say(changing(contact, NEW))
    await group.say(confirming(at(contact, "another@example.org")))
    await group.say(confirming(contact))
    assert group.refusals() == ["code_void"] * 2
    assert group.events(ContactRecorded)[-1].email == contact.email
    await group.say(confirming(at(contact, NEW.upper())))
    assert group.events(ContactRecorded)[-1].email == NEW.upper()


async def test_only_the_newest_code_confirms_and_once(aggregation: Running, group: Conversation) -> None:
    contact = await signed_in(group)
    again = RequestAddressCode(person_id=contact.person_id)
    await group.say(again)
    await group.say(changing(contact, NEW))
    await group.say(again)
    await a_minute_later(aggregation)
    await group.say(again)
    await group.say(confirming(at(contact, NEW), 1))
    await group.say(confirming(at(contact, NEW), 3))
    assert group.refusals() == ["nothing_to_confirm", "too_soon", "code_void", "code_void"]
    first, second = group.events(AddressCodeAssigned)
    assert opened(first) != opened(second)
    order = confirming(at(contact, NEW), 2)
    id_ = await group.say(order)
    await group.say(order, id=id_)
    assert len(group.refusals()) == 4
    await group.say(order)
    assert group.refusals()[4:] == ["code_void"]
    assert [one.number for one in group.events(AddressCodeSpent)] == [2]


async def test_each_secret_names_the_version_of_the_contact_that_it_is_mailed_to(
    aggregation: Running, group: Conversation
) -> None:
    contact = await signed_in(group)
    invited = group.contact(uuid4())
    await group.say(inviting(group, invited))
    await group.say(changing(contact, "typo@example.org"))
    await a_minute_later(aggregation)
    await group.say(changing(contact, NEW))
    await a_minute_later(aggregation)
    await group.say(RequestAddressCode(person_id=contact.person_id))

    (password,) = group.events(CredentialAssigned)
    (link,) = group.events(InvitationLinkAssigned)
    assert (password.contact_version, link.contact_version) == (1, 1)
    assert [one.contact_version for one in group.events(AddressCodeAssigned)] == [2, 3, 3]


async def test_a_link_to_an_address_that_was_corrected_names_the_correction(group: Conversation) -> None:
    await signed_in(group)
    mistyped = group.contact(uuid4())
    await group.say(inviting(group, at(mistyped, "stranger@example.org")))
    await group.say(inviting(group, mistyped))

    assert [one.contact_version for one in group.events(InvitationLinkAssigned)] == [1, 2]


async def test_codes_go_to_a_row_of_addresses_no_faster_than_to_one(
    aggregation: Running, group: Conversation
) -> None:
    contact = await signed_in(group)
    await group.say(changing(contact, NEW))
    await group.say(changing(contact, "next@example.org"))
    assert group.refusals() == ["too_soon"]
    assert group.events(ContactRecorded)[-1].unconfirmed_email == NEW
    await a_minute_later(aggregation)
    await group.say(changing(contact, "next@example.org"))
    await group.say(confirming(at(contact, NEW), 1))
    await group.say(confirming(at(contact, NEW), 2))
    assert group.refusals()[1:] == ["code_void"] * 2
    await group.say(confirming(at(contact, "next@example.org"), 2))
    assert group.events(ContactRecorded)[-1].email == "next@example.org"


async def test_whoever_keeps_their_address_wants_no_other_any_more(group: Conversation) -> None:
    contact = await signed_in(group)
    await group.say(changing(contact, NEW))
    await group.say(changing(contact, None))
    assert group.events(ContactRecorded)[-1].unconfirmed_email is None
    await group.say(confirming(at(contact, NEW)))
    await group.say(RequestAddressCode(person_id=contact.person_id))
    assert group.refusals() == ["code_void", "nothing_to_confirm"]


@pytest.mark.parametrize(
    "order",
    [
        lambda contact: changing(contact, NEW),
        lambda contact: confirming(at(contact, NEW)),
        lambda contact: RequestAddressCode(person_id=contact.person_id),
    ],
)
async def test_nobody_speaks_for_another_of_how_they_are_reached(
    group: Conversation, order: Callable[[Contact], Message]
) -> None:
    contact = await signed_in(group)
    await group.say(changing(contact, NEW))
    said = len(group.events())
    await group.say(order(contact), member(uuid4()))
    assert group.refusals() == ["not_oneself"]
    assert len(group.events()) == said + 1
    stranger = group.contact(uuid4())
    await group.say(order(stranger), member(stranger.person_id))
    assert group.refusals()[1:] == ["person_unknown"]


async def test_the_contact_of_another_is_not_one_s_own(group: Conversation) -> None:
    contact = await signed_in(group)
    foreign = contact.model_copy(update={"person_id": uuid4()})
    await group.say(changing(contact, NEW).model_copy(update={"contact": foreign}))
    await group.say(confirming(at(contact, NEW)).model_copy(update={"contact": foreign}))
    assert group.refusals() == ["contact_not_actor"] * 2


async def test_a_coordinator_who_names_a_confirmed_person_redirects_nothing(
    aggregation: Running, group: Conversation, kafka: MemoryKafka
) -> None:
    """Neither the one who named the person first, nor another, nor the person themselves without a code."""
    await group.say(group.opening())
    contact = group.contact(uuid4())
    await group.say(group.joining(uuid4()).model_copy(update={"contact": contact}))
    person = member(contact.person_id)
    await group.say(spending(group), person)
    elsewhere = at(contact, "elsewhere@example.org")
    stranger = Conversation(kafka, aggregation)
    await stranger.say(stranger.opening())
    own = Conversation(kafka, aggregation, coordinator=person.model_copy(update={"role": "coordinator"}))
    for one in (group, stranger):
        await one.say(one.joining(uuid4()).model_copy(update={"contact": elsewhere}))
    await own.say(own.opening(contact=elsewhere))
    recorded = [one.email for one in group.events(ContactRecorded) if one.person_id == contact.person_id]
    assert recorded == [contact.email]
    assert len(group.events(PasswordChosen)) == len(group.events(AddressConfirmed)) == 1
    await group.say(changing(contact, NEW), person)
    assert group.refusals() == []
