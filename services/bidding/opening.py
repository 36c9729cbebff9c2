"""What bidding does with what the opener says: tell of boxes that have their key, and judge the replies of opened boxes."""

from dataclasses import replace
from functools import partial
from uuid import UUID

import asyncpg
import structlog

from services.bidding import reading
from services.bidding.concerns import Concerns, for_each
from services.bidding.domain.box import Box, NoOffer, StoredReply, open_box
from services.bidding.store import boxes as box_store
from services.bidding.store import seals as seal_store
from shared.messages.bidding import BidBoxReady, OpenedReply, RepliesOpened, ReplyDisqualified
from shared.messages.providers import Offer
from shared.outbox import Outgoing, Publisher
from shared.runtime import Runtime

DOES_NOT_OPEN = NoOffer("does not open with the key of this request, for this provider and this revision")
NOT_SEALED_TWICE = NoOffer(
    "does not open with the key of the request's custodian: an offer is sealed for the custodian first, then for the opener"
)
log = structlog.get_logger()


async def tell_of_keys(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Say of each version whose box has got its key that replies to it can be taken; return how many there were."""
    if not await seal_store.waits_for_keys(runtime.pool):
        return 0
    try:
        keys = await seal_store.new_keys(runtime.pool)
    except seal_store.NOT_THERE as error:
        if (concerns or Concerns()).is_news("opener", type(error).__name__):
            runtime.metrics.alarm("opener_never_ran", error=type(error).__name__)
        return 0
    for key in keys:
        async with runtime.decide("box ready", key.purchase_id, key.request_version) as (tx, publish):
            box = await box_store.lock_box(tx, key.purchase_id)
            # A newer version has a key of its own.
            if box.request is None or box.request.version != key.request_version:
                continue
            await box_store.save_box(tx, replace(box, ready_version=key.request_version))
            await publish(
                BidBoxReady(
                    purchase_id=key.purchase_id,
                    request_version=key.request_version,
                    seal="hpke",
                    public_key=key.public_key,
                    key_signature=key.key_signature,
                )
            )
    return len(keys)


async def judge_opened_boxes(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Judge the replies of each closed box that the opener has opened; return how many boxes there were.

    One that waits to be opened is logged if `concerns` do not know; one that fails is alarmed, and the next one follows.
    """
    concerns = concerns or Concerns()

    def alarm(purchase_id: UUID, error: str) -> None:
        runtime.metrics.alarm("box_not_judged", purchase=purchase_id, error=error)

    closed = await box_store.purchases_in(runtime.pool, "closed")
    outcomes = await for_each(closed, partial(_judge_if_opened, runtime), concerns, alarm)
    for purchase_id, judged in outcomes.items():
        if not judged and concerns.is_news(purchase_id, "waits_to_be_opened"):
            log.info("box waits to be opened", purchase=str(purchase_id))
    concerns.keep_only([*closed, "opener"])
    return sum(outcomes.values())


async def _judge_if_opened(runtime: Runtime, purchase_id: UUID) -> bool:
    box = await box_store.look_at(runtime.pool, purchase_id)
    request = box.request
    if request is None or not await seal_store.is_opened(runtime.pool, purchase_id, request.version):
        return False
    async with runtime.decide("open", purchase_id, request.version) as (tx, publish):
        box = await box_store.lock_box(tx, purchase_id)
        if box.stage != "closed" or box.request != request:
            return False
        await judge_replies(tx, publish, box)
    return True


async def judge_replies(tx: asyncpg.Connection, publish: Publisher, box: Box) -> None:
    """Decide what becomes of each reply in a locked, closed box, save and say it."""
    purchase_id, request = box.purchase_id, box.request
    if request is None:
        raise ValueError("a box without a request is never closed")
    opening = open_box(
        request,
        await replies_in(tx, box),
        await box_store.declined(tx, purchase_id),
        await box_store.acknowledged(tx, purchase_id),
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
            acknowledged=opening.acknowledged,
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


async def replies_in(
    connection: asyncpg.Connection | asyncpg.Pool, box: Box, *, standing: str | None = None
) -> list[StoredReply]:
    """Return the replies in a box, all of them or those that stand so, with what they offer as far as it is known."""
    if box.request is None or box.request.seal == "none":
        return await box_store.stored_replies(connection, box.purchase_id, standing=standing)
    found = await seal_store.sealed_replies(connection, box.purchase_id, standing=standing)
    return [
        reply if opening is None else replace(reply, offer=_offer_in(opening)) for reply, opening in found
    ]


def _offer_in(opening: seal_store.Opening) -> Offer | NoOffer:
    if opening.content is None:
        return NOT_SEALED_TWICE if opening.failure == seal_store.NOT_SEALED_TWICE else DOES_NOT_OPEN
    return reading.read_offer(opening.content)
