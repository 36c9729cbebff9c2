"""What the notification service does when a fact arrives: keep it, and tell it when all it takes is known."""

from dataclasses import replace
from uuid import UUID

import asyncpg

from services.notification import domain, store
from services.notification.domain import Comparison, Fact, Known
from shared import documents
from shared.delivery import Publish, Tx
from shared.messages.aggregation import (
    BuyerJoined,
    ContactRecorded,
    CredentialAssigned,
    GroupAggregated,
    GroupOpened,
)
from shared.messages.base import AboutPurchase
from shared.messages.bidding import (
    ComparisonPart,
    ProviderSelected,
    QuestionReceived,
    RepliesCompared,
    RepliesOpened,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.distribution import AccessGranted, AccessRefused, ProviderInvited, RequestDistributed
from shared.messages.rfp import (
    GroupNotQualified,
    GroupQualified,
    ProviderRegistered,
    QualificationLapsed,
    RequestCancelled,
    RequestIssued,
)
from shared.outbox import Outgoing, Publisher
from shared.streams import Streams

streams = Streams("notification")
aggregation_events = streams.events("aggregation.events")
contacts = streams.events("aggregation.contacts")
credentials = streams.events("aggregation.credentials")
rfp_events = streams.events("rfp.events")
distribution_events = streams.events("distribution.events")
bidding_events = streams.events("bidding.events")
comparisons = streams.events("bidding.comparisons")


@aggregation_events.handle
async def learn_of_group(event: GroupOpened, tx: Tx, publish: Publish) -> None:
    """Keep the group's name and its coordinator."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.set_opened(tx, event)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


@aggregation_events.handle
async def welcome_buyer(event: BuyerJoined, tx: Tx, publish: Publish) -> None:
    """Keep the buyer's identity for the winner, and write to its contact."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_joining(tx, event, publish.cause)
    await store.add_mails(tx, [domain.mail_about_joining(event, publish.cause)], publish.now)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


@aggregation_events.handle
async def learn_of_membership(event: GroupAggregated, tx: Tx, publish: Publish) -> None:
    """Keep who belongs to the frozen group."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.set_members(tx, event)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


@contacts.handle
async def learn_how_to_reach_person(event: ContactRecorded, tx: Tx) -> None:
    """Keep a person's name and address; mails that waited for them are due."""
    await store.set_contact(tx, event)


@credentials.handle
async def send_initial_password(event: CredentialAssigned, tx: Tx, publish: Publish) -> None:
    """Queue the sealed password for its person."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_mails(tx, [domain.mail_with_password(event)], publish.now)


@rfp_events.handle
async def learn_of_request(event: RequestIssued, tx: Tx, publish: Publish) -> None:
    """Keep the title and the deadline of a version of the request."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_request(tx, event)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


@rfp_events.handle
async def tell_that_group_is_verified(event: GroupQualified, tx: Tx, publish: Publish) -> None:
    """Write to everyone in the group."""
    await keep_and_tell(event, tx, publish)


@rfp_events.handle
async def tell_that_group_is_not_verified(event: GroupNotQualified, tx: Tx, publish: Publish) -> None:
    """Write to the coordinator and the party concerned."""
    await keep_and_tell(event, tx, publish)


@rfp_events.handle
async def tell_that_verification_lapsed(event: QualificationLapsed, tx: Tx, publish: Publish) -> None:
    """Write to the coordinator."""
    await keep_and_tell(event, tx, publish)


@rfp_events.handle
async def tell_that_purchase_is_cancelled(event: RequestCancelled, tx: Tx, publish: Publish) -> None:
    """Write to everyone in the group; providers hear of it from distribution."""
    await keep_and_tell(event, tx, publish)


@distribution_events.handle
async def tell_that_providers_are_invited(event: RequestDistributed, tx: Tx, publish: Publish) -> None:
    """Write to everyone in the group."""
    await keep_and_tell(event, tx, publish)


@distribution_events.handle
async def learn_of_invitation(event: ProviderInvited, tx: Tx) -> None:
    """Keep who was invited, for the coordinator to see after the deadline."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_invitation(tx, event)


@distribution_events.handle
async def learn_of_access(event: AccessGranted, tx: Tx) -> None:
    """Keep who was shown the request that it had been offered, for the coordinator to see after the deadline."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_invitation(tx, event)


@distribution_events.handle
async def notify_of_refused_access(event: AccessRefused, tx: Tx, publish: Publish) -> None:
    """Tell the provider why it was shown nothing; nothing is kept of a purchase that may not exist."""
    if await store.note_refusal(tx, publish.cause):
        await publish.to_provider(event.provider_id, domain.notice_of_refusal(event))


@rfp_events.handle
async def learn_provider_name(event: ProviderRegistered, tx: Tx) -> None:
    """Keep the name that the coordinator knows a provider by."""
    await store.set_provider_name(tx, event)


@bidding_events.handle
async def tell_that_question_waits(event: QuestionReceived, tx: Tx, publish: Publish) -> None:
    """Write to the coordinator, who answers it to all."""
    await keep_and_tell(event, tx, publish)


@bidding_events.handle
async def tell_if_there_are_no_replies(event: RepliesOpened, tx: Tx, publish: Publish) -> None:
    """Write to everyone in the group if no reply stands."""
    await keep_and_tell(event, tx, publish)


@bidding_events.handle
async def tell_that_replies_are_compared(event: RepliesCompared, tx: Tx, publish: Publish) -> None:
    """Write the figures to the coordinator, and to each buyer's contact that buyer's own."""
    await keep_and_tell(event, tx, publish)


@comparisons.handle
async def learn_of_comparison(event: ComparisonPart, tx: Tx, publish: Publish) -> None:
    """Keep a part of the full comparison."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_comparison_part(tx, event)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


@bidding_events.handle
async def notify_winner_and_other_bidders(event: ProviderSelected, tx: Tx, publish: Publish) -> None:
    """Tell the winner who the buyers are, and at the same moment every other bidder its rank and why."""
    await keep_and_tell(event, tx, publish)


@bidding_events.handle
async def ask_coordinator_about_terms(event: TermsPresented, tx: Tx, publish: Publish) -> None:
    """Write to the coordinator which terms lie before the group."""
    await keep_and_tell(event, tx, publish)


@bidding_events.handle
async def tell_that_terms_are_accepted(event: TermsAccepted, tx: Tx, publish: Publish) -> None:
    """Notify the winner, and write to everyone in the group."""
    await keep_and_tell(event, tx, publish)


@bidding_events.handle
async def tell_that_terms_are_rejected(event: TermsRejected, tx: Tx, publish: Publish) -> None:
    """Notify the winner, and write to everyone in the group."""
    await keep_and_tell(event, tx, publish)


async def keep_and_tell(event: AboutPurchase, tx: asyncpg.Connection, publish: Publisher) -> None:
    """Keep a fact, and tell whatever is complete now."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_fact(tx, event.purchase_id, Fact(publish.cause, event))
    await tell_what_can_be_told(tx, publish, event.purchase_id)


async def tell_what_can_be_told(tx: asyncpg.Connection, publish: Publisher, purchase_id: UUID) -> None:
    """Tell every waiting fact whose last missing piece has arrived.

    Ids derive from the fact and not from the piece that completed it: another order of arrival says the same.
    """
    facts = await store.untold_facts(tx, purchase_id)
    if not facts:
        return
    known = await _known(tx, purchase_id)
    for fact in domain.in_order_of_telling(facts):
        told = domain.tell(fact, known)
        if told is None:
            continue
        await publish.many(
            [Outgoing(notice, fact.cause_id, provider_id) for provider_id, notice in told.notices]
        )
        await store.add_mails(tx, told.mails, publish.now)
        await store.set_told(tx, fact.cause_id, publish.now)
        known = replace(known, awards_told=await store.awards_told(tx, purchase_id))


async def _known(tx: asyncpg.Connection, purchase_id: UUID) -> Known:
    purchase = await store.lock_purchase(tx, purchase_id)
    complete = await store.complete_comparisons(tx, purchase_id)
    return Known(
        purchase_id=purchase_id,
        coordinator_id=purchase.coordinator_id,
        member_ids=purchase.member_ids,
        buyers=await store.buyers(tx, purchase_id),
        requests=await store.requests(tx, purchase_id),
        comparisons={
            manifest.sha256: Comparison.model_validate_json(documents.join(manifest, parts))
            for manifest, parts in complete
        },
        awards_told=await store.awards_told(tx, purchase_id),
        invitations=await store.invitations(tx, purchase_id),
        opened=await store.replies_opened(tx, purchase_id),
    )
