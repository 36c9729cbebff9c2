"""Persons spend, choose and change their passwords, and say how they are reached."""

from services.aggregation.contacts import assign_password, spoke
from services.aggregation.domain import people as domain
from services.aggregation.handlers.streams import Passwords, commands
from services.aggregation.passwords import CODE_VALID_FOR, Assigner, Decision
from services.aggregation.store import groups
from services.aggregation.store import people as store
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.aggregation import ContactRecorded
from shared.messages.people import (
    AddressCodeAssigned,
    AddressCodeSpent,
    AddressConfirmed,
    ChangeContact,
    ChangePassword,
    ConfirmAddress,
    PasswordChosen,
    PasswordSpent,
    ReissuePassword,
    RequestAddressCode,
    SpendPassword,
)
from shared.outcomes import NotYet, Refusal


@commands.handle
async def spend_password(
    command: SpendPassword, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Let nobody use an initial password again; its person has an own one, and is reached by mail."""
    await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    credential = await store.newest_credential(tx, command.purchase_id, actor.person_id, publish.now)
    person = await store.lock_person(tx, actor.person_id)
    refusal = (
        domain.refuse_erased(person, publish.now)
        or domain.may_spend(credential, command)
        or domain.may_sign_in(person, command.verifier)
    )
    if refusal is not None or credential is None or person is None:
        return refusal
    await store.spend(tx, command.purchase_id, actor.person_id, command.number, publish.now)
    await publish(
        PasswordSpent(person_id=actor.person_id, purchase_id=command.purchase_id, number=command.number)
    )
    await spoke(tx, publish, person, command.verifier, credential.address_digest)
    return None


@commands.handle
async def reissue_password(
    command: ReissuePassword, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | NotYet | None:
    """Assign a new initial password to whoever was assigned one, or belongs to the purchase."""
    group = await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    credential = await store.newest_credential(tx, command.purchase_id, actor.person_id, publish.now)
    belongs = group is not None and domain.is_of_the_group(
        group, await groups.buyers(tx, command.purchase_id), actor.person_id
    )
    person = await store.lock_person(tx, actor.person_id)
    refusal = domain.refuse_erased(person, publish.now) or domain.may_reissue(
        credential, belongs=belongs, now=publish.now
    )
    if refusal is not None:
        return refusal
    await assign_password(
        tx, publish, passwords, Decision(command.purchase_id, actor.person_id, publish.cause)
    )
    return None


@commands.handle
async def change_password(
    command: ChangePassword, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Let another chosen password count."""
    person = await store.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    refusal = domain.is_oneself(actor, person, command.person_id) or domain.refuse_erased(person, publish.now)
    if refusal is not None or person is None:
        return refusal
    refusal = domain.may_change_password(person)
    if refusal is not None:
        return refusal
    number = await store.choose(tx, command.person_id)
    await publish(PasswordChosen(person_id=command.person_id, number=number, verifier=command.verifier))
    return None


@commands.handle
async def change_contact(
    command: ChangeContact, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | NotYet | None:
    """Keep a new name or number at once, and send a code to a new address."""
    person = await store.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    refusal = domain.is_oneself(actor, person, command.person_id, command.contact) or domain.refuse_erased(
        person, publish.now
    )
    if refusal is not None or person is None:
        return refusal
    counting = passwords.address_digest(command.contact.email)
    pending = passwords.address_digest(command.new_email) if command.new_email else None
    refusal = domain.may_change_contact(person, counting, with_code=pending is not None, now=publish.now)
    # Obeyed before a restore, it is obeyed again, whatever of the person's purchases is known here again by now.
    if refusal is not None and publish.adopted_at is None:
        return refusal
    await store.change_contact(
        tx,
        command.person_id,
        address_digest=counting,
        pending_digest=pending,
        recorded_at=publish.now,
    )
    await publish(
        ContactRecorded(
            person_id=command.person_id,
            name=command.contact.name,
            email=command.contact.email,
            phone=command.contact.phone,
            unconfirmed_email=command.new_email,
        )
    )
    if pending is not None:
        await _send_code(command, tx, publish, passwords)
    return None


@commands.handle
async def request_address_code(
    command: RequestAddressCode, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | NotYet | None:
    """Send a new code to the address that waits for one."""
    person = await store.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    refusal = domain.is_oneself(actor, person, command.person_id) or domain.refuse_erased(person, publish.now)
    if refusal is not None or person is None:
        return refusal
    refusal = domain.may_have_code(person, publish.now)
    if refusal is not None:
        return refusal
    await _send_code(command, tx, publish, passwords)
    return None


@commands.handle
async def confirm_address(
    command: ConfirmAddress, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | NotYet | None:
    """Let the address count whose code has come back."""
    person = await store.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    refusal = domain.is_oneself(actor, person, command.person_id, command.contact) or domain.refuse_erased(
        person, publish.now
    )
    if refusal is not None or person is None:
        return refusal
    refusal = domain.may_confirm(person, command.number, passwords.address_digest(command.contact.email))
    if refusal is not None:
        return refusal
    await store.change_address(tx, command.person_id, publish.now)
    await publish(
        AddressCodeSpent(person_id=command.person_id, number=command.number),
        ContactRecorded(
            person_id=command.person_id,
            name=command.contact.name,
            email=command.contact.email,
            phone=command.contact.phone,
        ),
        AddressConfirmed(person_id=command.person_id),
    )
    return None


async def _send_code(
    command: ChangeContact | RequestAddressCode, tx: Tx, publish: Publish, passwords: Assigner
) -> None:
    number = await store.assign_code(tx, command.person_id, publish.now)
    assigned = await passwords.address_code(command.person_id, number)
    await publish(
        AddressCodeAssigned(
            person_id=command.person_id,
            number=number,
            verifier=assigned.verifier,
            sealed_code=assigned.sealed,
            expires_at=publish.now + CODE_VALID_FOR,
            contact_version=await store.contact_version(tx, command.person_id),
        )
    )
