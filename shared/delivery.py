"""Each message takes effect once: one transaction holds its inbox row, what the handler did and said, and the position.

Kafka's offset moves only after the commit. A message that fails is parked behind its key; a command that cannot be obeyed is
refused; a database or broker that is away lets the same message come again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter, time_ns
from typing import Annotated, Any

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from faststream import BaseMiddleware, Context, StreamMessage

from shared import inbox, parked
from shared.batches import deliver_batch
from shared.bodies import Invalid, UnknownType
from shared.crash import crash
from shared.envelope import Actor, as_uuid
from shared.messages import Order, OrderRefused, registry
from shared.messages.base import Role
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.parked import Parked
from shared.postgres import TRANSIENT, connect
from shared.record import Batch, Record
from shared.runtime import Runtime
from shared.settling import answer_repetition, drop_parked, put_aside, settle
from shared.tracing import in_logs, purchase_of
from shared.wiring import Stream, Wiring

Tx = Annotated[asyncpg.Connection, Context("tx")]
Publish = Annotated[Publisher, Context("publish")]
CurrentActor = Annotated[Actor, Context("actor")]
CurrentRecord = Annotated[Record, Context("record")]
Batched = Annotated[Batch, Context("batch")]

NOBODY = Actor.model_validate({"person_id": "00000000-0000-0000-0000-000000000000", "role": "auditor"})
"""Stands where a topic says the role and no header says the person."""
REFUSALS = [type_ for type_, model in registry.items() if issubclass(model, OrderRefused)]
FROM_TOPIC: frozenset[Role] = frozenset({"officer", "operator"})
"""Roles that only a topic's own access rules can give."""


class Undone(Exception):  # noqa: N818 # not an error: it takes the transaction back
    """The handler came to a refusal, or to not yet; what it wrote is taken back."""

    def __init__(self, result: Refusal | NotYet) -> None:
        super().__init__(result.reason)
        self.result = result


class Delivery(BaseMiddleware):
    """Handles a delivery, and moves Kafka's offset afterwards."""

    def __init__(self, wiring: Wiring, msg: Any, /, *, context: Any) -> None:
        super().__init__(msg, context=context)
        self.wiring = wiring

    async def consume_scope(
        self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]
    ) -> None:
        """Deliver one record or one batch."""
        runtime = self.wiring.running()
        stream = self.wiring.streams[id(self.context.get("handler_"))]
        retry: Parked | None = self.context.get_local("retry")

        async def handler(**local: object) -> Any:
            with self.context.scopes(tuple(local.items())):
                return await call_next(msg)

        try:
            if isinstance(msg.raw_message, tuple | list):
                await deliver_batch(
                    runtime, stream, [Record.of(raw) for raw in msg.raw_message], handler, retry
                )
            else:
                await deliver(runtime, stream, Record.of(msg.raw_message), handler, retry)
        except Exception as error:
            stream.failures += 1
            structlog.get_logger().warning(
                "again later", consumer=stream.consumer, error=type(error).__name__
            )
            if not isinstance(error, TRANSIENT):
                # Not even putting the message aside went well; without a pause it would come again at once.
                runtime.metrics.alarm("delivery_failed", consumer=stream.consumer)
            await asyncio.sleep(min(5.0, 0.05 * 2 ** min(stream.failures, 10)))
            raise
        stream.failures = 0
        raws = msg.raw_message if isinstance(msg.raw_message, tuple | list) else (msg.raw_message,)
        for raw in raws:
            runtime.progress.note(stream.consumer, {(raw.topic, raw.partition): raw.offset + 1})
        runtime.wake()
        crash("before_offset")
        await _acknowledge(msg, stream)
        crash("after_offset")


async def _acknowledge(msg: StreamMessage[Any], stream: Stream) -> None:
    try:
        await msg.ack()
    except KafkaError as error:
        # The position is committed in the database; whoever owns the partition now seeks to it.
        structlog.get_logger().warning(
            "offset not moved", consumer=stream.consumer, error=type(error).__name__
        )


async def deliver(
    runtime: Runtime,
    stream: Stream,
    record: Record,
    handler: Callable[..., Awaitable[Any]],
    retry: Parked | None,
) -> None:
    """Handle one record once: obeyed, refused, skipped or parked.

    Raises:
        one of TRANSIENT: nothing happened; the record must come again.
    """
    correlation = record.received.correlation_id or record.cause
    purchase = purchase_of(record.received.type, record.received.subject)
    with in_logs(runtime.service, record.cause, correlation, purchase):
        await _deliver(runtime, stream, record, handler, retry)


