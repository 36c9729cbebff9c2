"""Each message takes effect once: one transaction holds its inbox row, what the handler did and said, and the position.

Kafka's offset moves only after the commit. A message that fails is parked behind its key; a command that cannot be obeyed is
refused; a database or broker that is away lets the same message come again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Annotated, Any, Literal

import asyncpg
import orjson
import structlog
from aiokafka.errors import KafkaError
from faststream import BaseMiddleware, Context, StreamMessage
from pydantic import ValidationError

from shared import inbox, parked
from shared.crash import crash
from shared.envelope import Actor, as_uuid, derived_id
from shared.messages import Command, Message, Refused, refusal_of, registry
from shared.messages.base import Role
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.parked import Parked
from shared.postgres import TRANSIENT
from shared.record import Batch, Record
from shared.runtime import Runtime

Tx = Annotated[asyncpg.Connection, Context("tx")]
Publish = Annotated[Publisher, Context("publish")]
CurrentActor = Annotated[Actor, Context("actor")]
Batched = Annotated[Batch, Context("batch")]

NOBODY = Actor.model_validate({"person_id": "00000000-0000-0000-0000-000000000000", "role": "auditor"})
"""Stands where a topic says the role and no header says the person."""
FROM_TOPIC: frozenset[Role] = frozenset({"officer", "operator"})
"""Roles that only a topic's own access rules can give."""


class UnknownType(Exception):  # noqa: N818 # says what is wrong
    """A stream brought a type that is in no registry."""


class Invalid(Exception):  # noqa: N818 # says what is wrong
    """A body is not what its type demands; the text names the place, never the data."""


class Undone(Exception):  # noqa: N818 # not an error: it takes the transaction back
    """The handler came to a refusal, or to not yet; what it wrote is taken back."""

    def __init__(self, result: Refusal | NotYet) -> None:
        super().__init__(result.reason)
        self.result = result


@dataclass
class Stream:
    """One subscription as delivery knows it."""

    consumer: str
    topic: str
    kind: Literal["events", "commands", "batches"]
    role: Role | None
    handled: frozenset[str]
    subscriber: Any
    failures: int = 0
    """Transient errors in a row."""
    joined: bool = False
    """Whether the consumer was ever given its partitions."""


@dataclass
class Wiring:
    """What connects a service's subscribers to its runtime."""

    service: str
    runtime: Runtime | None = None
    streams: dict[int, Stream] = field(default_factory=dict)

    @property
    def middleware(self) -> Callable[..., "Delivery"]:
        """The FastStream middleware of this service."""
        return partial(Delivery, self)

    def running(self) -> Runtime:
        """Return the runtime.

        Raises:
            RuntimeError: the service has not started.
        """
        if self.runtime is None:
            raise RuntimeError("the service has not started")
        return self.runtime

    def stream_of(self, consumer: str) -> Stream | None:
        """Return the subscription of this consumer, if the service still has it."""
        return next((one for one in self.streams.values() if one.consumer == consumer), None)


class Delivery(BaseMiddleware):
    """Handles a delivery, and moves Kafka's offset afterwards."""

    def __init__(self, wiring: Wiring, msg: Any, /, *, context: Any) -> None:
        super().__init__(msg, context=context)
        self.wiring = wiring

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]) -> None:
        """Deliver one record or one batch."""
        runtime = self.wiring.running()
        stream = self.wiring.streams[id(self.context.get("handler_"))]
        retry: Parked | None = self.context.get_local("retry")

        async def handler(**local: object) -> Any:
            with self.context.scopes(tuple(local.items())):
                return await call_next(msg)

        try:
            if isinstance(msg.raw_message, tuple | list):
                await deliver_batch(runtime, stream, [Record.of(raw) for raw in msg.raw_message], handler, retry)
            else:
                await deliver(runtime, stream, Record.of(msg.raw_message), handler, retry)
        except TRANSIENT as error:
            stream.failures += 1
            structlog.get_logger().warning("again later", consumer=stream.consumer, error=type(error).__name__)
            await asyncio.sleep(min(5.0, 0.05 * 2 ** min(stream.failures, 10)))
            raise
        stream.failures = 0
        runtime.wake()
        crash("before_offset")
        await _acknowledge(msg, stream)
        crash("after_offset")


