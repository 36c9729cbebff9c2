"""Many records in one transaction; where one of them fails, the halves are tried alone, down to that one."""

from collections.abc import Awaitable, Callable, Sequence
from time import time, time_ns
from typing import Any

import asyncpg

from shared import inbox, parked
from shared.crash import crash
from shared.parked import Parked
from shared.postgres import TRANSIENT, connect
from shared.record import Batch, Record
from shared.runtime import Runtime
from shared.settling import put_aside
from shared.wiring import Stream


async def deliver_batch(
    runtime: Runtime,
    stream: Stream,
    records: Sequence[Record],
    handler: Callable[..., Awaitable[Any]],
    retry: Parked | None,
) -> None:
    """Handle many records in one transaction; where one of them fails, the halves are tried alone, down to that one.

    Raises:
        one of TRANSIENT: the records that are not yet behind the position must come again.
    """
    try:
        await _handle_batch(runtime, stream, records, handler, retry)
    except TRANSIENT:
        raise
    except Exception as error:  # noqa: BLE001 # whatever is wrong with one record must not stop the others
        if len(records) > 1:
            middle = len(records) // 2
            await deliver_batch(runtime, stream, records[:middle], handler, None)
            await deliver_batch(runtime, stream, records[middle:], handler, None)
        else:
            await put_aside(runtime, stream, records[0], error, retry, key=records[0].topic.encode())
        return
    # Neither counted nor logged: how many replies there are is a secret until their box opens.
    runtime.metrics.slowest_answer.note(max(time() - record.timestamp_ms / 1000 for record in records))


async def _handle_batch(
    runtime: Runtime,
    stream: Stream,
    records: Sequence[Record],
    handler: Callable[..., Awaitable[Any]],
    retry: Parked | None,
) -> None:
    began_ns, publish = time_ns(), None
    async with connect(runtime.pool) as tx:
        async with tx.transaction():
            if retry is None:
                batch = await inbox.take_batch(tx, stream.consumer, records)
                batch = await _leave_blocked(tx, stream, batch)
            elif await parked.lock(tx, retry.id):
                batch = Batch(tuple(records), ())
            else:
                return
            if batch.fresh or batch.repeated:
                now = await tx.fetchval("SELECT clock_timestamp()")
                cause = records[0].inbox_id
                publish = runtime.publisher(tx, cause=cause, correlation=cause, now=now)
                crash("before_business")
                await handler(tx=tx, publish=publish, batch=batch)
                crash("after_business")
            if retry is not None:
                await parked.done(tx, retry.id)
            await inbox.move_position(tx, stream.consumer, records)
            crash("before_commit")
        crash("after_commit")
    # Traced only where it led to something that other services are told: receipts alone would tell how many replies there are.
    if runtime.traces is not None and publish is not None and publish.has_said_inside:
        runtime.traces.decided(
            "what a provider said", publish.cause, publish.cause, began_ns, publish.purchase_id
        )


async def _leave_blocked(tx: asyncpg.Connection, stream: Stream, batch: Batch) -> Batch:
    """Park what comes behind a parked record of its topic; return the rest."""
    topics = {record.topic for record in (*batch.fresh, *batch.repeated)}
    blocked = await parked.blocked_keys(tx, stream.consumer, [topic.encode() for topic in topics])
    if not blocked:
        return batch
    for record in batch.fresh:
        if record.topic.encode() in blocked:
            key = record.topic.encode()
            await parked.park(tx, stream.consumer, record, key=key, state="waiting", reason="behind another")
    # A repetition is answered from what is kept, also while the topic waits.
    return Batch(
        tuple(record for record in batch.fresh if record.topic.encode() not in blocked), batch.repeated
    )
