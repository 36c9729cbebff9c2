"""What every order of a coordinator begins with."""

from services.rfp import domain, store
from shared.delivery import Tx
from shared.envelope import Actor
from shared.messages.rfp import RfpCommand
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal


async def request_to_change(
    tx: Tx, publish: Publisher, command: RfpCommand, actor: Actor
) -> domain.Request | Refusal | NotYet | None:
    """Lock the request that its coordinator's order is about; None where the order was obeyed before."""
    request = await store.lock_request(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    refusal = domain.may_coordinate(request, actor)
    if refusal is None and request is not None and request.dissolved and not publish.adopted_at:
        return Refusal("group_dissolved", "The group was given up; nothing more is taken for it.")
    return refusal or request
