"""Terms that wait for their document too long, or for nothing any more, get their rejection."""

import asyncio
from datetime import datetime

import asyncpg
import structlog
from prometheus_client import Gauge

from services.bidding import intake
from services.bidding.adopting import answered_before
from services.bidding.concerns import Concerns
from services.bidding.domain.arrivals import Rejection
from services.bidding.domain.box import Box
from services.bidding.domain.intake import Judgement
from services.bidding.domain.rejections import CANCELLED, INCOMPLETE
from services.bidding.jobs import LEAST_PAUSE_S
from services.bidding.settings import settings_of
from services.bidding.store import boxes as box_store
from services.bidding.store import terms as store
from services.bidding.store.terms import Waiting
from services.bidding.terms import arrival_of
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

log = structlog.get_logger()


async def tend_waiting_terms(runtime: Runtime) -> None:
    """Let terms lapse for as long as the service runs; how many wait is a figure, and in the log which."""
    pause = settings_of(runtime).job_pause_s
    concerns = Concerns()
    waiting = Gauge(
        "linepool_bidding_terms_waiting_for_document",
        "Proposed terms of whose document parts are missing.",
        registry=runtime.metrics.registry,
    )
    try:
        while True:
            try:
                await let_terms_lapse(runtime, waiting, concerns)
            except TRANSIENT as error:
                log.warning("waiting terms wait", error=type(error).__name__)
            await asyncio.sleep(LEAST_PAUSE_S)
            await runtime.wait_for_work(pause)
    finally:
        # The job begins again after a fault, and then registers its figure anew.
        runtime.metrics.registry.unregister(waiting)


async def let_terms_lapse(
    runtime: Runtime, waiting: Gauge | None = None, concerns: Concerns | None = None
) -> int:
    """Reject what waits in vain; return how many there were. One that fails stops no other."""
    concerns = concerns or Concerns()
    still_waiting = await store.waiting(runtime.pool)
    now = await box_store.now(runtime.pool)
    lapsed = 0
    for one in still_waiting:
        try:
            box = await box_store.look_at(runtime.pool, one.purchase_id)
            if lapses(one, box, now) is not None:
                lapsed += await _reject(runtime, one, now)
            elif concerns.is_news(one.id, "document_incomplete"):
                log.info("terms wait for their document", purchase=str(one.purchase_id), terms=str(one.id))
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # one purchase must not keep the others from their answer
            if concerns.is_news(one.id, type(error).__name__):
                runtime.metrics.alarm(
                    "terms_not_lapsed", purchase=one.purchase_id, error=type(error).__name__
                )
    concerns.keep_only([one.id for one in still_waiting])
    if waiting is not None:
        waiting.set(len(still_waiting) - lapsed)
    return lapsed


async def reject_terms_as_before(runtime: Runtime) -> None:
    """Give terms that wait the rejection that they had before the database was restored: what led to it may not come again."""
    for seen in await store.waiting(runtime.pool):
        arrival = arrival_of(seen)
        before = answered_before(runtime.adoptions, [arrival]).get(arrival.id)
        if before is None or not isinstance(before.answer, Rejection):
            continue
        async with runtime.decide("terms lapse", seen.id) as (tx, publish):
            await box_store.lock_box(tx, seen.purchase_id)
            await store.stop_waiting(tx, seen.id)
            rules = intake.Rules.of(settings_of(runtime))
            await intake.answer(tx, publish.answering(), [Judgement(arrival, before.answer)], rules)


def lapses(waiting: Waiting, box: Box, now: datetime) -> Rejection | None:
    """Decide whether terms wait in vain."""
    if box.stage == "cancelled":
        return CANCELLED
    return INCOMPLETE if waiting.waits_until <= now else None


async def _reject(runtime: Runtime, seen: Waiting, now: datetime) -> bool:
    arrival = arrival_of(seen)
    if answered_before(runtime.adoptions, [arrival]):
        # They lay before the group before the database was restored, and all their parts will come again.
        return False
    async with runtime.decide("terms lapse", seen.id) as (tx, publish):
        box = await box_store.lock_box(tx, seen.purchase_id)
        rejection = lapses(seen, box, now)
        if rejection is None or not await _still_waits(tx, seen):
            return False
        await store.stop_waiting(tx, seen.id)
        rules = intake.Rules.of(settings_of(runtime))
        await intake.answer(tx, publish.answering(), [Judgement(arrival, rejection)], rules)
    log.info("terms lapsed", purchase=str(seen.purchase_id), reason=rejection.reason)
    return True


async def _still_waits(tx: asyncpg.Connection, seen: Waiting) -> bool:
    return any(one.id == seen.id for one in await store.waiting(tx, [seen.purchase_id]))
