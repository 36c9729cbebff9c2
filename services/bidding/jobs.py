"""What bidding does when nothing arrives: judge what was held, close boxes, and open them.

Each step looks at the tables, decides in one transaction, and may be repeated or interrupted anywhere.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from uuid import UUID

import asyncpg
import structlog
from aiokafka import TopicPartition

from services.bidding import intake, reading
from services.bidding.concerns import Concerns
from services.bidding.domain.box import Box, Place, Request, is_passed, may_read_ends, open_box
from services.bidding.domain.intake import Arrival, Sender
from services.bidding.settings import Settings
from services.bidding.store import boxes as box_store
from services.bidding.store import held as held_store
from services.bidding.store.held import HeldMessage
from shared.messages.bidding import OpenedReply, RepliesOpened, ReplyDisqualified
from shared.outbox import Outgoing
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

RFP_CONSUMER = "bidding.rfp.events"
REPLIES_CONSUMER = "bidding.replies"
HELD_AT_A_TIME = 500
LEAST_PAUSE_S = 0.2
"""Between two rounds of a job, however often it is woken."""
END_UNKNOWN = "replies_end_unknown"
NOT_ALL_TAKEN = "not_all_taken"
log = structlog.get_logger()


def settings_of(runtime: Runtime) -> Settings:
    """Return this service's settings.

    Raises:
        TypeError: they are another service's.
    """
    if not isinstance(runtime.settings, Settings):
        raise TypeError("these are another service's settings")
    return runtime.settings


async def tend_boxes(runtime: Runtime) -> None:
    """Judge held messages and close boxes, for as long as the service runs."""
    pause = settings_of(runtime).job_pause_s
    about_held, about_boxes = Concerns(), Concerns()
    while True:
        try:
            await tend_once(runtime, about_held, about_boxes)
        except TRANSIENT as error:
            log.warning("boxes wait", error=type(error).__name__)
        # What this job commits wakes it too.
        await asyncio.sleep(LEAST_PAUSE_S)
        await runtime.wait_for_work(pause)


async def tend_once(runtime: Runtime, about_held: Concerns, about_boxes: Concerns) -> None:
    """Judge held messages, then close boxes even where that failed.

    Raises:
        TRANSIENT: the database or the broker is away; what is left waits for the next round.
    """
    try:
        await judge_held_messages(runtime, about_held)
    except TRANSIENT:
        raise
    except Exception as error:  # noqa: BLE001 # whatever is wrong with held messages must not keep boxes shut
        if about_boxes.is_news("held messages", type(error).__name__):
            runtime.metrics.alarm("held_not_judged", error=type(error).__name__)
    await close_boxes(runtime, about_boxes)


async def judge_held_messages(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Set a checkpoint for what was held since, and judge what can be judged; return how many were answered.

    What fails stays held, with all that its sender says about the purchase, and is alarmed if `concerns` do not know.
    """
    concerns = concerns or Concerns()
    if not await held_store.has_any_held(runtime.pool):
        concerns.keep_only(())
        return 0
    await _set_checkpoint(runtime, concerns)
    topic = runtime.settings.topic_prefix + "rfp.events"
    answered = 0
    failed: dict[UUID, Sender] = {}
    while True:
        # Positions before boxes: what a passed position brought is then seen.
        positions = await box_store.positions(runtime.pool, RFP_CONSUMER, [topic])
        checkpoints = await held_store.checkpoints(runtime.pool)
        passed = {number for number, ends in checkpoints.items() if is_passed(ends, positions)}
        put_aside = _purchases(await box_store.parked_keys(runtime.pool, RFP_CONSUMER))
        held = await held_store.judgeable(
            runtime.pool, passed, put_aside, set(failed.values()), HELD_AT_A_TIME
        )
        final = {one.id for one in held if one.checkpoint in passed and one.purchase_id not in put_aside}
        arrivals, failed_now = _arrivals(runtime, held, concerns)
        answered_now = await _judge(runtime, arrivals, final, failed_now, concerns)
        answered += answered_now
        failed |= failed_now
        if not failed_now and (not answered_now or len(held) < HELD_AT_A_TIME):
            concerns.keep_only([*failed, "rfp.events"])
            return answered


