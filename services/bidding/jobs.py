"""What bidding does when nothing arrives: judge what was held, and tend boxes from their key to their opening.

Each step looks at the tables, decides in one transaction, and may be repeated or interrupted anywhere.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import structlog

from services.bidding.concerns import Concerns, for_each
from services.bidding.domain.box import Box, Request, is_passed, may_read_ends
from services.bidding.judging import judge_held_messages, known_ends
from services.bidding.opening import judge_opened_boxes, judge_replies, tell_of_keys
from services.bidding.settings import settings_of
from services.bidding.store import boxes as box_store
from services.bidding.store import held as held_store
from shared import clock_skew
from shared.envelope import derived_id
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

REPLIES_CONSUMER = "bidding.replies"
LEAST_PAUSE_S = 0.2
"""Between two rounds of a job, however often it is woken."""
END_UNKNOWN = "replies_end_unknown"
NOT_ALL_TAKEN = "not_all_taken"
log = structlog.get_logger()


async def tend_boxes(runtime: Runtime) -> None:
    """Judge held messages, and tend boxes from their key to their opening, for as long as the service runs."""
    pause = settings_of(runtime).job_pause_s
    about_held, about_boxes, about_seals = Concerns(), Concerns(), Concerns()
    while True:
        try:
            await tend_once(runtime, about_held, about_boxes, about_seals)
        except TRANSIENT as error:
            log.warning("boxes wait", error=type(error).__name__)
        # What this job commits wakes it too.
        await asyncio.sleep(LEAST_PAUSE_S)
        await runtime.wait_for_work(pause)


async def tend_once(
    runtime: Runtime, about_held: Concerns, about_boxes: Concerns, about_seals: Concerns | None = None
) -> None:
    """Judge held messages, then tend boxes even where that failed.

    Raises:
        TRANSIENT: the database or the broker is away; what is left waits for the next round.
    """
    try:
        await judge_held_messages(runtime, about_held)
    except TRANSIENT:
        raise
    except Exception as error:  # noqa: BLE001 # whatever is wrong with held messages must not keep boxes shut
        if about_held.is_news("held messages", type(error).__name__):
            runtime.metrics.alarm("held_not_judged", error=type(error).__name__)
    about_seals = about_seals or Concerns()
    await tell_of_keys(runtime, about_seals)
    await close_boxes(runtime, about_boxes)
    await judge_opened_boxes(runtime, about_seals)


async def close_boxes(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Close each box whose time has come, and open those that are not sealed; return how many there were.

    Why a box stays shut is said if `concerns` do not know it yet; one that fails is alarmed, and the next one follows.
    """
    concerns = concerns or Concerns()

    def alarm(purchase_id: UUID, error: str) -> None:
        runtime.metrics.alarm("box_not_closed", purchase=purchase_id, error=error)

    closing = await box_store.purchases_in(runtime.pool, "closing")
    outcomes = await for_each(closing, partial(_close, runtime), concerns, alarm)
    for purchase_id, shut in outcomes.items():
        if shut is not None and concerns.is_news(purchase_id, shut):
            log.info("box stays shut", purchase=str(purchase_id), why=shut)
            if shut == END_UNKNOWN:
                runtime.metrics.alarm(END_UNKNOWN, purchase=purchase_id)
    concerns.keep_only(closing)
    return list(outcomes.values()).count(None)


async def _close(runtime: Runtime, purchase_id: UUID) -> str | None:
    """Close the box, or return why it stays open to what is still on its way."""
    box = await box_store.look_at(runtime.pool, purchase_id)
    if box.request is None or box.stage != "closing":
        return "not_closing"
    if box.closing_ends is None:
        shut = await _note_closing_ends(runtime, box, box.request)
        if shut is not None:
            return shut
        box = await box_store.look_at(runtime.pool, purchase_id)
    # Without a lock first: it is asked in every round, and whoever puts something in is not to wait for that.
    if not await _is_all_taken(runtime.pool, box):
        return NOT_ALL_TAKEN
    return None if await _shut_if_all_is_taken(runtime, box) else NOT_ALL_TAKEN


async def _note_closing_ends(runtime: Runtime, box: Box, request: Request) -> str | None:
    allowance = timedelta(seconds=settings_of(runtime).skew_allowance_s)
    # What was opened before a restore was opened with the clocks compared; where all is adopted, nothing is sent to compare them.
    opened_before = runtime.adoptions.decided_at(
        derived_id(runtime.service, "open", box.purchase_id, request.version)
    )
    skew = timedelta(0) if opened_before else await clock_skew.measured(runtime.pool)
    not_yet = may_read_ends(box, await box_store.now(runtime.pool), skew=skew, allowance=allowance)
    if not_yet is not None:
        return not_yet.reason
    ends = await known_ends(runtime, [f"replies.{provider}" for provider in sorted(request.provider_ids)])
    if ends is None:
        return END_UNKNOWN
    async with runtime.decide("closing ends", box.purchase_id) as (tx, _):
        locked = await box_store.lock_box(tx, box.purchase_id)
        if locked.stage != "closing" or locked.request != request:
            return "not_closing"
        await box_store.save_box(tx, replace(locked, closing_ends=ends))
    return None


async def _is_all_taken(connection: asyncpg.Connection | asyncpg.Pool, box: Box) -> bool:
    """Whether nothing that was said in time is still on its way into this box."""
    if box.request is None or box.closing_ends is None:
        return False
    topics = {topic for topic, _ in box.closing_ends}
    positions = await box_store.positions(connection, REPLIES_CONSUMER, topics)
    parked = await box_store.parked_keys(connection, REPLIES_CONSUMER)
    return (
        is_passed(box.closing_ends, positions)
        and not parked & {topic.encode() for topic in topics}
        and not await held_store.has_held_in_time(
            connection, box.purchase_id, box.request.provider_ids, box.request.deadline
        )
    )


async def _shut_if_all_is_taken(runtime: Runtime, seen: Box) -> bool:
    purchase_id, request = seen.purchase_id, seen.request
    if request is None:
        return False
    sealed = request.seal == "hpke"
    # A box that is not sealed is opened in the transaction that closes it.
    decision = "close" if sealed else "open"
    async with runtime.decide(decision, purchase_id, request.version) as (tx, publish):
        # Whoever puts something into this box holds it until the commit: so all of it is seen from here on.
        box = await box_store.lock_box(tx, purchase_id)
        if box.stage != "closing" or box.request != request or not await _is_all_taken(tx, box):
            return False
        box = replace(box, closed_at=publish.now)
        if sealed:
            await box_store.save_box(tx, box)
        else:
            await judge_replies(tx, publish, box)
    log.info("box closed", purchase=str(purchase_id), sealed=sealed)
    return True
