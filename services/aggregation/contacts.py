"""Persons as other rooms need them: how they are reached is said on `aggregation.contacts`, passwords go out sealed."""

from uuid import UUID

import asyncpg

from services.aggregation.domain.people import Person, is_proven
from services.aggregation.passwords import VALID_FOR, Assigner, Decision
from services.aggregation.store import groups as store
from services.aggregation.store import people
from shared.adoption import AdoptedEvent
from shared.messages import Message
from shared.messages.aggregation import Contact, ContactRecorded, CredentialAssigned
from shared.messages.people import AddressConfirmed, PasswordChosen
from shared.outbox import Publisher


async def record_contact(
    tx: asyncpg.Connection, publish: Publisher, passwords: Assigner, contact: Contact, *, recorded_by: UUID
) -> None:
    """Say how a person is reached, if it is for this one to say.

    A stranger who names a known person would otherwise redirect that person's mail.
    """
    if await _may_record(tx, publish, passwords, contact, recorded_by):
        await publish(
            ContactRecorded(
                person_id=contact.person_id, name=contact.name, email=contact.email, phone=contact.phone
            )
        )


async def _may_record(
    tx: asyncpg.Connection, publish: Publisher, passwords: Assigner, contact: Contact, recorded_by: UUID
) -> bool:
    # A rebuilt database meets the orders of several purchases in another order than before. Who named a person first then must
    # not follow from that: what was said before the restore is said again, and what was not, is not.
    person_id, digest = contact.person_id, passwords.address_digest(contact.email)
    if _was_said(publish, ContactRecorded, person_id):
        await people.record_again(tx, person_id, recorded_by, digest, publish.now)
        return True
    last = _last_contact(publish, person_id)
    if last is not None and (
        publish.adopted_at is not None or not await people.is_recorded_since(tx, person_id, last.decided_at)
    ):
        known = ContactRecorded.model_validate_json(last.body)
        await people.expect(tx, person_id, recorded_by, passwords.address_digest(known.email))
        return False
    return await store.record_person(tx, person_id, recorded_by, digest, publish.now)


def _last_contact(publish: Publisher, person_id: UUID) -> AdoptedEvent | None:
    """Return what was last said before a restore of how a person is reached, unless it is erased."""
    about = (ContactRecorded.stream, str(person_id))
    if about not in publish.adoptions.last_words:
        return None
    said = [one for one in publish.adoptions.events.values() if (one.stream, one.subject) == about]
    last = max(said, key=lambda one: one.sequence)
    return last if last.type == ContactRecorded.type() and last.body else None


def _was_said(publish: Publisher, model: type[Message], person_id: UUID) -> bool:
    """Whether this decision has said this about a person before a restore."""
    return any(
        (one.type, one.subject) == (model.type(), str(person_id))
        for one in publish.adoptions.of_decision(publish.decision or publish.cause)
    )


async def assign_password(
    tx: asyncpg.Connection, publish: Publisher, passwords: Assigner, decision: Decision
) -> None:
    """Assign an initial password; those before are void."""
    assigned = await passwords.assign(decision)
    expires_at = publish.now + VALID_FOR
    number = await store.add_credential(
        tx,
        purchase_id=decision.purchase_id,
        person_id=decision.person_id,
        cause_id=decision.cause,
        assigned_at=publish.now,
        expires_at=expires_at,
        address_digest=await people.address_digest(tx, decision.person_id),
    )
    await publish(
        CredentialAssigned(
            person_id=decision.person_id,
            purchase_id=decision.purchase_id,
            number=number,
            state="assigned",
            verifier=assigned.verifier,
            sealed_password=assigned.sealed,
            expires_at=expires_at,
            contact_version=await people.contact_version(tx, decision.person_id),
        )
    )


async def spoke(
    tx: asyncpg.Connection, publish: Publisher, person: Person, verifier: str | None, mailed_to: str | None
) -> None:
    """Take note that something mailed has come back from a person, with the password that they chose, if any.

    Args:
        tx: the transaction, which has locked the person.
        publish: says what follows.
        person: the person.
        verifier: of the password that they chose; None keeps the one that they have.
        mailed_to: the digest of the address where it was mailed to.
    """
    if verifier is not None:
        number = await people.choose(tx, person.person_id)
        await publish(PasswordChosen(person_id=person.person_id, number=number, verifier=verifier))
    if not (
        _was_said(publish, AddressConfirmed, person.person_id)
        or (is_proven(person, mailed_to) and not _was_confirmed_otherwise(publish, person.person_id))
    ):
        return
    await people.speak_for_oneself(tx, person.person_id)
    if await people.confirm(tx, person.person_id, publish.now):
        await publish(AddressConfirmed(person_id=person.person_id))


def _was_confirmed_otherwise(publish: Publisher, person_id: UUID) -> bool:
    """Whether this decision is made again after a restore, and another one than it has confirmed the address."""
    about = (AddressConfirmed.stream, str(person_id))
    return publish.adopted_at is not None and any(
        (one.type, one.stream, one.subject) == (AddressConfirmed.type(), *about)
        for one in publish.adoptions.events.values()
    )
