"""The officer's findings are kept and judged; a qualification ends in time."""

from uuid import UUID

import asyncpg

from services.rfp import findings, store, verifying
from services.rfp.handlers.streams import timers, verifications
from services.rfp.qualification import may_verify
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.rfp import RecordVerification
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.timers import Timer


@verifications.handle
async def record_verification(
    command: RecordVerification, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Keep the officer's finding, and judge it once the whole group is known."""
    refusal = may_verify(actor)
    if refusal is not None:
        return refusal
    waits = await verifying.rests_on_facts(tx, publish, command)
    if waits is not None:
        return waits
    request = await store.lock_or_add_request(tx, command.purchase_id)
    added = await findings.add_verification(tx, command, cause_id=publish.cause, officer_id=actor.person_id)
    if added:
        await verifying.judge_pending(tx, publish, request)
    return None


@timers.handle(verifying.LAPSE)
async def lapse_qualification(timer: Timer, tx: asyncpg.Connection, publish: Publisher) -> None:
    """End a qualification whose time is over."""
    request = await store.lock_request(tx, UUID(timer.subject))
    if request is not None:
        await verifying.lapse(tx, publish, request)
