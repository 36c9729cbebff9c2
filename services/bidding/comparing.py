"""Having opened boxes evaluated: in a worker process, outside any transaction, then recorded in one."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process
from typing import NoReturn, ParamSpec, TypeVar
from uuid import UUID

import structlog
from prometheus_client import Gauge

from services.bidding.concerns import Concerns, Pauses
from services.bidding.domain.box import Box
from services.bidding.evaluation import Evaluated, Task, UsageDiffers, evaluate_replies
from services.bidding.jobs import LEAST_PAUSE_S
from services.bidding.opening import replies_in
from services.bidding.settings import settings_of
from services.bidding.store import boxes as box_store
from services.bidding.store import usage as usage_store
from shared.documents import manifest_of, split
from shared.messages.bidding import ComparisonPart, RankedReply, RepliesCompared, ReplyDisqualified
from shared.outbox import Outgoing
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

log = structlog.get_logger()
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def compare_replies(runtime: Runtime) -> None:
    """Have opened boxes evaluated, one after another, for as long as the service runs."""
    pause = settings_of(runtime).job_pause_s
    concerns, pauses = Concerns(), comparison_pauses()
    waiting = Gauge(
        "linepool_bidding_boxes_waiting_for_usage",
        "Opened boxes whose pinned usage is not here, or not as it was pinned.",
        registry=runtime.metrics.registry,
    )
    try:
        with worker_process() as worker:
            while True:
                try:
                    await compare_opened_boxes(runtime, worker, waiting, concerns, pauses)
                except TRANSIENT as error:
                    log.warning("comparisons wait", error=type(error).__name__)
                await asyncio.sleep(LEAST_PAUSE_S)
                await runtime.wait_for_work(pause)
    finally:
        # The job begins again after a fault, and then registers its figure anew.
        runtime.metrics.registry.unregister(waiting)


@contextmanager
def worker_process() -> Iterator[Executor]:
    """Run a process that evaluates beside this one: it starts when first used, and never outlives this one.

    Should it break, what it was doing fails with BrokenProcessPool, and what is asked next begins a new one.
    """
    worker = _Worker()
    try:
        yield worker
    finally:
        worker.shutdown(wait=False, cancel_futures=True)


class _Worker(Executor):
    def __init__(self) -> None:
        self._pool = self._new_pool()

    @staticmethod
    def _new_pool() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=1, mp_context=get_context("spawn"), initializer=leave_with_parent
        )

    def submit(
        self,
        fn: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Future[Result]:
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        processes = list((self._pool._processes or {}).values())  # noqa: SLF001 # before Python 3.14 nothing public ends them
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        # An interpreter does not end before its pools' work is done, however long that takes; another process evaluates anew.
        for process in processes:
            process.terminate()


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
    runtime: Runtime,
    worker: Executor,
    waiting: Gauge | None = None,
    concerns: Concerns | None = None,
    pauses: Pauses | None = None,
) -> int:
    """Compare the replies of each opened box whose pinned usage is here; return how many were compared.

    Why one waits is said if `concerns` do not know it yet; one that fails is alarmed and rests, and the next one follows.
    """
    concerns, pauses = concerns or Concerns(), pauses or comparison_pauses()
    compared = still_waiting = 0
    opened = await box_store.purchases_in(runtime.pool, "opened")
    for purchase_id in filter(pauses.are_over, opened):
        try:
            done = await _compare(runtime, worker, purchase_id, concerns)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # one purchase must not keep the others from being compared
            if concerns.is_news(purchase_id, type(error).__name__):
                runtime.metrics.alarm("box_not_compared", purchase=purchase_id, error=type(error).__name__)
            pauses.begin(purchase_id)
            continue
        compared += done is True
        still_waiting += done is None
    concerns.keep_only(opened)
    pauses.keep_only(opened)
    if waiting is not None:
        waiting.set(still_waiting)
    return compared


def comparison_pauses() -> Pauses:
    """Return the pauses of comparisons that fail: one that kills its worker process costs a new one each time it is tried."""
    return Pauses(first=1.0, longest=300.0)


async def _compare(runtime: Runtime, worker: Executor, purchase_id: UUID, concerns: Concerns) -> bool | None:
    """Return whether the outcome was recorded, or None while the pinned usage is not here as it was pinned."""
    box = await box_store.look_at(runtime.pool, purchase_id)
    task = await _task(runtime, box, concerns)
    if task is None:
        return None
    outcome = await asyncio.get_running_loop().run_in_executor(worker, evaluate_replies, task)
    if isinstance(outcome, UsageDiffers):
        if concerns.is_news(purchase_id, f"usage_differs {outcome.found}"):
            runtime.metrics.alarm("usage_differs", purchase=purchase_id, found=outcome.found)
        return None
    return await _record(runtime, box, task, outcome)


async def _task(runtime: Runtime, box: Box, concerns: Concerns) -> Task | None:
    """Return what is to be evaluated, or None while the pinned usage is not complete here."""
    purchase_id, request = box.purchase_id, box.request
    group = await usage_store.group(runtime.pool, purchase_id)
    missing = None if group is None else await usage_store.missing_reports(runtime.pool, purchase_id)
    if request is None or group is None or group.usage_digest != request.usage_digest or missing:
        if concerns.is_news(purchase_id, f"missing_reports {missing}"):
            log.info("comparison waits for usage", purchase=str(purchase_id), missing_reports=missing)
        return None
    stored = await replies_in(runtime.pool, box, standing="evaluated")
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
