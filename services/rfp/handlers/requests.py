"""The request is described, issued or called off by its coordinator; its deadline passes, and its purchase ends."""

from uuid import UUID

import asyncpg

from services.rfp import domain, issuing, registry, store
from services.rfp.handlers.coordinating import request_to_change
from services.rfp.handlers.streams import bidding_events, commands, timers
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.bidding import TermsAccepted
from shared.messages.rfp import (
    CancelRequest,
    DeadlinePassed,
    DescribeNeed,
    IssueRequest,
    NeedDescribed,
    ProviderListSet,
    RequestCancelled,
    SetProviderList,
)
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.timers import Timer, cancel, schedule

DEADLINE = "deadline"


@commands.handle
async def describe_need(
    command: DescribeNeed, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep what the request asks for."""
    request = await request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    refusal = domain.may_describe(request, command)
    if refusal is not None:
        return refusal
    await store.keep_need(tx, command)
    await publish(NeedDescribed(**dict(command)))
    return None


@commands.handle
async def set_provider_list(
    command: SetProviderList, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep who may see the request."""
    request = await request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    refusal = domain.may_list(request, command, await registry.registered(tx, command.provider_ids))
    if refusal is not None:
        return refusal
    await store.keep_list(tx, command)
    await publish(
        ProviderListSet(purchase_id=command.purchase_id, provider_ids=command.provider_ids, rule=command.rule)
    )
    return None


@commands.handle
async def issue_request(
    command: IssueRequest, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Freeze the request, its content and its list, and set its deadline."""
    request = await request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    frozen = await issuing.freeze(tx, request, publish)
    if isinstance(frozen, Refusal | NotYet):
        return frozen
    deadline = frozen.issue.need.deadline
    manifests = await issuing.say_documents(tx, publish, frozen)
    await store.freeze_request(
        tx,
        command.purchase_id,
        version=domain.FIRST_VERSION,
        provider_ids=frozen.provider_ids,
        content_sha256=manifests[0].sha256,
        deadline_at=deadline,
        issued_at=publish.now,
    )
    await schedule(tx, kind=DEADLINE, subject=command.subject, due_at=deadline)
    await publish(issuing.issued(frozen, manifests))
    return None


@commands.handle
async def cancel_request(
    command: CancelRequest, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Call the purchase off."""
    request = await request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    if request.state == "issued" and issuing.was_said(publish, DeadlinePassed, command.purchase_id):
        return NotYet("deadline_to_pass_again", "The deadline had passed before this order.")
    state = domain.may_cancel(request)
    if isinstance(state, Refusal | NotYet):
        return state
    await store.end_request(tx, command.purchase_id, state, publish.now)
    await cancel(tx, kind=DEADLINE, subject=command.subject)
    await publish(RequestCancelled(purchase_id=command.purchase_id, reason=command.reason))
    return None


@timers.handle(DEADLINE)
async def pass_deadline(timer: Timer, tx: asyncpg.Connection, publish: Publisher) -> None:
    """Say that the deadline has passed, unless the request was cancelled before."""
    request = await store.lock_request(tx, UUID(timer.subject))
    if request is None or request.version is None or request.deadline is None:
        return
    if not publish.adopted_at and issuing.was_said(publish, RequestCancelled, request.purchase_id):
        return
    state = domain.move(request, "pass_deadline")
    if isinstance(state, Refusal | NotYet):
        return
    await store.end_request(tx, request.purchase_id, state, publish.now)
    await publish(
        DeadlinePassed(
            purchase_id=request.purchase_id, request_version=request.version, deadline=request.deadline
        )
    )


@bidding_events.handle
async def complete_purchase(event: TermsAccepted, tx: Tx, publish: Publish) -> None:
    """A purchase whose terms are accepted is over for the providers that it lists."""
    await store.lock_or_add_request(tx, event.purchase_id)
    await store.complete_purchase(tx, event.purchase_id, publish.cause)
