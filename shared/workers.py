"""What runs beside the consumers: timers, second tries of parked messages, purging, and figures."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import time_ns
from typing import Any

import structlog
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER

from shared import clock_skew, parked
from shared.crash import crash
from shared.envelope import as_uuid
from shared.parked import Parked
from shared.postgres import TRANSIENT, connect
from shared.runtime import Runtime
from shared.timers import Timers, take_due, try_again
from shared.tracing import in_logs
from shared.waiting import Looking
from shared.wiring import Wiring

TIMER_POLL_S = 0.25
PARKED_POLL_S = 0.2
TIMER_PAUSE = timedelta(seconds=1)
"""How long a timer that failed waits before it is tried again."""


async def forever(name: str, work: Callable[[], Awaitable[bool]], pause: float) -> None:
    """Do some work, again at once while it returns True, else after a pause; wait longer while the database is away."""
    wait = pause
    while True:
        try:
            more = await work()
            wait = 0.0 if more else pause
        except TRANSIENT as error:
            structlog.get_logger().warning("again later", work=name, error=type(error).__name__)
            wait = min(5.0, max(0.2, wait * 2))
        except Exception as error:  # noqa: BLE001 # what runs beside the consumers must not end while they go on
            structlog.get_logger().error("work failed", work=name, error=type(error).__name__)
            wait = 5.0
        await asyncio.sleep(wait)


async def fire_timer(runtime: Runtime, timers: Timers) -> bool:
    """Handle one due timer; return whether there was one. One that fails is tried again later, and alarmed."""
    async with connect(runtime.pool) as tx:
        async with tx.transaction():
            timer = await take_due(tx, list(timers.handlers))
            if timer is None:
                return False
            now = await tx.fetchval("SELECT clock_timestamp()")
            publish = runtime.publisher(tx, cause=timer.cause, correlation=timer.cause, now=now)
            began_ns = time_ns()
            crash("before_business")
            try:
                async with tx.transaction():
                    with in_logs(runtime.service, timer.cause, timer.cause, as_uuid(timer.subject)):
                        await timers.handlers[timer.kind](timer, tx, publish)
            except TRANSIENT:
                raise
            except Exception as error:  # noqa: BLE001 # one timer's fault must not stop the others
                runtime.metrics.alarm("timer_failed", timer=timer.kind, error=type(error).__name__)
                await try_again(tx, timer, TIMER_PAUSE)
                return True
            crash("after_business")
            crash("before_commit")
        crash("after_commit")
    runtime.wake()
    if runtime.traces is not None and publish.has_said_inside:
        runtime.traces.decided(timer.kind, timer.cause, timer.cause, began_ns, publish.purchase_id)
    with in_logs(runtime.service, timer.cause, timer.cause, publish.purchase_id):
        structlog.get_logger().info("timer", timer=timer.kind, subject=timer.subject)
    return True


async def retry_parked(wiring: Wiring, broker: KafkaBroker) -> bool:
    """Try each parked message that is due, the first of its key; return whether any went through."""
    runtime = wiring.running()
    went = False
    async with connect(runtime.pool) as connection:
        due = await parked.due(connection)
    for message in due:
        stream = wiring.stream_of(message.consumer)
        # Before its subscriber has started, a handler cannot be called.
        if stream is None or not stream.subscriber.running:
            continue
        await _again(broker, stream.subscriber, message, as_batch=stream.kind == "batches")
        went = went or not await runtime.pool.fetchval("SELECT true FROM parked WHERE id = $1", message.id)
    return went


async def _again(broker: KafkaBroker, subscriber: Any, message: Parked, *, as_batch: bool) -> None:
    # Its offset was passed long ago; acknowledging it must not move the consumer's.
    message.record.consumer = FAKE_CONSUMER
    with broker.context.scope("retry", message):
        await subscriber.process_message((message.record,) if as_batch else message.record)


async def purge(runtime: Runtime) -> bool:
    """Delete inbox rows that are older than any second delivery can be, and what else has had its time; return False."""
    await runtime.pool.execute(
        "DELETE FROM inbox WHERE received_at < clock_timestamp() - $1::interval",
        timedelta(days=runtime.settings.inbox_days),
    )
    # What was said again is in the log; the rest belongs to decisions that will not come again.
    await runtime.pool.execute(
        "DELETE FROM adopted WHERE adopted_at < clock_timestamp() - $1::interval "
        "OR event_id IN (SELECT event_id FROM log WHERE log.event_id = adopted.event_id)",
        timedelta(days=runtime.settings.inbox_days),
    )
    await clock_skew.forget(runtime.pool)
    return False


async def measure(runtime: Runtime, looking: Looking) -> bool:
    """Set the figures that need a look at the tables; return False.

    What is from providers or goes to them does not show as a number: see `shared.telemetry`.
    """
    prefix = runtime.settings.topic_prefix
    facing = [f"{prefix}{kind}" for kind in ("invitations.", "notices.", "replies.")]
    rows = await runtime.pool.fetch(
        "SELECT state, CASE WHEN facing THEN least(n, 1) ELSE n END AS n FROM ("
        " SELECT state, EXISTS (SELECT FROM unnest($1::text[]) AS kind WHERE starts_with(topic, kind)) AS facing,"
        " count(*) AS n FROM parked GROUP BY 1, 2) AS counted",
        facing,
    )
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["state"]] += row["n"]
    for state in ("waiting", "failed", "stuck"):
        runtime.metrics.parked.labels(state=state).set(counts[state])
    async with connect(runtime.pool) as connection:
        [outbox] = await connection.fetch(
            "SELECT count(*) FILTER (WHERE NOT EXISTS ("
            "  SELECT FROM unnest($1::text[]) AS kind WHERE starts_with(topic, kind))) AS n,"
            " coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age FROM outbox",
            facing,
        )
        look = await looking.look(connection)
        skew = await clock_skew.measured(connection)
    if skew is not None:
        runtime.metrics.skew_seconds.set(skew.total_seconds())
    runtime.metrics.outbox_rows.set(outbox["n"])
    runtime.metrics.outbox_age_seconds.set(outbox["age"])
    for step in looking.waits.steps:
        ages = [age for at, _, age in look.purchases if at is step]
        runtime.metrics.purchases.labels(step=step.name).set(len(ages))
        runtime.metrics.purchase_age_seconds.labels(step=step.name).set(max(ages, default=0.0))
    for queue, (waiting, oldest) in look.queues.items():
        runtime.metrics.queue_rows.labels(queue=queue).set(waiting)
        runtime.metrics.queue_age_seconds.labels(queue=queue).set(oldest)
    return False


async def keep_running(job: Callable[[Runtime], Awaitable[None]], runtime: Runtime) -> None:
    """Run a job for as long as the service runs; one that fails begins again."""
    while True:
        try:
            await job(runtime)
        except Exception as error:  # noqa: BLE001 # a job's fault must not end the service, and is alarmed
            transient = isinstance(error, TRANSIENT)
            if not transient:
                runtime.metrics.alarm(
                    "job_failed", job=getattr(job, "__name__", "job"), error=type(error).__name__
                )
        await asyncio.sleep(1)
