"""A group must become large enough in time; one that is given up takes nothing more."""

from datetime import timedelta
from uuid import UUID

import asyncpg

from services.aggregation.domain import groups, minimum
from services.aggregation.handlers.streams import commands, timers
from services.aggregation.store import groups as store
from services.aggregation.store import minimum as minimums
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.aggregation import (
    AggregationEvent,
    DissolveGroup,
    GroupDissolved,
    MinimumMissed,
    MinimumSet,
    SetMinimum,
)
from shared.outbox import Publisher
from shared.outcomes import Refusal
from shared.timers import Timer, cancel, schedule

DECIDE = "minimum"
"""The kind of the timer that asks whether a group has become large enough."""
PAUSE = timedelta(seconds=2)


@commands.handle
async def set_minimum(command: SetMinimum, actor: CurrentActor, tx: Tx, publish: Publish) -> Refusal | None:
    """Keep how large the group must become, until when, and what follows if it does not."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = groups.may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    refusal = minimum.may_set(group, command, publish.now)
    if refusal is not None:
        return refusal
    await minimums.keep_minimum(tx, command)
    await schedule(tx, kind=DECIDE, subject=command.subject, due_at=command.decide_by)
    await publish(
        MinimumSet(
            purchase_id=command.purchase_id,
            buyers=command.buyers,
            lines=command.lines,
            decide_by=command.decide_by,
            otherwise=command.otherwise,
        )
    )
    return None


@commands.handle
async def dissolve_group(
    command: DissolveGroup, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | None:
    """Give the group up."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = groups.may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    refusal = groups.may_change(group)
    if refusal is not None:
        return refusal
    await _dissolve(tx, publish, command.purchase_id, command.reason)
    return None


@timers.handle(DECIDE)
async def miss_minimum(timer: Timer, tx: asyncpg.Connection, publish: Publisher) -> None:
    """Say that the group is too small now that its time is over, and give it up where that was to follow."""
    purchase_id = UUID(timer.subject)
    group = await store.lock_group(tx, purchase_id)
    needed = await minimums.minimum(tx, purchase_id)
    if group is None or needed is None or groups.may_change(group) is not None:
        return
    decided = publish.deciding("minimum", purchase_id, needed.decide_by.isoformat())
    if await _facts_come_again(tx, decided, purchase_id):
        await schedule(tx, kind=DECIDE, subject=timer.subject, due_at=publish.started_at + PAUSE)
        return
    size = await minimums.size(tx, purchase_id)
    if minimum.is_reached(needed, size):
        return
    await decided(
        MinimumMissed(
            purchase_id=purchase_id, buyers=size.buyers, lines=size.lines, otherwise=needed.otherwise
        )
    )
    if needed.otherwise == "dissolve":
        await _dissolve(tx, decided, purchase_id, "The group has not become as large as it had to.")


async def _dissolve(tx: asyncpg.Connection, publish: Publisher, purchase_id: UUID, reason: str) -> None:
    await store.dissolve_group(tx, purchase_id, publish.now)
    await cancel(tx, kind=DECIDE, subject=str(purchase_id))
    await publish(GroupDissolved(purchase_id=purchase_id, reason=reason))


async def _facts_come_again(tx: asyncpg.Connection, decided: Publisher, purchase_id: UUID) -> bool:
    """Whether facts about the group that were said before a restore, and before this decision, are not known here again yet.

    A time that is over is due at once after a restore; the group must not be found too small before its buyers are back.
    """
    own = decided.adoptions.of_decision(decided.decision or decided.cause)
    first = min((one.sequence for one in own), default=None)
    earlier = [
        one.event_id
        for one in decided.adoptions.events.values()
        if one.stream == AggregationEvent.stream
        and one.subject == str(purchase_id)
        and (first is None or one.sequence < first)
    ]
    return await minimums.count_logged(tx, earlier) < len(earlier)
