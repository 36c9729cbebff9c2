"""What the bidding service does with each message: load, decide, save, publish."""

from typing import Annotated

from faststream import Context

from services.bidding import intake, reading
from services.bidding.adopting import not_said_again
from services.bidding.domain import award as orders
from services.bidding.domain import box as boxes
from services.bidding.domain import custodian
from services.bidding.store import awards as award_store
from services.bidding.store import boxes as box_store
from services.bidding.store import checkpoints as checkpoint_store
from services.bidding.store import releases as release_store
from services.bidding.store import terms as terms_store
from services.bidding.store import usage as usage_store
from shared.delivery import Batched, CurrentActor, Publish, Tx
from shared.messages.aggregation import GroupAggregated, UsageLinesReported
from shared.messages.bidding import (
    AcceptTerms,
    BidBoxReady,
    RejectTerms,
    ReleaseCustodianKey,
    SelectReply,
    TermsAccepted,
    TermsRejected,
)
from shared.messages.rfp import DeadlinePassed, GroupQualified, RequestCancelled, RequestIssued
from shared.outcomes import NotYet, Refusal
from shared.streams import Streams

Rules = Annotated[intake.Rules, Context("rules")]

streams = Streams("bidding")
rfp_events = streams.events("rfp.events")
aggregation_events = streams.events("aggregation.events")
aggregation_usage = streams.events("aggregation.usage")
commands = streams.commands("bidding.commands")
replies = streams.batches("replies.")


@replies.handle_batch
async def take_replies(batch: Batched, tx: Tx, publish: Publish, rules: Rules) -> None:
    """Answer each message of a provider: a receipt or a rejection, the same again where it came before."""
    records = sorted((*batch.fresh, *batch.repeated), key=lambda one: (one.topic, one.partition, one.offset))
    await intake.take(tx, publish, [reading.read(record) for record in records], rules)


@rfp_events.handle
async def prepare_box(event: RequestIssued, tx: Tx, publish: Publish, rules: Rules) -> None:
    """Replies to this version can be taken from now on; where they are sealed, this is said once the box has its key."""
    box = boxes.issue(await box_store.lock_box(tx, event.purchase_id), event, publish.cause, rules.seal)
    if box is None:
        return
    await box_store.save_box(tx, box)
    if box.request is not None and box.request.seal == "none":
        await publish(
            BidBoxReady(purchase_id=event.purchase_id, request_version=event.request_version, seal="none")
        )


@rfp_events.handle
async def begin_checkpoints(event: GroupQualified, tx: Tx, publish: Publish) -> None:
    """From now on providers may be told that there is this purchase, and checkpoints tell them."""
    await box_store.lock_box(tx, event.purchase_id)
    await checkpoint_store.begin(tx, event.purchase_id, publish.now)


@rfp_events.handle
async def begin_closing(event: DeadlinePassed, tx: Tx, publish: Publish) -> None:
    """The box is closed once all that was appended before the deadline is taken; `jobs` sees to it."""
    box = boxes.pass_deadline(await box_store.lock_box(tx, event.purchase_id), event, publish.cause)
    if box is not None:
        await box_store.save_box(tx, box)


@rfp_events.handle
async def call_off(event: RequestCancelled, tx: Tx, publish: Publish) -> NotYet | None:
    """Nothing counts any more, and nothing can be ordered."""
    locked = await box_store.lock_box(tx, event.purchase_id)
    if await not_said_again(tx, publish.adoptions, [event.purchase_id]):
        return NotYet("decisions_to_come_again", "Before a restore more was decided before this.")
    box = boxes.cancel(locked, publish.cause)
    if box is not None:
        await box_store.save_box(tx, box)
        await terms_store.forget_documents(tx, event.purchase_id)
    return None


@aggregation_events.handle
async def pin_usage(event: GroupAggregated, tx: Tx, publish: Publish) -> None:
    """Know who coordinates the group, and on which reports its replies are evaluated."""
    await usage_store.add_group(tx, event, cause_id=publish.cause)


