"""A purchase goes on: each fact is kept, and told when all it takes is known."""

from services.notification.domain import personal, telling
from services.notification.handlers.streams import (
    aggregation_events,
    bidding_events,
    comparisons,
    distribution_events,
    rfp_events,
)
from services.notification.handlers.telling import keep_and_tell, tell_what_can_be_told
from services.notification.store import facts as store
from services.notification.store import mails
from shared.delivery import Publish, Tx
from shared.messages.aggregation import (
    BuyerJoined,
    BuyerLeft,
    GroupAggregated,
    GroupDissolved,
    GroupOpened,
    MinimumMissed,
    MinimumSet,
)
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
    DeadlinePassed,
    GroupNotQualified,
    GroupQualified,
    ProviderRegistered,
    QualificationLapsed,
    RequestCancelled,
    RequestIssued,
)


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
    await mails.add_mails(tx, [personal.mail_about_joining(event, publish.cause)], publish.now)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


@aggregation_events.handle
async def learn_of_leaving(event: BuyerLeft, tx: Tx, publish: Publish) -> None:
    """Keep that the buyer is no member any more."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.end_joining(tx, event, publish.cause)


@aggregation_events.handle
async def learn_of_minimum(event: MinimumSet, tx: Tx) -> None:
    """Keep how large the group must become, and until when."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.set_minimum(tx, event)


@aggregation_events.handle
async def tell_that_minimum_is_missed(event: MinimumMissed, tx: Tx, publish: Publish) -> None:
    """Write to everyone in the group what happens now, unless it is given up at once."""
    await keep_and_tell(event, tx, publish)


@aggregation_events.handle
async def tell_that_group_is_dissolved(event: GroupDissolved, tx: Tx, publish: Publish) -> None:
    """Write to everyone in the group why it is given up."""
    await keep_and_tell(event, tx, publish)


@aggregation_events.handle
async def learn_of_membership(event: GroupAggregated, tx: Tx, publish: Publish) -> None:
    """Keep who belongs to the frozen group."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.set_members(tx, event)
    await tell_what_can_be_told(tx, publish, event.purchase_id)


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


@rfp_events.handle
async def ask_coordinator_for_custodians_key(event: DeadlinePassed, tx: Tx, publish: Publish) -> None:
    """Write to the coordinator that the replies cannot be opened without it, where the request names a custodian."""
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
        await publish.to_provider(event.provider_id, telling.notice_of_refusal(event))


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
