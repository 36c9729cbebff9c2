"""What is put before providers, and how: the whole request, answers, a cancellation."""

from collections.abc import Sequence

from services.distribution import domain, ledger, store
from services.distribution.domain import Gate, Request
from shared.delivery import Tx
from shared.messages.base import AboutPurchase
from shared.outbox import Outgoing, Publisher


async def whole_request(tx: Tx, request: Request) -> list[AboutPurchase]:
    """Return the request with all parts of its documents, in the order in which they are presented."""
    if request.box is None:
        raise LookupError("nothing is shown of a request to which no reply can be taken")
    parts = [await _parts(tx, request, position) for position in range(len(request.documents))]
    return domain.invitation(request, request.box, parts)


async def in_order(publish: Publisher, provider_id: str, messages: Sequence[AboutPurchase]) -> None:
    """Put messages before one provider."""
    # One at a time: with large documents, all parts for one provider at once would be a lot of memory.
    for message in messages:
        await publish.to_provider(provider_id, message)


async def answers(tx: Tx, publish: Publisher, gate: Gate, provider_ids: Sequence[str]) -> None:
    """Tell these providers, who stand in the ledger, every answer that they were not told, each at the same time."""
    barred = await ledger.lock_providers(tx, provider_ids)
    for answer, untold in await ledger.untold_answers(tx, gate.purchase_id, provider_ids):
        decisions = {one: publish.deciding("answer", answer.question_id, one) for one in untold}
        told = {
            provider_id: (decision.now, decision.decision or decision.cause)
            for provider_id, decision in decisions.items()
            # Who was told before a restore stays told.
            if decision.adopted_at or (provider_id not in barred and gate.runs(publish.now))
        }
        await publish.many([Outgoing(answer, cause, provider_id) for provider_id, (_, cause) in told.items()])
        await ledger.add_answer_disclosures(tx, answer.question_id, told)


async def cancellation(publish: Publisher, gate: Gate, provider_ids: list[str]) -> None:
    """Tell these providers that the purchase was called off, if it was."""
    message = domain.cancellation(gate)
    if message is None:
        return
    decisions = {one: publish.deciding("cancellation", gate.purchase_id, one) for one in provider_ids}
    await publish.many(
        [Outgoing(message, one.decision or one.cause, provider_id) for provider_id, one in decisions.items()]
    )


async def _parts(tx: Tx, request: Request, position: int) -> list[str]:
    document = request.documents[position]
    variants = await store.parts_of(tx, request.purchase_id, request.version, document.sha256)
    return [variants[number][0] for number in range(1, document.parts + 1)]
