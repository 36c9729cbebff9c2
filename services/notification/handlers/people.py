"""Persons are reached by mail: secrets go to them alone, and they learn what changes about themselves."""

from datetime import datetime

from services.notification.domain import personal
from services.notification.handlers.streams import aggregation_events, contacts, credentials
from services.notification.store import facts, mails
from services.notification.store import people as store
from shared.delivery import CurrentRecord, Publish, Tx
from shared.messages.aggregation import ContactRecorded, CredentialAssigned
from shared.messages.people import (
    AddressCodeAssigned,
    AddressCodeSpent,
    ContactErased,
    InvitationLinkAssigned,
    InvitationLinkClosed,
    PasswordChosen,
    PasswordSpent,
    PersonErased,
    SecondFactorSet,
)
from shared.record import Record


@contacts.handle
async def learn_how_to_reach_person(
    event: ContactRecorded, tx: Tx, publish: Publish, record: CurrentRecord
) -> None:
    """Keep a person's name and addresses; mails that waited for them are due, and a change is told to both addresses."""
    before = await store.lock_contact(tx, event.person_id)
    if await store.set_contact(tx, event, record.received.sequence):
        news = personal.mails_about_address(event, before, publish.cause, _said_at(record))
        await mails.add_mails(tx, news, publish.now)


@contacts.handle
async def forget_person(event: ContactErased, tx: Tx, publish: Publish) -> None:
    """Erase how a person is reached, and give up the mails that are still due to them."""
    await store.erase_contact(tx, event.person_id, publish.now)


@aggregation_events.handle
async def forget_erased_person(event: PersonErased, tx: Tx, publish: Publish) -> None:
    """The same: the tombstone is gone after its time, and a database that is restored may come later."""
    await store.erase_contact(tx, event.person_id, publish.now)


@credentials.handle
async def send_initial_password(event: CredentialAssigned, tx: Tx, publish: Publish) -> None:
    """Queue the sealed password for its person; those before are sent no more."""
    await facts.lock_purchase(tx, event.purchase_id)
    await store.note_secret(tx, event.subject, event.number, closed=False)
    await mails.add_mails(tx, [personal.mail_with_password(event)], publish.now)


@credentials.handle
async def learn_that_password_is_spent(event: PasswordSpent, tx: Tx) -> None:
    """Send the password no more."""
    await store.note_secret(tx, event.subject, event.number, closed=True)


@credentials.handle
async def send_link(event: InvitationLinkAssigned, tx: Tx, publish: Publish) -> None:
    """Queue the sealed link for the invited person; those before are sent no more."""
    await facts.lock_purchase(tx, event.purchase_id)
    await store.note_secret(tx, event.subject, event.number, closed=False)
    await mails.add_mails(tx, [personal.mail_with_link(event)], publish.now)


@credentials.handle
async def learn_that_invitation_is_closed(event: InvitationLinkClosed, tx: Tx) -> None:
    """Send the link no more."""
    await store.note_secret(tx, event.subject, event.number, closed=True)


@credentials.handle
async def send_address_code(event: AddressCodeAssigned, tx: Tx, publish: Publish) -> None:
    """Queue the sealed code for the address that is not yet confirmed; those before are sent no more."""
    await store.note_secret(tx, event.subject, event.number, closed=False)
    await mails.add_mails(tx, [personal.mail_with_code(event)], publish.now)


@credentials.handle
async def learn_that_code_is_spent(event: AddressCodeSpent, tx: Tx) -> None:
    """Send the code no more."""
    await store.note_secret(tx, event.subject, event.number, closed=True)


@credentials.handle
async def tell_that_password_is_changed(
    event: PasswordChosen, tx: Tx, publish: Publish, record: CurrentRecord
) -> None:
    """Write to the person, unless it is the first that they chose."""
    news = personal.mails_about_password(event, publish.cause, _said_at(record))
    await mails.add_mails(tx, news, publish.now)


@credentials.handle
async def tell_that_second_factor_is_changed(
    event: SecondFactorSet, tx: Tx, publish: Publish, record: CurrentRecord
) -> None:
    """Write to the person that their sign-in asks for a code, or no longer."""
    news = personal.mail_about_second_factor(event, publish.cause, _said_at(record))
    await mails.add_mails(tx, [news], publish.now)


def _said_at(record: Record) -> datetime:
    return record.received.time or record.appended_at