def _arrivals(
    runtime: Runtime, held: Sequence[HeldMessage], concerns: Concerns
) -> tuple[list[Arrival], dict[UUID, Sender]]:
    """Read kept messages again; return also those that cannot be read, behind which their senders' others wait."""
    arrivals: list[Arrival] = []
    failed: dict[UUID, Sender] = {}
    for one in held:
        sender = (one.purchase_id, one.provider_id)
        if sender in failed.values():
            continue
        try:
            arrivals.append(_arrival(one))
        except Exception as error:  # noqa: BLE001 # one kept message must not stop the others
            failed[one.id] = sender
            _alarm_held(runtime, one.id, one.purchase_id, error, concerns)
    return arrivals, failed


async def _judge(
    runtime: Runtime,
    arrivals: Sequence[Arrival],
    final: Collection[UUID],
    failed: dict[UUID, Sender],
    concerns: Concerns,
) -> int:
    """Judge all in one transaction or, should that fail, those of each purchase in their own; add what failed."""
    try:
        return await _judge_together(runtime, arrivals, final)
    except TRANSIENT:
        raise
    except Exception as error:  # noqa: BLE001 # which purchase it is shows when each is judged by itself
        log.info("held messages are judged apart", error=type(error).__name__)
    answered = 0
    for purchase_id in dict.fromkeys(one.purchase_id for one in arrivals if one.purchase_id):
        its = [one for one in arrivals if one.purchase_id == purchase_id]
        try:
            answered += await _judge_together(runtime, its, final)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # one purchase must not stop the others
            failed |= {one.id: (purchase_id, one.provider_id) for one in its}
            _alarm_held(runtime, its[0].id, purchase_id, error, concerns)
    return answered


async def _judge_together(runtime: Runtime, arrivals: Sequence[Arrival], final: Collection[UUID]) -> int:
    if not arrivals:
        return 0
    try:
        async with runtime.decide("held") as (tx, publish):
            answered = await intake.judge_held(tx, publish, arrivals, final=final)
            if not answered:
                raise _NothingToSayError
    except _NothingToSayError:
        return 0
    return answered


class _NothingToSayError(Exception):
    """Leaves a decision without a commit, which would wake the job that found nothing to do."""


def _alarm_held(runtime: Runtime, id_: UUID, purchase_id: UUID, error: Exception, concerns: Concerns) -> None:
    if concerns.is_news(id_, type(error).__name__):
        runtime.metrics.alarm(
            "held_not_judged", message=id_, purchase=purchase_id, error=type(error).__name__
        )


async def _set_checkpoint(runtime: Runtime, concerns: Concerns) -> None:
    """Note where rfp.events ends now: what it knew of purchases when a message was held lies before that."""
    newest = await held_store.newest_unchecked(runtime.pool)
    if newest is None:
        return
    ends = await _ends(runtime, ["rfp.events"])
    if ends is None:
        if concerns.is_news("rfp.events", "end unknown"):
            log.warning("no end known", stream="rfp.events")
        return
    async with runtime.decide("checkpoint", newest) as (tx, _):
        await held_store.set_checkpoint(tx, newest, ends)


