"""The operator erases persons whom no purchase needs any more."""

from services.aggregation.domain.people import UNKNOWN
from services.aggregation.handlers.streams import (
    administration,
    bidding_events,
    commands,
    rfp_events,
    streams,
)
from services.aggregation.store import erasure as store
from services.aggregation.store import groups, people
from shared import parked
from shared.delivery import Publish, Tx
from shared.messages.bidding import TermsAccepted
from shared.messages.people import ContactErased, CredentialErased, ErasePerson, PersonErased
from shared.messages.rfp import RequestCancelled
from shared.outcomes import NotYet, Refusal


@administration.handle
async def erase_person(command: ErasePerson, tx: Tx, publish: Publish) -> Refusal | NotYet | None:
    """Erase how a person is reached, and all by which they could sign in."""
    # In the order in which AddBuyer locks them, which would otherwise make them needed while they are erased.
    await store.lock_groups(tx, command.person_id)
    person = await people.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    if person is None:
        return UNKNOWN
    # After a restore, what ended their purchases may come after this order, which was obeyed then.
    if publish.adopted_at is None and await store.is_needed(tx, command.person_id, publish.now):
        return Refusal(
            "person_needed",
            "A purchase that is not over needs this person. Its coordinator ends it by dissolving the group, cancelling the "
            "request or accepting terms, and takes members out while the group is open; an auditor is dismissed.",
        )
    if not await store.erase(tx, command.person_id, publish.now):
        return None
    await store.erase_documents(tx, command.person_id)
    await store.erase_what_was_adopted(tx, command.person_id)
    # An order that names them and stands aside holds their name and address; tried again, it is refused and gone.
    for stream in (commands, administration):
        await parked.try_soon(tx, f"{streams.service}.{stream.topic}", str(command.person_id))
    await publish(PersonErased(person_id=command.person_id), ContactErased(person_id=command.person_id))
    for key in await store.credential_keys(tx, command.person_id):
        await publish(CredentialErased(key=key))
    return None


@rfp_events.handle
async def learn_that_purchase_is_cancelled(event: RequestCancelled, tx: Tx) -> None:
    """Note that nobody is needed for it any more."""
    await store.end_purchase(tx, event.purchase_id)


@bidding_events.handle
async def learn_that_purchase_is_complete(event: TermsAccepted, tx: Tx) -> None:
    """Note that nobody is needed for it any more."""
    await store.end_purchase(tx, event.purchase_id)
