"""What the distribution service does with each fact: keep it, open the gate if nothing is missing, grant access."""

from dataclasses import replace
from uuid import UUID

import structlog

from services.distribution import access, domain, ledger, presenting, store
from services.distribution.domain import Gate, Ready, Request, Said
from services.distribution.ledger import Right
from shared.delivery import Publish, Tx
from shared.messages.bidding import AccessRequestReceived, BidBoxReady
from shared.messages.distribution import AccessRefusalReason, ProviderInvited, RequestDistributed
from shared.messages.rfp import (
    DeadlinePassed,
    GroupQualified,
    ProviderRegistered,
    ProviderReinstated,
    ProviderRemoved,
    ProviderSuspended,
    QualificationLapsed,
    QuestionAnswered,
    RequestCancelled,
    RequestDocumentPart,
    RequestIssued,
)
from shared.outbox import Publisher
from shared.outcomes import NotYet
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
        await presenting.cancellation(publish, gate, await ledger.disclosed_to(tx, event.purchase_id))


@rfp_events.handle
async def suspend_provider(event: ProviderSuspended, tx: Tx, publish: Publish) -> None:
    """The provider is presented nothing from now on."""
    await store.change_standing(tx, event.provider_id, suspended=True, cause_id=publish.cause)


@rfp_events.handle
async def reinstate_provider(event: ProviderReinstated, tx: Tx, publish: Publish) -> None:
    """Openings from now on invite the provider again; earlier ones are not repeated."""
    await store.change_standing(tx, event.provider_id, suspended=False, cause_id=publish.cause)


@rfp_events.handle
async def strike_off_provider(event: ProviderRemoved, tx: Tx, publish: Publish) -> None:
    """The provider is presented nothing until it is registered again; a suspension ends with the registration."""
    await store.change_standing(tx, event.provider_id, suspended=False, removed=True, cause_id=publish.cause)


@rfp_events.handle
async def admit_provider(event: ProviderRegistered, tx: Tx, publish: Publish) -> None:
    """Openings from now on may invite the provider, also where it had been removed."""
    await store.change_standing(tx, event.provider_id, removed=False, cause_id=publish.cause)


@rfp_events.handle
async def present_answer(event: QuestionAnswered, tx: Tx, publish: Publish) -> None:
    """Everyone who was shown or offered the request is told the answer, all in this transaction."""
    await store.lock_gate(tx, event.purchase_id)
    await ledger.add_answer(tx, event, cause_id=publish.cause)
    gate = await store.gate(tx, event.purchase_id)
    await presenting.answers(tx, publish, gate, await ledger.disclosed_to(tx, event.purchase_id))


@bidding_events.handle
async def decide_on_access(event: AccessRequestReceived, tx: Tx, publish: Publish) -> NotYet | None:
    """Whoever was offered the request is shown it, if all that it takes holds at this moment; others are refused."""
    gate_is_known = await store.lock_known_gate(tx, event.purchase_id)
    if await ledger.access_was_decided(tx, event.request_id):
        return None
    said = access.said_of_access(publish.adoptions.of_decision(publish.cause))
    if said is not None and said.refused is not None:
        await _refuse(tx, publish, event, said.refused)
        return None
    barred = await ledger.lock_providers(tx, [event.provider_id])
    right = await ledger.grant(
        tx,
        event,
        cause_id=publish.cause,
        adopted_at=said.at if said else None,
        adopted_qualification=said.qualification if said else None,
    )
    if right is not None:
        await _show(tx, publish, event, right)
        return None
    if await ledger.was_shown_to(tx, event.purchase_id, event.request_version, event.provider_id):
        # Whatever has happened since: a quiet repeat leaves no fact behind, so a restore could not find a refusal of it.
        await ledger.add_access_request(tx, event, "shown_before", at=publish.now, cause_id=publish.cause)
        shown = await store.gate(tx, event.purchase_id)
        await presenting.answers(tx, publish, shown, [event.provider_id])
        return None
    in_ledger = await ledger.was_presented_to(tx, event.purchase_id, event.request_version, event.provider_id)
    if said is not None or (not in_ledger and _invited_before_restore(publish, event)):
        return NotYet("gate_not_open_again", "The gate was open before a restore, and is not open again yet.")
    gate = await store.gate(tx, event.purchase_id) if gate_is_known else None
    now = await store.clock(tx)
    reason = access.why_refused(
        gate, event.request_version, now, in_ledger=in_ledger, barred=event.provider_id in barred
    )
    await _refuse(tx, publish, event, reason)
    return None


async def _show(tx: Tx, publish: Publisher, event: AccessRequestReceived, right: Right) -> None:
    # What is said carries the moment of granting, so that a restore finds it again.
    at_granting = replace(publish, started_at=right.at)
    gate = await store.gate(tx, event.purchase_id)
    outcome = "granted" if right.granted else "shown_before"
    await ledger.add_access_request(tx, event, outcome, at=right.at, cause_id=publish.cause)
    if right.granted:
        request = next(one for one in gate.requests if one.version == event.request_version)
        await presenting.in_order(at_granting, event.provider_id, await presenting.whole_request(tx, request))
        fact = access.grant_fact(event, right.content_sha256, right.qualification, right.at)
        await at_granting(fact)
    # The answers belong to the request: whoever comes later is told the earlier ones, and once each.
    await presenting.answers(tx, at_granting, gate, [event.provider_id])


async def _refuse(
    tx: Tx, publish: Publisher, event: AccessRequestReceived, reason: AccessRefusalReason
) -> None:
    await ledger.add_access_request(tx, event, reason, at=publish.now, cause_id=publish.cause)
    await publish(access.refusal_fact(event, reason))


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
    decisions = {
        one: _invitation(at_opening, request.purchase_id, request.version, one) for one in provider_ids
    }
    causes = {one: decision.decision or decision.cause for one, decision in decisions.items()}
    await ledger.add_disclosures(tx, request, causes, qualification=ready.qualification, at=opened_at)
    messages = (
        [domain.offer(request)] if request.mode == "grant" else await presenting.whole_request(tx, request)
    )
    for provider_id, decision in decisions.items():
        await presenting.in_order(decision, provider_id, messages)
        await decision(domain.invitation_fact(request, ready.qualification, provider_id))
    await at_opening.deciding("gate", request.purchase_id, request.version)(
        RequestDistributed(
            purchase_id=request.purchase_id, request_version=request.version, invited=len(provider_ids)
        )
    )
    # A restored service may hear of answers and of a cancellation before it has opened again what it had opened.
    await presenting.answers(tx, at_opening, gate, provider_ids)
    await presenting.cancellation(publish, gate, [one for one in provider_ids if one not in told_before])


def _invitation(publish: Publisher, purchase_id: UUID, version: int, provider_id: str) -> Publisher:
    # A decision of its own for each provider: its ids do not depend on who else is invited.
    return publish.deciding("invitation", purchase_id, version, provider_id)


def _invited_before_restore(publish: Publisher, event: AccessRequestReceived) -> bool:
    invitation = _invitation(publish, event.purchase_id, event.request_version, event.provider_id)
    return invitation.adopted_at is not None


def _said_before_restore(publish: Publisher, request: Request) -> Said | None:
    if not publish.adoptions.events:
        return None
    gate = publish.deciding("gate", request.purchase_id, request.version)
    said = {
        one: publish.adoptions.of_decision(decision)
        for one in request.provider_ids
        if (decision := _invitation(publish, request.purchase_id, request.version, one).decision)
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