async def close_boxes(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Close and open each box whose time has come; return how many were opened.

    Why a box stays shut is said if `concerns` do not know it yet; one that fails is alarmed, and the next one follows.
    """
    concerns = concerns or Concerns()
    opened = 0
    closing = await box_store.purchases_in(runtime.pool, "closing")
    for purchase_id in closing:
        try:
            shut = await _close(runtime, purchase_id)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # one purchase must not keep the others' boxes shut
            if concerns.is_news(purchase_id, type(error).__name__):
                runtime.metrics.alarm("box_not_closed", purchase=purchase_id, error=type(error).__name__)
            continue
        if shut is None:
            opened += 1
        elif concerns.is_news(purchase_id, shut):
            log.info("box stays shut", purchase=str(purchase_id), why=shut)
            if shut == END_UNKNOWN:
                runtime.metrics.alarm(END_UNKNOWN, purchase=purchase_id)
    concerns.keep_only([*closing, "held messages"])
    return opened


async def _close(runtime: Runtime, purchase_id: UUID) -> str | None:
    """Open the box, or return why it stays shut."""
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
    return None if await _open_if_all_is_taken(runtime, box) else NOT_ALL_TAKEN


async def _note_closing_ends(runtime: Runtime, box: Box, request: Request) -> str | None:
    allowance = timedelta(seconds=settings_of(runtime).skew_allowance_s)
    not_yet = may_read_ends(box, await box_store.now(runtime.pool), skew=runtime.skew, allowance=allowance)
    if not_yet is not None:
        return not_yet.reason
    ends = await _ends(runtime, [f"replies.{provider}" for provider in sorted(request.provider_ids)])
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


async def _open_if_all_is_taken(runtime: Runtime, seen: Box) -> bool:
    purchase_id, request = seen.purchase_id, seen.request
    if request is None:
        return False
    async with runtime.decide("open", purchase_id, request.version) as (tx, publish):
        # Whoever puts something into this box holds it until the commit: so all of it is seen from here on.
        box = await box_store.lock_box(tx, purchase_id)
        if box.stage != "closing" or box.request != request or not await _is_all_taken(tx, box):
            return False
        opening = open_box(
            request,
            await box_store.stored_replies(tx, purchase_id),
            await box_store.declined(tx, purchase_id),
        )
        await box_store.save_opening(tx, opening)
        await box_store.save_box(tx, replace(box, opened_at=publish.now))
        await publish(
            RepliesOpened(
                purchase_id=purchase_id,
                request_version=request.version,
                replies=tuple(
                    OpenedReply(
                        reply_id=one.reply.reply_id,
                        provider_id=one.reply.provider_id,
                        revision=one.reply.revision,
                        appended_at=one.reply.appended_at,
                        standing=one.standing,
                        reason=one.reason,
                    )
                    for one in opening.listed
                ),
                declined=opening.declined,
            )
        )
        await publish.many(
            [
                Outgoing(
                    ReplyDisqualified(
                        purchase_id=purchase_id, reply_id=one.reply.reply_id, reason=one.reason or ""
                    ),
                    one.reply.reply_id,
                    one.reply.provider_id,
                )
                for one in opening.standings
                if one.standing == "invalid"
            ]
        )
    log.info("box opened", purchase=str(purchase_id), replies=len(opening.standings))
    return True


async def _ends(runtime: Runtime, topics: list[str]) -> dict[Place, int] | None:
    """Return where these topics end; None where the broker does not tell of every one of them."""
    if runtime.end_offsets is None:
        return None
    ends: dict[Place, int] = {}
    for topic in topics:
        found: dict[TopicPartition, int] = await runtime.end_offsets(topic)
        # A topic without partitions is one that the broker does not show: that says nothing about its end.
        if not found:
            return None
        ends |= {(place.topic, place.partition): end for place, end in found.items()}
    return ends


def _purchases(keys: Collection[bytes]) -> set[UUID]:
    purchases = set()
    for key in keys:
        try:
            purchases.add(UUID(key.decode("ascii", "replace")))
        except ValueError:
            continue
    return purchases


def _arrival(held: HeldMessage) -> Arrival:
    return Arrival(
        id=held.id,
        provider_id=held.provider_id,
        message_id=held.message_id,
        type=held.type,
        sha256=held.sha256,
        appended_at=held.appended_at.astimezone(UTC),
        body=held.body,
        word=reading.read_again(held.type, held.body),
    )
