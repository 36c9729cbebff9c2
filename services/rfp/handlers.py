"""What the rfp service does when a message arrives or a time is due."""

from uuid import UUID

import asyncpg

from services.rfp import domain, issuing, registry, store, verifying
from services.rfp.qualification import may_verify
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.aggregation import BuyerJoined, GroupAggregated, GroupOpened, UsageLinesReported
from shared.messages.rfp import (
    CancelRequest,
    DeadlinePassed,
    DescribeNeed,
    IssueRequest,
    NeedDescribed,
    ProviderListSet,
    ProviderRegistered,
    ProviderReinstated,
    ProviderSuspended,
    RecordVerification,
    RegisterProvider,
    ReinstateProvider,
    RequestCancelled,
    RequestDrafted,
    SetProviderList,
    SuspendProvider,
)
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.streams import Streams
from shared.timers import Timer, Timers, cancel, schedule

streams = Streams("rfp")
timers = Timers()
commands = streams.commands("rfp.commands")
verifications = streams.commands("rfp.verifications", role="officer")
registrations = streams.commands("rfp.registrations", role="operator")
aggregation_events = streams.events("aggregation.events")
aggregation_usage = streams.events("aggregation.usage")

DEADLINE = "deadline"


@aggregation_events.handle
async def learn_coordinator(event: GroupOpened, tx: Tx) -> None:
    """Keep who coordinates the group, so that they can describe the need while it forms."""
    await store.lock_or_add_request(tx, event.purchase_id)
    await store.keep_coordinator(tx, event.purchase_id, event.coordinator_id)


@aggregation_events.handle
async def learn_buyer(event: BuyerJoined, tx: Tx, publish: Publish) -> None:
    """Keep a buyer's identity; it may be the last that verifications wait for."""
    request = await store.lock_or_add_request(tx, event.purchase_id)
    await store.add_buyer(tx, event)
    await verifying.judge_pending(tx, publish, request)


@aggregation_events.handle
async def draft_request(event: GroupAggregated, tx: Tx, publish: Publish) -> None:
    """Make the draft from the frozen group."""
    request = await store.lock_or_add_request(tx, event.purchase_id)
    state = domain.move(request, "draft")
    if isinstance(state, Refusal | NotYet):
        return
    await store.keep_aggregated(tx, event, state)
    await publish(
        RequestDrafted(
            purchase_id=event.purchase_id, snapshot=event.snapshot, usage_digest=event.usage_digest
        )
    )
    await verifying.judge_pending(tx, publish, await store.lock_or_add_request(tx, event.purchase_id))


@aggregation_usage.handle
async def keep_usage(event: UsageLinesReported, tx: Tx) -> None:
    """Keep this service's own copy of the lines; whether they count, the frozen group says."""
    await store.add_usage_part(tx, event)


@commands.handle
async def describe_need(
    command: DescribeNeed, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep what the request asks for."""
    request = await store.lock_request(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    refusal = domain.may_coordinate(request, actor)
    if refusal is not None or request is None:
        return refusal
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
    request = await store.lock_request(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    refusal = domain.may_coordinate(request, actor)
    if refusal is not None or request is None:
        return refusal
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
    request = await store.lock_request(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    refusal = domain.may_coordinate(request, actor)
    if refusal is not None or request is None:
        return refusal
    frozen = await issuing.freeze(tx, request, publish)
    if isinstance(frozen, Refusal | NotYet):
        return frozen
    deadline = frozen.issue.need.deadline
    manifests = await issuing.say_documents(publish, frozen)
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
    request = await store.lock_request(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    refusal = domain.may_coordinate(request, actor)
    if refusal is not None or request is None:
        return refusal
    state = domain.move(request, "cancel")
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
    if issuing.was_cancelled(publish, request.purchase_id):
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


@verifications.handle
async def record_verification(
    command: RecordVerification, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | None:
    """Keep the officer's finding, and judge it once the whole group is known."""
    refusal = may_verify(actor)
    if refusal is not None:
        return refusal
    request = await store.lock_or_add_request(tx, command.purchase_id)
    added = await store.add_verification(tx, command, cause_id=publish.cause, officer_id=actor.person_id)
    if added:
        await verifying.judge_pending(tx, publish, request)
    return None


@timers.handle(verifying.LAPSE)
async def lapse_qualification(timer: Timer, tx: asyncpg.Connection, publish: Publisher) -> None:
    """End a qualification whose time is over."""
    request = await store.lock_request(tx, UUID(timer.subject))
    if request is not None:
        await verifying.lapse(tx, publish, request)


@registrations.handle
async def register_provider(command: RegisterProvider, tx: Tx, publish: Publish) -> None:
    """Make a provider known, or change what is known of it."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return
    if isinstance(domain.may_register(command, known), domain.Repeated):
        return
    await registry.keep_provider(tx, command, publish.now)
    await publish(
        ProviderRegistered(
            provider_id=command.provider_id,
            name=command.name,
            categories=command.categories,
            regions=command.regions,
        )
    )


@registrations.handle
async def suspend_provider(command: SuspendProvider, tx: Tx, publish: Publish) -> Refusal | None:
    """Let nothing more be presented to a provider."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    match domain.may_suspend(known, suspend=True):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    await registry.suspend_provider(tx, command.provider_id, publish.now)
    await publish(ProviderSuspended(provider_id=command.provider_id, reason=command.reason))
    return None


@registrations.handle
async def reinstate_provider(command: ReinstateProvider, tx: Tx, publish: Publish) -> Refusal | None:
    """Lift a suspension."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    match domain.may_suspend(known, suspend=False):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    await registry.suspend_provider(tx, command.provider_id, None)
    await publish(ProviderReinstated(provider_id=command.provider_id))
    return None
