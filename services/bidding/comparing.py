"""Having opened boxes evaluated: in a worker process, outside any transaction, then recorded in one."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process
from typing import NoReturn

import structlog
from prometheus_client import Gauge

from services.bidding.domain.box import Box
from services.bidding.evaluation import Evaluated, Task, UsageDiffers, evaluate_replies
from services.bidding.jobs import settings_of
from services.bidding.store import boxes as box_store
from services.bidding.store import usage as usage_store
from shared.documents import manifest_of, split
from shared.messages.bidding import ComparisonPart, RankedReply, RepliesCompared, ReplyDisqualified
from shared.outbox import Outgoing
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

log = structlog.get_logger()


async def compare_replies(runtime: Runtime) -> None:
    """Have opened boxes evaluated, one after another, for as long as the service runs."""
    pause = settings_of(runtime).job_pause_s
    waiting = Gauge(
        "linepool_bidding_boxes_waiting_for_usage",
        "Opened boxes whose pinned usage is not here, or not as it was pinned.",
        registry=runtime.metrics.registry,
    )
    try:
        with worker_process() as worker:
            while True:
                try:
                    await compare_opened_boxes(runtime, worker, waiting)
                except TRANSIENT as error:
                    log.warning("comparisons wait", error=type(error).__name__)
                await runtime.wait_for_work(pause)
    finally:
        # The job begins again after a fault, and then registers its figure anew.
        runtime.metrics.registry.unregister(waiting)


@contextmanager
def worker_process() -> Iterator[ProcessPoolExecutor]:
    """Run a process that evaluates beside this one: it starts when first used, and never outlives this one."""
    worker = ProcessPoolExecutor(
        max_workers=1, mp_context=get_context("spawn"), initializer=leave_with_parent
    )
    try:
        yield worker
    finally:
        worker.shutdown(wait=False, cancel_futures=True)


def leave_with_parent() -> None:
    """Make this worker process end with the one that started it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=partial(_watch, parent), daemon=True).start()


def _watch(parent: object) -> NoReturn:
    parent.join()  # type: ignore[attr-defined] # multiprocessing's type of a parent is not public
    os._exit(1)


async def compare_opened_boxes(
    runtime: Runtime, worker: ProcessPoolExecutor, waiting: Gauge | None = None
) -> int:
    """Compare the replies of each opened box whose pinned usage is here; return how many were compared."""
    compared = still_waiting = 0
    for box in await box_store.boxes_in(runtime.pool, "opened"):
        task = await _task(runtime, box)
        if task is None:
            still_waiting += 1
            continue
        outcome = await asyncio.get_running_loop().run_in_executor(worker, evaluate_replies, task)
        if isinstance(outcome, UsageDiffers):
            still_waiting += 1
            runtime.metrics.alarm("usage_differs", purchase=box.purchase_id, found=outcome.found)
            continue
        compared += await _record(runtime, box, task, outcome)
    if waiting is not None:
        waiting.set(still_waiting)
    return compared


async def _task(runtime: Runtime, box: Box) -> Task | None:
    """Return what is to be evaluated, or None while the pinned usage is not complete here."""
    purchase_id, request = box.purchase_id, box.request
    group = await usage_store.group(runtime.pool, purchase_id)
    missing = None if group is None else await usage_store.missing_reports(runtime.pool, purchase_id)
    if request is None or group is None or group.usage_digest != request.usage_digest or missing:
        log.info("comparison waits for usage", purchase=str(purchase_id), missing_reports=missing)
        return None
    stored = await box_store.stored_replies(runtime.pool, purchase_id, standing="evaluated")
    return Task(
        purchase_id=purchase_id,
        request_version=request.version,
        usage_digest=request.usage_digest,
        currency=request.currency,
        tax_basis=request.tax_basis,
        contract_months=request.contract_months,
        period_months=group.period_months,
        starts_on=request.deadline.date(),
        usage=tuple(await usage_store.pinned_usage(runtime.pool, purchase_id)),
        replies=tuple(stored),
    )


async def _record(runtime: Runtime, seen: Box, task: Task, outcome: Evaluated) -> bool:
    document = manifest_of("comparison", outcome.document)
    async with runtime.decide("comparison", task.purchase_id, task.request_version) as (tx, publish):
        box = await box_store.lock_box(tx, task.purchase_id)
        if box != seen:
            return False
        await box_store.save_ranks(
            tx,
            [(one.reply_id, one.rank) for one in outcome.ranked],
            [(reply_id, reason) for reply_id, _, reason in outcome.disqualified],
        )
        await box_store.save_box(tx, replace(box, compared_at=publish.now))
        for part, data in split(document, outcome.document):
            await publish(
                ComparisonPart(
                    purchase_id=task.purchase_id,
                    document=document,
                    request_version=task.request_version,
                    part=part,
                    data=data,
                )
            )
        await publish(
            RepliesCompared(
                purchase_id=task.purchase_id,
                request_version=task.request_version,
                usage_digest=task.usage_digest,
                charged=outcome.charged,
                replies=tuple(
                    RankedReply(
                        reply_id=one.reply_id,
                        provider_id=one.provider_id,
                        rank=one.rank,
                        total=one.total,
                        saving=one.saving,
                    )
                    for one in outcome.ranked
                ),
                comparison_sha256=document.sha256,
            )
        )
        await publish.many(
            [
                Outgoing(
                    ReplyDisqualified(purchase_id=task.purchase_id, reply_id=reply_id, reason=reason),
                    reply_id,
                    provider,
                )
                for reply_id, provider, reason in outcome.disqualified
            ]
        )
    log.info("replies compared", purchase=str(task.purchase_id), replies=len(outcome.ranked))
    return True
