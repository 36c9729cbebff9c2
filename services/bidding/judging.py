"""Judging held messages: once their sender is listed, or once no list that names it can come any more."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC
from uuid import UUID

import structlog
from aiokafka import TopicPartition

from services.bidding import intake, reading
from services.bidding.concerns import Concerns
from services.bidding.domain.arrivals import Arrival, Sender
from services.bidding.domain.box import Place, is_passed
from services.bidding.settings import settings_of
from services.bidding.store import boxes as box_store
from services.bidding.store import held as held_store
from services.bidding.store.held import HeldMessage
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

RFP_CONSUMER = "bidding.rfp.events"
HELD_AT_A_TIME = 500
log = structlog.get_logger()


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
    answered = 0
    rules = intake.Rules.of(settings_of(runtime))
    with suppress(_NothingToSayError):
        async with runtime.decide("held") as (tx, publish):
            answered = await intake.judge_held(tx, publish, arrivals, rules, final=final)
            if not answered:
                raise _NothingToSayError
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
    ends = await known_ends(runtime, ["rfp.events"])
    if ends is None:
        if concerns.is_news("rfp.events", "end unknown"):
            log.warning("no end known", stream="rfp.events")
        return
    async with runtime.decide("checkpoint", newest) as (tx, _):
        await held_store.set_checkpoint(tx, newest, ends)


async def known_ends(runtime: Runtime, topics: list[str]) -> dict[Place, int] | None:
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
        word=reading.read_again(held.purchase_id, held.type, held.body),
    )
