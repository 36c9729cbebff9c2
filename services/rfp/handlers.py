"""What the rfp service does when a message arrives or a time is due."""

from uuid import UUID

import asyncpg

from services.rfp import attachments, domain, issuing, registry, store, verifying
from services.rfp.qualification import may_verify
from shared.delivery import CurrentActor, Publish, Tx
from shared.envelope import Actor
from shared.messages.aggregation import BuyerJoined, GroupAggregated, GroupOpened, UsageLinesReported
from shared.messages.bidding import QuestionReceived, TermsAccepted
from shared.messages.rfp import (
    AnswerQuestion,
    AttachDocument,
    AttachDocumentRefused,
    CancelRequest,
    DeadlinePassed,
    DescribeNeed,
    DocumentAttached,
    IssueRequest,
    NeedDescribed,
    ProviderListSet,
    ProviderRegistered,
    ProviderReinstated,
    ProviderRemoved,
    ProviderSuspended,
    QuestionAnswered,
    RecordVerification,
    RegisterProvider,
    ReinstateProvider,
    RemoveProvider,
    RequestCancelled,
    RequestDrafted,
    RfpCommand,
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
bidding_events = streams.events("bidding.events")

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
    request = await _request_to_change(tx, publish, command, actor)
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
    request = await _request_to_change(tx, publish, command, actor)
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
async def attach_document(
    command: AttachDocument, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep a part of a document; the last one attaches it, if all together have its hash."""
    request = await _request_to_change(tx, publish, command, actor)
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


@commands.handle
async def issue_request(
    command: IssueRequest, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Freeze the request, its content and its list, and set its deadline."""
    request = await _request_to_change(tx, publish, command, actor)
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
    request = await _request_to_change(tx, publish, command, actor)
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


@bidding_events.handle
async def keep_question(event: QuestionReceived, tx: Tx, publish: Publish) -> None:
    """Keep what somebody asked, for the coordinator to answer."""
    await store.lock_or_add_request(tx, event.purchase_id)
    await store.add_question(tx, event, cause_id=publish.cause)


@commands.handle
async def answer_question(
    command: AnswerQuestion, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Answer a question, in the asker's words or the coordinator's; distribution tells all at the same time."""
    request = await _request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    asked = await store.question(tx, command.purchase_id, command.question_id)
    question = domain.may_answer(request, asked, publish.now, answered_before=bool(publish.adopted_at))
    if isinstance(question, Refusal | NotYet):
        return question
    await store.answer_question(tx, command.purchase_id, command.question_id, answered_by=publish.cause)
    await publish(
        QuestionAnswered(
            purchase_id=command.purchase_id,
            question_id=command.question_id,
            request_version=question.request_version,
            question=command.restated or question.question,
            answer=command.answer,
        )
    )
    return None


@bidding_events.handle
async def complete_purchase(event: TermsAccepted, tx: Tx, publish: Publish) -> None:
    """A purchase whose terms are accepted is over for the providers that it lists."""
    await store.lock_or_add_request(tx, event.purchase_id)
    await store.complete_purchase(tx, event.purchase_id, publish.cause)


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


@registrations.handle
async def remove_provider(command: RemoveProvider, tx: Tx, publish: Publish) -> Refusal | None:
    """Strike a provider off the register; it can be registered again."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    # What was removed before a restore stays removed, whatever this database still has to hear of its purchases.
    purchase_open = not publish.adopted_at and await registry.is_listed_in_open_purchase(
        tx, command.provider_id
    )
    refusal = domain.may_remove(known, purchase_open=purchase_open)
    if refusal is not None:
        return refusal
    await registry.remove_provider(tx, command.provider_id)
    await publish(ProviderRemoved(provider_id=command.provider_id, reason=command.reason))
    return None


async def _request_to_change(
    tx: Tx, publish: Publisher, command: RfpCommand, actor: Actor
) -> domain.Request | Refusal | NotYet | None:
    """Lock the request that its coordinator's order is about; None where the order was obeyed before."""
    request = await store.lock_request(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    return domain.may_coordinate(request, actor) or request
