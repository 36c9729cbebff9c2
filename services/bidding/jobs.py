"""What bidding does when nothing arrives: judge what was held, close boxes, and open them.

Each step looks at the tables, decides in one transaction, and may be repeated or interrupted anywhere.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, timedelta
from uuid import UUID

import structlog
from aiokafka import TopicPartition

from services.bidding import intake, reading
from services.bidding.domain.box import Box, Place, is_passed, may_read_ends, open_box
from services.bidding.domain.intake import Arrival
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
    while True:
        try:
            await judge_held_messages(runtime)
            await close_boxes(runtime)
        except TRANSIENT as error:
            log.warning("boxes wait", error=type(error).__name__)
        await runtime.wait_for_work(pause)


async def judge_held_messages(runtime: Runtime) -> int:
    """Set a checkpoint for what was held since, and judge what can be judged; return how many were answered."""
    if not await held_store.has_any_held(runtime.pool):
        return 0
    await _set_checkpoint(runtime)
    topic = runtime.settings.topic_prefix + "rfp.events"
    answered = 0
    while True:
        # Positions before boxes: what a passed position brought is then seen.
        positions = await box_store.positions(runtime.pool, RFP_CONSUMER, [topic])
        checkpoints = await held_store.checkpoints(runtime.pool)
        passed = {number for number, ends in checkpoints.items() if is_passed(ends, positions)}
        put_aside = _purchases(await box_store.parked_keys(runtime.pool, RFP_CONSUMER))
        async with runtime.decide("held") as (tx, publish):
            held = await held_store.judgeable(tx, passed, put_aside, HELD_AT_A_TIME)
            final = {one.id for one in held if one.checkpoint in passed and one.purchase_id not in put_aside}
            answered_now = await intake.judge_held(tx, publish, [_arrival(one) for one in held], final=final)
        answered += answered_now
        if not answered_now or len(held) < HELD_AT_A_TIME:
            return answered


async def _set_checkpoint(runtime: Runtime) -> None:
    """Note where rfp.events ends now: what it knew of purchases when a message was held lies before that."""
    newest = await held_store.newest_unchecked(runtime.pool)
    if newest is None:
        return
    ends = await _ends(runtime, ["rfp.events"])
    if ends is not None:
        async with runtime.decide("checkpoint", newest) as (tx, _):
            await held_store.set_checkpoint(tx, newest, ends)


async def close_boxes(runtime: Runtime) -> int:
    """Close and open each box whose time has come; return how many were opened."""
    opened = 0
    for box in await box_store.boxes_in(runtime.pool, "closing"):
        if box.closing_ends is None and not await _note_closing_ends(runtime, box):
            continue
        opened += await _open_if_all_is_taken(runtime, box)
    return opened


async def _note_closing_ends(runtime: Runtime, box: Box) -> bool:
    allowance = timedelta(seconds=settings_of(runtime).skew_allowance_s)
    not_yet = may_read_ends(box, await box_store.now(runtime.pool), skew=runtime.skew, allowance=allowance)
    if not_yet is not None or box.request is None:
        log.info("box stays shut", purchase=str(box.purchase_id), why=not_yet and not_yet.reason)
        return False
    ends = await _ends(runtime, [f"replies.{provider}" for provider in sorted(box.request.provider_ids)])
    if ends is None:
        runtime.metrics.alarm("replies_end_unknown", purchase=box.purchase_id)
        return False
    async with runtime.decide("closing ends", box.purchase_id) as (tx, _):
        locked = await box_store.lock_box(tx, box.purchase_id)
        if locked.stage != "closing" or locked.request != box.request:
            return False
        await box_store.save_box(tx, replace(locked, closing_ends=ends))
    return True


async def _open_if_all_is_taken(runtime: Runtime, seen: Box) -> bool:
    purchase_id, request = seen.purchase_id, seen.request
    if request is None:
        return False
    async with runtime.decide("open", purchase_id, request.version) as (tx, publish):
        # Whoever puts something into this box holds it until the commit: so all of it is seen from here on.
        box = await box_store.lock_box(tx, purchase_id)
        if box.stage != "closing" or box.request != request or box.closing_ends is None:
            return False
        topics = {topic for topic, _ in box.closing_ends}
        positions = await box_store.positions(tx, REPLIES_CONSUMER, topics)
        parked = await box_store.parked_keys(tx, REPLIES_CONSUMER)
        if (
            not is_passed(box.closing_ends, positions)
            or parked & {topic.encode() for topic in topics}
            or await held_store.has_held_in_time(tx, purchase_id, request.provider_ids, request.deadline)
        ):
            log.info("box stays shut", purchase=str(purchase_id), why="not_all_taken")
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
            log.warning("no end known", stream=topic if topic == "rfp.events" else "replies")
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
