"""Who people are, and how what they say to prove it is checked."""

from services.portal.handlers.streams import aggregation_events, contacts, credentials
from services.portal.store import accounts, facts, orders
from services.portal.store import credentials as store
from shared.delivery import CurrentRecord, Tx
from shared.messages.aggregation import ContactRecorded, CredentialAssigned
from shared.messages.people import (
    AddressCodeAssigned,
    AddressCodeSpent,
    ContactErased,
    CredentialErased,
    InvitationLinkAssigned,
    InvitationLinkClosed,
    PasswordChosen,
    PasswordSpent,
    PersonErased,
    SecondFactorSet,
)


@contacts.handle
async def learn_how_to_reach_person(event: ContactRecorded, tx: Tx) -> None:
    """Keep a person's name and addresses."""
    await accounts.keep(tx, event)


@contacts.handle
async def forget_person(event: ContactErased, tx: Tx) -> None:
    """Erase a person's account, and end their sessions."""
    await accounts.erase(tx, event.person_id)


@aggregation_events.handle
async def forget_erased_person(event: PersonErased, tx: Tx, record: CurrentRecord) -> None:
    """The same, and whatever comes late about them is not kept: tombstones are gone after their time."""
    await facts.keep(tx, event, record, None, ())
    await accounts.erase(tx, event.person_id)


@credentials.handle
async def learn_initial_password(event: CredentialAssigned, tx: Tx) -> None:
    """Keep how an initial password is checked."""
    await store.keep(
        tx,
        store.Credential(
            key=event.subject,
            person_id=event.person_id,
            kind="initial",
            number=event.number,
            purchase_id=event.purchase_id,
            verifier=event.verifier,
            expires_at=event.expires_at,
        ),
    )


@credentials.handle
async def learn_that_password_is_spent(event: PasswordSpent, tx: Tx) -> None:
    """Accept an initial password no more."""
    await store.close(
        tx,
        store.Credential(
            key=event.subject,
            person_id=event.person_id,
            kind="initial",
            number=event.number,
            purchase_id=event.purchase_id,
        ),
    )


@credentials.handle
async def learn_chosen_password(event: PasswordChosen, tx: Tx, record: CurrentRecord) -> None:
    """Keep how a person's own password is checked; whoever ordered it is told so."""
    await orders.note_obeyed(tx, record.received.causation_id, record.appended_at)
    await store.keep(
        tx,
        store.Credential(
            key=event.subject,
            person_id=event.person_id,
            kind="chosen",
            number=event.number,
            verifier=event.verifier,
        ),
    )


@credentials.handle
async def learn_invitation(event: InvitationLinkAssigned, tx: Tx) -> None:
    """Keep how an invitation's link is checked."""
    await store.keep(
        tx,
        store.Credential(
            key=event.subject,
            person_id=event.person_id,
            kind="invitation",
            number=event.number,
            purchase_id=event.purchase_id,
            invitation_id=event.invitation_id,
            verifier=event.sha256,
            expires_at=event.expires_at,
        ),
    )


@credentials.handle
async def learn_that_invitation_is_closed(event: InvitationLinkClosed, tx: Tx) -> None:
    """Accept an invitation's link no more."""
    await store.close(
        tx,
        store.Credential(
            key=event.subject,
            person_id=event.person_id,
            kind="invitation",
            number=event.number,
            purchase_id=event.purchase_id,
            invitation_id=event.invitation_id,
        ),
    )


@credentials.handle
async def learn_address_code(event: AddressCodeAssigned, tx: Tx) -> None:
    """Keep how a code to a new address is checked."""
    await store.keep(
        tx,
        store.Credential(
            key=event.subject,
            person_id=event.person_id,
            kind="address_code",
            number=event.number,
            verifier=event.verifier,
            expires_at=event.expires_at,
        ),
    )


@credentials.handle
async def learn_that_code_is_spent(event: AddressCodeSpent, tx: Tx) -> None:
    """Accept a code no more."""
    await store.close(
        tx,
        store.Credential(
            key=event.subject, person_id=event.person_id, kind="address_code", number=event.number
        ),
    )


@credentials.handle
async def learn_second_factor(event: SecondFactorSet, tx: Tx, record: CurrentRecord) -> None:
    """Ask for a time-based code at this person's sign-in, or no longer; whoever ordered it is told so."""
    await orders.note_obeyed(tx, record.received.causation_id, record.appended_at)
    credential = store.Credential(
        key=event.subject, person_id=event.person_id, kind="second_factor", number=event.number
    )
    await (store.keep if event.state == "enabled" else store.close)(tx, credential)


@credentials.handle
async def forget_credential(event: CredentialErased, tx: Tx) -> None:
    """Erase what stood under a key."""
    await store.erase(tx, event.key)
