"""How the officer's findings become a qualification: they wait until the group is known, and are judged once, in order."""

import asyncpg

from services.rfp import domain, findings, store
from services.rfp.qualification import FrozenGroup, Qualification, Said, judge
from services.rfp.qualification import lapse as lapse_qualification
from shared.messages.rfp import (
    GroupQualified,
    QualificationLapsed,
    QualificationPolicy,
    RecordVerification,
    RecordVerificationRefused,
    RequestDrafted,
)
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.timers import cancel, schedule

LAPSE = "lapse"
"""The kind of the timer that ends a qualification."""
BEFORE_LEVELS = QualificationPolicy(
    coordinator_level="registry_matched", buyer_level="registry_matched", buyers=1
)
"""What was asked for of groups that were frozen before a policy was kept with them."""


async def rests_on_facts(
    tx: asyncpg.Connection, publish: Publisher, finding: RecordVerification
) -> NotYet | None:
    """Whether the documents that a finding cites were filed about its party, and an address that it found is confirmed.

    What is not known here yet may be on its way on another topic. A finding that was judged before a restore is judged again.
    """
    if publish.deciding("verification", publish.cause).adopted_at:
        return None
    if not set(finding.evidence) <= await findings.filed(tx, finding):
        return NotYet("evidence_unknown", "A document that the finding cites was not filed about this party.")
    found_address = finding.method == "address" and finding.outcome == "verified"
    if found_address and not await findings.is_address_confirmed(tx, finding):
        return NotYet("address_unconfirmed", "The mail address of this party's person is not confirmed.")
    return None


def policy_before(publish: Publisher) -> QualificationPolicy | None:
    """Return the policy under which this decision drafted the request before a restore; the setting may have changed since."""
    for event in publish.adoptions.of_decision(publish.cause):
        if event.type == RequestDrafted.type():
            return RequestDrafted.model_validate_json(event.body).policy
    return None


async def judge_pending(tx: asyncpg.Connection, publish: Publisher, request: domain.Request) -> None:
    """Judge every finding that waits, once the group is frozen and the identities of all its members are known."""
    group = await _frozen_group(tx, request)
    if group is None:
        return
    before = standing = await findings.qualification(tx, request.purchase_id)
    for verification in await findings.verifications(tx, request.purchase_id, "pending"):
        # Whichever fact was the last to arrive: what follows from a finding carries ids of that finding.
        decided = publish.deciding("verification", verification.cause_id)
        judged = judge(group, standing, verification, decided.now)
        await findings.settle_verification(tx, verification.cause_id, counts=not isinstance(judged, Refusal))
        if isinstance(judged, Refusal):
            # Said here and not by returning a refusal: a finding may turn out not to count long after it was taken.
            await decided(
                RecordVerificationRefused(
                    purchase_id=request.purchase_id,
                    command_id=verification.cause_id,
                    reason=judged.reason,
                    detail=judged.detail,
                )
            )
        else:
            standing, said = judged
            await _say(publish, decided, said)
    await _keep(tx, request, before, standing)


async def lapse(tx: asyncpg.Connection, publish: Publisher, request: domain.Request) -> None:
    """End the qualification if its time is over; where newer findings carry on, the next one begins."""
    group = await _frozen_group(tx, request)
    if group is None:
        return
    before = await findings.qualification(tx, request.purchase_id)
    after, said = lapse_qualification(group, before, publish.now)
    await _say(publish, publish, said)
    await _keep(tx, request, before, after)


async def _frozen_group(tx: asyncpg.Connection, request: domain.Request) -> FrozenGroup | None:
    joined = await store.buyers(tx, request.purchase_id)
    members = domain.known_members(request.aggregated, joined)
    if isinstance(members, NotYet) or request.aggregated is None:
        return None
    return FrozenGroup(
        purchase_id=request.purchase_id,
        snapshot=request.aggregated.snapshot,
        coordinator_id=request.aggregated.coordinator_id,
        buyer_ids=frozenset(one.buyer_id for one in members),
        people=frozenset(one.contact_id for one in joined) | await findings.invited(tx, request.purchase_id),
        policy=request.policy or BEFORE_LEVELS,
    )


async def _say(publish: Publisher, decided: Publisher, said: list[Said]) -> None:
    for fact in said:
        match fact:
            case GroupQualified():
                await publish.deciding("qualified", fact.purchase_id, fact.number)(fact)
            case QualificationLapsed():
                await publish.deciding("lapsed", fact.purchase_id, fact.number)(fact)
            case _:
                await decided(fact)


async def _keep(
    tx: asyncpg.Connection, request: domain.Request, before: Qualification, after: Qualification
) -> None:
    if (before.number, before.valid_until) == (after.number, after.valid_until):
        return
    await findings.keep_qualification(tx, request.purchase_id, after)
    if after.valid_until is None:
        await cancel(tx, kind=LAPSE, subject=str(request.purchase_id))
    else:
        await schedule(tx, kind=LAPSE, subject=str(request.purchase_id), due_at=after.valid_until)
