"""What the distribution service does with each fact: keep it, and open the gate if nothing is missing."""

from dataclasses import replace
from uuid import UUID

import structlog

from services.distribution import domain, ledger, store
from services.distribution.domain import Gate, Ready, Request, Said
from shared.delivery import Publish, Tx
from shared.messages.bidding import BidBoxReady
from shared.messages.distribution import ProviderInvited, RequestDistributed
from shared.messages.rfp import (
    DeadlinePassed,
    GroupQualified,
    ProviderReinstated,
    ProviderSuspended,
    QualificationLapsed,
    RequestCancelled,
    RequestDocumentPart,
    RequestIssued,
)
from shared.outbox import Outgoing, Publisher
from shared.streams import Streams

streams = Streams("distribution")
rfp_events = streams.events("rfp.events")
rfp_documents = streams.events("rfp.documents")
bidding_events = streams.events("bidding.events")
log = structlog.get_logger()


@rfp_events.handle
async def keep_request(event: RequestIssued, tx: Tx, publish: Publish) -> None:
    """A version waits for its documents, its box and its group's qualification."""
    await store.lock_gate(tx, event.purchase_id)
    await store.add_request(tx, event, cause_id=publish.cause)
    await _complete_documents(tx, event.purchase_id, event.request_version)
    await _open_what_is_ready(tx, publish, event.purchase_id)


@rfp_documents.handle
async def keep_document_part(event: RequestDocumentPart, tx: Tx, publish: Publish) -> None:
    """A document is complete when its parts have the hash that the request names."""
    await store.lock_gate(tx, event.purchase_id)
    await store.add_part(tx, event, data_sha256=domain.data_sha256(event.data), cause_id=publish.cause)
    await _complete_documents(tx, event.purchase_id, event.request_version)
    await _open_what_is_ready(tx, publish, event.purchase_id)


@bidding_events.handle
async def keep_bid_box(event: BidBoxReady, tx: Tx, publish: Publish) -> None:
    """Nobody is invited to reply before replies can be taken."""
    await store.lock_gate(tx, event.purchase_id)
    await store.add_box(tx, event, cause_id=publish.cause)
    await _open_what_is_ready(tx, publish, event.purchase_id)


@rfp_events.handle
async def keep_qualification(event: GroupQualified, tx: Tx, publish: Publish) -> None:
    """Only a verified group's request is shown."""
    await store.lock_gate(tx, event.purchase_id)
    await store.add_qualification(tx, event, cause_id=publish.cause)
    await _open_what_is_ready(tx, publish, event.purchase_id)


@rfp_events.handle
async def drop_qualification(event: QualificationLapsed, tx: Tx, publish: Publish) -> None:
    """A lapsed qualification opens nothing any more, even if it arrives after its lapse."""
    await store.lock_gate(tx, event.purchase_id)
    await store.add_lapse(tx, event, cause_id=publish.cause)


@rfp_events.handle
async def shut_at_deadline(event: DeadlinePassed, tx: Tx, publish: Publish) -> None:
    """Nothing opens after the deadline, whatever any clock says."""
    await store.lock_gate(tx, event.purchase_id)
    await store.pass_deadline(tx, event.purchase_id, cause_id=publish.cause)


@rfp_events.handle
async def call_off(event: RequestCancelled, tx: Tx, publish: Publish) -> None:
    """Nothing opens any more, and everyone who was shown anything is told."""
    await store.lock_gate(tx, event.purchase_id)
    if await store.cancel(tx, event.purchase_id, event.reason, cause_id=publish.cause):
        gate = await store.gate(tx, event.purchase_id)
        await _present_cancellation(publish, gate, await ledger.disclosed_to(tx, event.purchase_id))


@rfp_events.handle
async def suspend_provider(event: ProviderSuspended, tx: Tx, publish: Publish) -> None:
    """Openings from now on leave the provider out."""
    await store.change_standing(tx, event.provider_id, suspended=True, cause_id=publish.cause)


@rfp_events.handle
async def reinstate_provider(event: ProviderReinstated, tx: Tx, publish: Publish) -> None:
    """Openings from now on invite the provider again; earlier ones are not repeated."""
    await store.change_standing(tx, event.provider_id, suspended=False, cause_id=publish.cause)