async def _acknowledge(msg: StreamMessage[Any], stream: Stream) -> None:
    try:
        await msg.ack()
    except KafkaError as error:
        # The position is committed in the database; whoever owns the partition now seeks to it.
        structlog.get_logger().warning("offset not moved", consumer=stream.consumer, error=type(error).__name__)


async def deliver(
    runtime: Runtime, stream: Stream, record: Record, handler: Callable[..., Awaitable[Any]], retry: Parked | None
) -> None:
    """Handle one record once: obeyed, refused, skipped or parked.

    Raises:
        one of TRANSIENT: nothing happened; the record must come again.
    """
    started = perf_counter()
    try:
        outcome = await _handle(runtime, stream, record, handler, retry)
    except Undone as undone:
        outcome = await _settle(runtime, stream, record, undone.result, retry)
    except TRANSIENT:
        raise
    except Exception as error:  # noqa: BLE001 # whatever is wrong with one message must not stop the others
        if stream.kind == "commands" and isinstance(error, Invalid | UnknownType):
            reason = "invalid" if isinstance(error, Invalid) else "unknown_type"
            outcome = await _settle(runtime, stream, record, Refusal(reason, str(error)), retry)
        else:
            outcome = await _put_aside(runtime, stream, record, error, retry)
    runtime.metrics.handled.labels(consumer=stream.consumer, outcome=outcome).inc()
    runtime.metrics.handling_seconds.labels(consumer=stream.consumer).observe(perf_counter() - started)
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
    runtime: Runtime, stream: Stream, record: Record, handler: Callable[..., Awaitable[Any]], retry: Parked | None
) -> str:
    async with runtime.pool.acquire() as tx:
        async with tx.transaction():
            if retry is None:
                seen = await inbox.take(tx, stream.consumer, record)
                if seen is inbox.Seen.PASSED:
                    return seen.value
                if seen is not inbox.Seen.NEVER:
                    await _answer_repetition(runtime, stream, record, tx, seen)
                    await inbox.move_position(tx, stream.consumer, [record])
                    return seen.value
                if await parked.is_blocked(tx, stream.consumer, record.order_key):
                    await parked.park(
                        tx, stream.consumer, record, key=record.order_key, state="waiting", reason="behind another"
                    )
                    await inbox.move_position(tx, stream.consumer, [record])
                    return "parked"
            outcome = "handled" if record.received.type in stream.handled else "skipped"
            if record.received.type not in registry:
                raise UnknownType("the type of this message is not known")
            if outcome == "handled":
                await _run(runtime, stream, record, handler, tx)
            if retry is not None:
                await parked.done(tx, retry.id)
            if stream.kind == "events" and not registry[record.received.type].compacted:
                if missing := await inbox.note_sequence(tx, stream.consumer, record):
                    runtime.metrics.alarm("versions_missing", consumer=stream.consumer, missing=missing)
            await inbox.move_position(tx, stream.consumer, [record])
            crash("before_commit")
        crash("after_commit")
    return outcome