@aggregation_usage.handle
async def copy_usage(event: UsageLinesReported, tx: Tx, publish: Publish) -> None:
    """Keep an own copy of the lines, so that evaluating asks nobody."""
    await usage_store.add_usage_part(tx, event, cause_id=publish.cause)


@commands.handle
async def release_custodian_key(
    command: ReleaseCustodianKey, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep the custodian's key for the opener, which needs it for what is sealed twice."""
    box = await box_store.lock_box(tx, command.purchase_id)
    if await release_store.is_obeyed(tx, publish.cause):
        return None
    group = await usage_store.group(tx, command.purchase_id)
    if refused := orders.may_order(actor.person_id, group.coordinator_id if group else None):
        return refused
    is_released = await release_store.is_released(tx, command.purchase_id)
    released = custodian.release(command, box, publish.now, released=is_released)
    if isinstance(released, Refusal | NotYet):
        return released
    await release_store.add_released_key(
        tx, command.purchase_id, command.private_key, at=publish.now, cause_id=publish.cause
    )
    await publish(released)
    return None


@commands.handle
async def select_reply(
    command: SelectReply, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Make the numbered, standing award."""
    box = await box_store.lock_box(tx, command.purchase_id)
    if await award_store.is_obeyed(tx, publish.cause):
        return None
    group = await usage_store.group(tx, command.purchase_id)
    if refused := orders.may_order(actor.person_id, group.coordinator_id if group else None):
        return refused
    selected = orders.select(
        command,
        box,
        await award_store.ranked_replies(tx, command.purchase_id),
        await award_store.awards(tx, command.purchase_id),
    )
    if isinstance(selected, Refusal | NotYet):
        return selected
    await award_store.add_award(
        tx,
        command.purchase_id,
        number=selected.award,
        provider_id=selected.provider_id,
        reply_id=selected.reply_id,
        cause_id=publish.cause,
    )
    await publish(selected)
    return None


@commands.handle
async def accept_terms(
    command: AcceptTerms, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Bind the group to exactly the terms that it cites."""
    agreed = await _answered_terms(command, actor, tx, publish)
    if not isinstance(agreed, orders.Agreed):
        return agreed
    await award_store.answer_terms(tx, agreed.terms.id, "accepted", cause_id=publish.cause)
    await terms_store.forget_documents(tx, command.purchase_id)
    await publish(
        TermsAccepted(
            purchase_id=command.purchase_id,
            award=agreed.award.number,
            provider_id=agreed.award.provider_id,
            terms_sha256=agreed.terms.sha256,
            accepted_by=actor.person_id,
        )
    )
    return None


@commands.handle
async def reject_terms(
    command: RejectTerms, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Say no to these terms; the award stands, and its provider may propose others."""
    agreed = await _answered_terms(command, actor, tx, publish)
    if not isinstance(agreed, orders.Agreed):
        return agreed
    await award_store.answer_terms(tx, agreed.terms.id, "rejected", cause_id=publish.cause)
    await publish(
        TermsRejected(
            purchase_id=command.purchase_id,
            award=agreed.award.number,
            provider_id=agreed.award.provider_id,
            terms_sha256=agreed.terms.sha256,
            reason=command.reason,
        )
    )
    return None


async def _answered_terms(
    command: AcceptTerms | RejectTerms, actor: CurrentActor, tx: Tx, publish: Publish
) -> orders.Agreed | Refusal | NotYet | None:
    """Find the terms that the order answers; None where it was obeyed before."""
    box = await box_store.lock_box(tx, command.purchase_id)
    if await award_store.is_obeyed(tx, publish.cause):
        return None
    group = await usage_store.group(tx, command.purchase_id)
    if refused := orders.may_order(actor.person_id, group.coordinator_id if group else None):
        return refused
    return orders.answer_terms(
        command,
        box,
        await award_store.awards(tx, command.purchase_id),
        await award_store.terms(tx, command.purchase_id),
    )