async def _complete_documents(tx: Tx, purchase_id: UUID, version: int) -> None:
    for document in await store.documents_with_all_parts(tx, purchase_id, version):
        variants = await store.parts_of(tx, purchase_id, version, document.sha256)
        parts = domain.fitting_parts(document, variants)
        if parts is None:
            log.error(
                "document_does_not_fit", purchase_id=str(purchase_id), version=version, sha256=document.sha256
            )
            continue
        hashes = [domain.data_sha256(part) for part in parts]
        await store.complete_document(tx, purchase_id, version, document.sha256, hashes)


async def _open_what_is_ready(tx: Tx, publish: Publisher, purchase_id: UUID) -> None:
    gate = await store.gate(tx, purchase_id)
    for request in gate.requests:
        said = _said_before_restore(publish, request)
        verdict = domain.judge(gate, request, publish.now, said)
        if isinstance(verdict, Ready):
            await _open(tx, publish, gate, request, verdict, said)


async def _open(
    tx: Tx, publish: Publisher, gate: Gate, request: Request, ready: Ready, said: Said | None
) -> None:
    suspended = await ledger.lock_providers(tx, request.provider_ids)
    opened_at = await ledger.open_gate(
        tx,
        request.purchase_id,
        request.version,
        qualification=ready.qualification,
        adopted_at=said.at if said else None,
    )
    if opened_at is None or request.box is None:
        return
    # What is said carries the moment at which the database opened the gate, so that a restore finds it again.
    at_opening = replace(publish, started_at=opened_at)
    told_before = set(await ledger.disclosed_to(tx, request.purchase_id))
    provider_ids = domain.invited(gate, request, suspended, said)
    decisions = {one: _invitation(at_opening, request, one) for one in provider_ids}
    causes = {one: decision.decision or decision.cause for one, decision in decisions.items()}
    await ledger.add_disclosures(tx, request, causes, qualification=ready.qualification, at=opened_at)
    parts = [await _parts(tx, request, position) for position in range(len(request.documents))]
    messages = domain.invitation(request, request.box, parts)
    for provider_id, decision in decisions.items():
        await decision.to_provider(provider_id, *messages)
        await decision(domain.invitation_fact(request, ready.qualification, provider_id))
    await at_opening.deciding("gate", request.purchase_id, request.version)(
        RequestDistributed(
            purchase_id=request.purchase_id, request_version=request.version, invited=len(provider_ids)
        )
    )
    # A restored service may hear of a cancellation before it has opened again what it had opened.
    await _present_cancellation(publish, gate, [one for one in provider_ids if one not in told_before])


async def _parts(tx: Tx, request: Request, position: int) -> list[str]:
    document = request.documents[position]
    variants = await store.parts_of(tx, request.purchase_id, request.version, document.sha256)
    return [variants[number][0] for number in range(1, document.parts + 1)]


async def _present_cancellation(publish: Publisher, gate: Gate, provider_ids: list[str]) -> None:
    message = domain.cancellation(gate)
    if message is None:
        return
    decisions = {one: publish.deciding("cancellation", gate.purchase_id, one) for one in provider_ids}
    await publish.many(
        [Outgoing(message, one.decision or one.cause, provider_id) for provider_id, one in decisions.items()]
    )


def _invitation(publish: Publisher, request: Request, provider_id: str) -> Publisher:
    # A decision of its own for each provider: its ids do not depend on who else is invited.
    return publish.deciding("invitation", request.purchase_id, request.version, provider_id)


def _said_before_restore(publish: Publisher, request: Request) -> Said | None:
    if not publish.adoptions.events:
        return None
    gate = publish.deciding("gate", request.purchase_id, request.version)
    said = {
        one: publish.adoptions.of_decision(decision)
        for one in request.provider_ids
        if (decision := _invitation(publish, request, one).decision)
    }
    facts = [
        ProviderInvited.model_validate_json(event.body)
        for events in said.values()
        for event in events
        if event.type == ProviderInvited.type()
    ]
    times = [event.decided_at for events in said.values() for event in events]
    if gate.adopted_at is not None:
        times.append(gate.adopted_at)
    if not times:
        return None
    return Said(
        at=min(times),
        invited=frozenset(one for one, events in said.items() if events),
        qualification=facts[0].qualification if facts else None,
        completed=gate.adopted_at is not None,
    )