async def _run(
    runtime: Runtime, stream: Stream, record: Record, handler: Callable[..., Awaitable[Any]], tx: asyncpg.Connection
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
    crash("before_business")
    result = await handler(tx=tx, publish=publish, actor=actor)
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
    allowed = command.roles if issubclass(command, Command) else frozenset()
    if actor.role not in allowed or actor.role in FROM_TOPIC:
        raise Undone(Refusal("role_not_allowed", "This role may not give this command."))
    return actor


def _refused_before(runtime: Runtime, record: Record) -> Refusal | None:
    for event in runtime.adoptions.of_decision(record.cause):
        model = registry.get(event.type)
        if model is not None and issubclass(model, Refused):
            said = model.model_validate_json(event.body)
            return Refusal(said.reason, said.detail)
    return None


async def _settle(
    runtime: Runtime, stream: Stream, record: Record, result: Refusal | NotYet, retry: Parked | None
) -> str:
    """Refuse, or let it wait, in a transaction of its own."""
    patience = timedelta(seconds=runtime.settings.command_patience_s) if stream.kind == "commands" else None
    async with runtime.pool.acquire() as tx:
        async with tx.transaction():
            if retry is None and await inbox.take(tx, stream.consumer, record) is not inbox.Seen.NEVER:
                return "same"
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
                    await parked.still_waiting(tx, retry.id, reason=result.reason, patience=patience)
                return "waiting"
            publish = runtime.publisher(
                tx,
                cause=record.cause,
                correlation=record.received.correlation_id or record.cause,
                now=now,
                actor=record.received.actor,
            )
            await publish(_refusal(stream, record, Refusal(result.reason, result.detail)))
            if retry is not None:
                await parked.done(tx, retry.id)
            await inbox.move_position(tx, stream.consumer, [record])
            crash("before_commit")
        crash("after_commit")
    return "refused"


def _refusal(stream: Stream, record: Record, refusal: Refusal) -> Message:
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


async def _answer_repetition(
    runtime: Runtime, stream: Stream, record: Record, tx: asyncpg.Connection, seen: inbox.Seen
) -> None:
    if seen is not inbox.Seen.REUSED:
        return
    if stream.kind != "commands":
        runtime.metrics.alarm("id_reused", consumer=stream.consumer, id=record.cause)
        return
    cause = derived_id("reused", record.topic, record.partition, record.offset)
    now = await tx.fetchval("SELECT clock_timestamp()")
    publish = runtime.publisher(tx, cause=cause, correlation=record.received.correlation_id or cause, now=now)
    await publish(_refusal(stream, record, Refusal("id_reused", "Another command has used this id.")))


async def _put_aside(
    runtime: Runtime, stream: Stream, record: Record, error: Exception, retry: Parked | None, key: bytes | None = None
) -> str:
    reason = type(error).__name__
    async with runtime.pool.acquire() as tx, tx.transaction():
        if retry is None:
            if await inbox.take(tx, stream.consumer, record) is inbox.Seen.PASSED:
                return "passed"
            await parked.park(
                tx, stream.consumer, record, key=key or record.order_key, state="failed", reason=reason
            )
            await inbox.move_position(tx, stream.consumer, [record])
            state: parked.State = "failed"
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
    started = perf_counter()
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
            await _put_aside(runtime, stream, records[0], error, retry, key=records[0].topic.encode())
        return
    runtime.metrics.handled.labels(consumer=stream.consumer, outcome="handled").inc(len(records))
    runtime.metrics.handling_seconds.labels(consumer=stream.consumer).observe(perf_counter() - started)
    structlog.get_logger().info(
        "handled", consumer=stream.consumer, records=len(records), ms=round((perf_counter() - started) * 1000, 1)
    )


async def _handle_batch(
    runtime: Runtime,
    stream: Stream,
    records: Sequence[Record],
    handler: Callable[..., Awaitable[Any]],
    retry: Parked | None,
) -> None:
    async with runtime.pool.acquire() as tx:
        async with tx.transaction():
            if retry is None:
                batch = await inbox.take_batch(tx, stream.consumer, records)
                batch = await _leave_blocked(tx, stream, batch)
            else:
                batch = Batch(tuple(records), ())
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
    return Batch(
        tuple(record for record in batch.fresh if record.topic.encode() not in blocked),
        tuple(record for record in batch.repeated if record.topic.encode() not in blocked),
    )


async def decode(message: StreamMessage[Any], _original: object) -> Message | None:
    """Read the body of a message whose type is known.

    Raises:
        Invalid: it is not what its type demands.
    """
    model = registry.get(message.headers.get("ce_type", ""))
    if model is None:
        return None
    body = message.raw_message.value
    if body is None:
        raise Invalid("the message has no body")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Invalid(describe(error, body)) from None


def describe(error: ValidationError, body: bytes) -> str:
    """Say what is wrong with a body and where: at most five places, ids beside their positions, never the data itself."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    places = [f"{_place(fault['loc'], body)}: {fault['msg']}" for fault in faults[:5]]
    more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""  # noqa: PLR2004 # said above
    return "; ".join(places) + more


def _place(location: Sequence[int | str], body: bytes) -> str:
    """Write a place such as `lines.17 (L-0017).charged`, with the id that a list's element carries."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    written = []
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        identity = value.get("line_id") if isinstance(value, dict) else None
        named = isinstance(identity, str) and re.fullmatch(r"[A-Za-z0-9._+-]{1,40}", identity)
        written.append(f"{step} ({identity})" if named else str(step))
    return ".".join(written) or "body"