async def _deliver(
    runtime: Runtime,
    stream: Stream,
    record: Record,
    handler: Callable[..., Awaitable[Any]],
    retry: Parked | None,
) -> None:
    started, began_ns = perf_counter(), time_ns()
    try:
        outcome = await _handle(runtime, stream, record, handler, retry)
    except Undone as undone:
        outcome = await settle(runtime, stream, record, undone.result, retry)
    except TRANSIENT:
        raise
    except Exception as error:  # noqa: BLE001 # whatever is wrong with one message must not stop the others
        if stream.kind == "commands" and isinstance(error, Invalid | UnknownType):
            reason = "invalid" if isinstance(error, Invalid) else "unknown_type"
            outcome = await settle(runtime, stream, record, Refusal(reason, str(error)), retry)
        else:
            outcome = await put_aside(runtime, stream, record, error, retry)
    runtime.metrics.handled.labels(consumer=stream.consumer, outcome=outcome).inc()
    runtime.metrics.handling_seconds.labels(consumer=stream.consumer).observe(perf_counter() - started)
    runtime.metrics.effect_seconds.labels(consumer=stream.consumer).observe(
        max(0.0, time_ns() / 1e9 - record.timestamp_ms / 1000)
    )
    if runtime.traces is not None:
        runtime.traces.handled(record, stream.consumer, outcome, began_ns)
    structlog.get_logger().info(
        "handled",
        consumer=stream.consumer,
        outcome=outcome,
        type=record.received.type if record.received.type in registry else None,
        id=str(record.cause),
        subject=str(as_uuid(record.received.subject)),
        correlation=str(record.received.correlation_id),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        ms=round((perf_counter() - started) * 1000, 1),
    )


async def _handle(
    runtime: Runtime,
    stream: Stream,
    record: Record,
    handler: Callable[..., Awaitable[Any]],
    retry: Parked | None,
) -> str:
    async with connect(runtime.pool) as tx:
        async with tx.transaction():
            if retry is None:
                seen = await inbox.take(tx, stream.consumer, record)
                if seen is inbox.Seen.PASSED:
                    return str(seen)
                if seen is not inbox.Seen.NEVER:
                    await answer_repetition(runtime, stream, record, tx, seen)
                    await inbox.move_position(tx, stream.consumer, [record])
                    return str(seen)
                if await _waits_behind_another(runtime, stream, record, tx):
                    return "parked"
            elif not await parked.lock(tx, retry.id):
                return str(inbox.Seen.PASSED)
            outcome = "handled" if record.received.type in stream.handled else "skipped"
            if record.received.type not in registry:
                raise UnknownType("the type of this message is not known")
            if outcome == "handled":
                await _run(runtime, stream, record, handler, tx)
            if retry is not None:
                await parked.done(tx, retry.id)
            if stream.kind == "events" and not registry[record.received.type].compacted:
                await _note_version(runtime, stream, record, tx)
            await inbox.move_position(tx, stream.consumer, [record])
            crash("before_commit")
        crash("after_commit")
    return outcome


async def _waits_behind_another(
    runtime: Runtime, stream: Stream, record: Record, tx: asyncpg.Connection
) -> bool:
    if record.erases:
        await drop_parked(runtime, stream, record, tx)
    if not await parked.is_blocked(tx, stream.consumer, record.order_key):
        return False
    await parked.park(
        tx, stream.consumer, record, key=record.order_key, state="waiting", reason="behind another"
    )
    await inbox.move_position(tx, stream.consumer, [record])
    return True


async def _note_version(runtime: Runtime, stream: Stream, record: Record, tx: asyncpg.Connection) -> None:
    missing = await inbox.note_sequence(tx, stream.consumer, record)
    if missing:
        runtime.metrics.alarm("versions_missing", consumer=stream.consumer, missing=missing)


async def _run(
    runtime: Runtime,
    stream: Stream,
    record: Record,
    handler: Callable[..., Awaitable[Any]],
    tx: asyncpg.Connection,
) -> None:
    actor = _actor(stream, record)
    publish = runtime.publisher(
        tx,
        cause=record.cause,
        correlation=record.received.correlation_id or record.cause,
        now=await tx.fetchval("SELECT clock_timestamp()"),
        actor=actor,
    )
    if refused := _refused_before(runtime, record):
        raise Undone(refused)
    if stream.kind == "commands" and await _has_said_no(tx, record):
        return
    crash("before_business")
    result = await handler(tx=tx, publish=publish, actor=actor, record=record)
    crash("after_business")
    if isinstance(result, NotYet) or (isinstance(result, Refusal) and stream.kind == "commands"):
        raise Undone(result)


def _actor(stream: Stream, record: Record) -> Actor | None:
    if stream.kind != "commands":
        return None
    command = registry[record.received.type or ""]
    if stream.role is not None:
        person = record.received.actor or NOBODY
        return Actor(person_id=person.person_id, role=stream.role)
    actor = record.received.actor
    if actor is None:
        raise Undone(Refusal("no_actor", "The command does not say who gives it."))
    allowed = command.roles if issubclass(command, Order) else frozenset()
    if actor.role not in allowed or actor.role in FROM_TOPIC:
        raise Undone(Refusal("role_not_allowed", "This role may not give this command."))
    return actor


async def _has_said_no(tx: asyncpg.Connection, record: Record) -> bool:
    """Whether this command was refused before: what has changed since must not make it obeyed by a replay."""
    said: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM log WHERE cause_id = $1 AND type = ANY($2::text[]))",
        record.cause,
        REFUSALS,
    )
    return said


def _refused_before(runtime: Runtime, record: Record) -> Refusal | None:
    for event in runtime.adoptions.of_decision(record.cause):
        model = registry.get(event.type)
        if model is not None and issubclass(model, OrderRefused):
            said = model.model_validate_json(event.body)
            return Refusal(said.reason, said.detail)
    return None
