"""The operator lets auditors read a purchase, or no longer."""

from services.aggregation.contacts import assign_password, record_contact
from services.aggregation.domain import people as domain
from services.aggregation.handlers.streams import Passwords, administration
from services.aggregation.passwords import Decision
from services.aggregation.store import groups
from services.aggregation.store import people as store
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.people import AppointAuditor, AuditorAppointed, AuditorDismissed, DismissAuditor
from shared.outcomes import NotYet, Refusal


@administration.handle
async def appoint_auditor(
    command: AppointAuditor, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | NotYet | None:
    """Let a person read all of the purchase but sealed content."""
    person_id = command.contact.person_id
    group = await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.refuse_erased(await store.lock_person(tx, person_id), publish.now) or domain.may_appoint(
        group, await groups.buyers(tx, command.purchase_id), person_id
    )
    if refusal is not None or not await store.appoint(tx, command.purchase_id, person_id, publish.now):
        return refusal
    await publish(AuditorAppointed(purchase_id=command.purchase_id, person_id=person_id))
    await record_contact(tx, publish, passwords, command.contact, recorded_by=actor.person_id)
    await assign_password(tx, publish, passwords, Decision(command.purchase_id, person_id, publish.cause))
    return None


@administration.handle
async def dismiss_auditor(command: DismissAuditor, tx: Tx, publish: Publish) -> Refusal | None:
    """Let an auditor no longer read."""
    await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    if not await store.dismiss(tx, command.purchase_id, command.person_id, publish.now):
        return Refusal("auditor_unknown", "The person is no auditor of this purchase.")
    await publish(AuditorDismissed(purchase_id=command.purchase_id, person_id=command.person_id))
    return None
