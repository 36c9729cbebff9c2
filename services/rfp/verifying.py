"""How the officer's findings become a qualification: they wait until the group is known, and are judged once, in order."""

import asyncpg

from services.rfp import domain, store
from services.rfp.qualification import FrozenGroup, Qualification, Said, judge
from services.rfp.qualification import lapse as lapse_qualification
from shared.messages.rfp import GroupQualified, QualificationLapsed, RecordVerificationRefused
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.timers import cancel, schedule

LAPSE = "lapse"
"""The kind of the timer that ends a qualification."""


async def judge_pending(tx: asyncpg.Connection, publish: Publisher, request: domain.Request) -> None:
    """Judge every finding that waits, once the group is frozen and the identities of all its members are known."""
    group = await _frozen_group(tx, request)
    if group is None:
        return
    before = standing = await store.qualification(tx, request.purchase_id)
    for verification in await store.verifications(tx, request.purchase_id, "pending"):
        # Whichever fact was the last to arrive: what follows from a finding carries ids of that finding.
        decided = publish.deciding("verification", verification.cause_id)
        judged = judge(group, standing, verification, decided.now)
        await store.settle_verification(tx, verification.cause_id, counts=not isinstance(judged, Refusal))
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
    before = await store.qualification(tx, request.purchase_id)
    after, said = lapse_qualification(group, before, publish.now)
    await _say(publish, publish, said)
    await _keep(tx, request, before, after)


async def _frozen_group(tx: asyncpg.Connection, request: domain.Request) -> FrozenGroup | None:
    members = domain.known_members(request.aggregated, await store.buyers(tx, request.purchase_id))
    if isinstance(members, NotYet) or request.aggregated is None:
        return None
    return FrozenGroup(
        purchase_id=request.purchase_id,
        snapshot=request.aggregated.snapshot,
        coordinator_id=request.aggregated.coordinator_id,
        buyer_ids=frozenset(one.buyer_id for one in members),
        contact_ids=frozenset(one.contact_id for one in members),
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
    await store.keep_qualification(tx, request.purchase_id, after)
    if after.valid_until is None:
        await cancel(tx, kind=LAPSE, subject=str(request.purchase_id))
    else:
        await schedule(tx, kind=LAPSE, subject=str(request.purchase_id), due_at=after.valid_until)
