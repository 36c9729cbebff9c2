"""What the group becomes is learnt: its people, its buyers, their evidence and usage; frozen, it makes the draft."""

from services.rfp import domain, findings, store, verifying
from services.rfp.handlers.streams import Policy, aggregation_events, aggregation_usage
from shared.delivery import Publish, Tx
from shared.messages.aggregation import (
    BuyerJoined,
    GroupAggregated,
    GroupDissolved,
    GroupOpened,
    UsageLinesReported,
)
from shared.messages.evidence import EvidenceFiled, LetterFiled
from shared.messages.people import AddressConfirmed, BuyerInvited
from shared.messages.rfp import RequestDrafted
from shared.outcomes import NotYet, Refusal


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
async def draft_request(event: GroupAggregated, tx: Tx, publish: Publish, policy: Policy) -> None:
    """Make the draft from the frozen group."""
    request = await store.lock_or_add_request(tx, event.purchase_id)
    state = domain.move(request, "draft")
    if isinstance(state, Refusal | NotYet):
        return
    asked = verifying.policy_before(publish) or policy
    await store.keep_aggregated(tx, event, state, asked)
    await publish(
        RequestDrafted(
            purchase_id=event.purchase_id,
            snapshot=event.snapshot,
            usage_digest=event.usage_digest,
            policy=asked,
        )
    )
    await verifying.judge_pending(tx, publish, await store.lock_or_add_request(tx, event.purchase_id))


@aggregation_events.handle
async def stop_request(event: GroupDissolved, tx: Tx, publish: Publish) -> None:
    """A group that was given up asks for nothing."""
    await store.lock_or_add_request(tx, event.purchase_id)
    await store.keep_dissolved(tx, event.purchase_id, publish.cause)


@aggregation_events.handle
async def learn_evidence(event: EvidenceFiled, tx: Tx) -> None:
    """Keep that there is a document about a party, which a finding can cite."""
    await findings.add_evidence(tx, event.purchase_id, event.party, event.party_id, event.sha256)


@aggregation_events.handle
async def learn_letter(event: LetterFiled, tx: Tx) -> None:
    """Keep that there is a buyer's letter of agency, which a finding can cite."""
    await findings.add_evidence(tx, event.purchase_id, "buyer", event.buyer_id, event.sha256)


@aggregation_events.handle
async def learn_address(event: AddressConfirmed, tx: Tx) -> None:
    """Keep that a person's mail address is confirmed."""
    await findings.confirm_address(tx, event.person_id)


@aggregation_events.handle
async def learn_invited(event: BuyerInvited, tx: Tx) -> None:
    """Keep who was invited into the group: an officer who was must not verify it."""
    await findings.add_invited(tx, event.purchase_id, event.contact_id)


@aggregation_usage.handle
async def keep_usage(event: UsageLinesReported, tx: Tx) -> None:
    """Keep this service's own copy of the lines; whether they count, the frozen group says."""
    await store.add_usage_part(tx, event)
