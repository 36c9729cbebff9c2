"""What becomes of a message that was not simply handled: refused, waiting, answered again, or put aside."""

from datetime import datetime, timedelta

import asyncpg

from shared import inbox, parked
from shared.crash import crash
from shared.envelope import as_uuid, derived_id
from shared.messages import Message, refusal_of, registry
from shared.outcomes import NotYet, Refusal
from shared.parked import Parked
from shared.postgres import connect
from shared.record import Record
from shared.runtime import Runtime
from shared.wiring import Stream


async def settle(
    runtime: Runtime, stream: Stream, record: Record, result: Refusal | NotYet, retry: Parked | None
) -> str:
    """Refuse, or let it wait, in a transaction of its own."""
    patience = timedelta(seconds=runtime.settings.command_patience_s) if stream.kind == "commands" else None
    async with connect(runtime.pool) as tx:
        async with tx.transaction():
            if retry is None and await inbox.take(tx, stream.consumer, record) is not inbox.Seen.NEVER:
                return "same"
            if retry is not None and not await parked.lock(tx, retry.id):
                return str(inbox.Seen.PASSED)
            now: datetime = await tx.fetchval("SELECT clock_timestamp()")
            # A command that was obeyed before a restore will be obeyed again, however long its facts take.
            obeyed_before = bool(runtime.adoptions.of_decision(record.cause))
            gives_up = retry is not None and retry.has_waited_long_enough(now) and not obeyed_before
            if isinstance(result, NotYet) and not gives_up:
                if retry is None:
                    await parked.park(
                        tx,
                        stream.consumer,
                        record,
                        key=record.order_key,
                        state="waiting",
                        reason=result.reason,
                        patience=patience,
                    )
                    await inbox.move_position(tx, stream.consumer, [record])
                else:
                    await parked.still_waiting(tx, retry, now=now, reason=result.reason, patience=patience)
                return "waiting"
            publish = runtime.publisher(
                tx,
                cause=record.cause,
                correlation=record.received.correlation_id or record.cause,
                now=now,
                actor=record.received.actor,
            )
            await publish(refusal_event(stream, record, Refusal(result.reason, result.detail)))
            if retry is not None:
                await parked.done(tx, retry.id)
            await inbox.move_position(tx, stream.consumer, [record])
            crash("before_commit")
        crash("after_commit")
    return "refused"


def refusal_event(stream: Stream, record: Record, refusal: Refusal) -> Message:
    """Return the event that tells the sender of this command that it was refused."""
    command = registry.get(record.received.type or "")
    service = stream.consumer.partition(".")[0]
    return refusal_of(
        command,
        service=service,
        subject=record.received.subject or (record.key or b"").decode("utf-8", "replace"),
        command_id=as_uuid(record.received.id),
        reason=refusal.reason,
        detail=refusal.detail,
    )


async def answer_repetition(
    runtime: Runtime, stream: Stream, record: Record, tx: asyncpg.Connection, seen: inbox.Seen
) -> None:
    """Refuse a command that uses the id of another one; a repeated message needs no answer."""
    if seen is not inbox.Seen.REUSED:
        return
    if stream.kind != "commands":
        runtime.metrics.alarm("id_reused", consumer=stream.consumer, id=record.cause)
        return
    cause = derived_id("reused", record.topic, record.partition, record.offset)
    now = await tx.fetchval("SELECT clock_timestamp()")
    publish = runtime.publisher(tx, cause=cause, correlation=record.received.correlation_id or cause, now=now)
    await publish(refusal_event(stream, record, Refusal("id_reused", "Another command has used this id.")))


async def drop_parked(runtime: Runtime, stream: Stream, record: Record, tx: asyncpg.Connection) -> None:
    """Drop what is parked under a key that this record erases, and tell so."""
    dropped = await parked.drop_erased(tx, stream.consumer, record.order_key)
    if dropped:
        runtime.metrics.alarm("parked_erased", consumer=stream.consumer, messages=dropped)


async def put_aside(
    runtime: Runtime,
    stream: Stream,
    record: Record,
    error: Exception,
    retry: Parked | None,
    key: bytes | None = None,
) -> str:
    """Park a message that failed, or note that it failed again."""
    reason = type(error).__name__
    async with connect(runtime.pool) as tx, tx.transaction():
        if retry is None:
            if await inbox.take(tx, stream.consumer, record) is inbox.Seen.PASSED:
                return "passed"
            if record.erases:
                await drop_parked(runtime, stream, record, tx)
            await parked.park(
                tx, stream.consumer, record, key=key or record.order_key, state="failed", reason=reason
            )
            await inbox.move_position(tx, stream.consumer, [record])
            state: parked.State = "failed"
        elif not await parked.lock(tx, retry.id):
            return str(inbox.Seen.PASSED)
        else:
            state = await parked.failed_again(
                tx,
                retry.id,
                reason=reason,
                pause=parked.pause_after(retry.attempts),
                retries=runtime.settings.park_retries,
            )
    runtime.metrics.alarm("message_" + state, consumer=stream.consumer, error=reason, id=record.cause)
    return "parked"
