"""Documents are attached to the request, part by part."""

from services.rfp import attachments, domain
from services.rfp.handlers.coordinating import request_to_change
from services.rfp.handlers.streams import commands
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.rfp import AttachDocument, AttachDocumentRefused, DocumentAttached
from shared.outcomes import NotYet, Refusal


@commands.handle
async def attach_document(
    command: AttachDocument, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep a part of a document; the last one attaches it, if all together have its hash."""
    request = await request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    attached = await attachments.attachments(tx, command.purchase_id)
    verdict = attachments.may_attach(request, command, attached)
    if verdict is not None:
        return None if isinstance(verdict, domain.Repeated) else verdict
    match await attachments.add(tx, command):
        case DocumentAttached() as fact:
            await publish(fact)
        case Refusal(reason, detail):
            # Said here and not returned, because a returned refusal takes back what was done: the parts would stay.
            await publish(
                AttachDocumentRefused(
                    purchase_id=command.purchase_id, command_id=publish.cause, reason=reason, detail=detail
                )
            )
    return None
