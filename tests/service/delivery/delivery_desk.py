"""A service made for tests of delivery: what its handlers do is up to the test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from shared.delivery import Batched, Publish, Tx
from shared.envelope import Actor
from shared.messages.aggregation import GroupOpened
from shared.messages.rfp import (
    CancelRequest,
    RequestCancelled,
)
from shared.record import Batch
from shared.streams import Streams
from shared.timers import Timers
from tests.memory import MemoryKafka, Running

COORDINATOR = Actor(person_id=uuid4(), role="coordinator")
EFFECTS = "CREATE TABLE effects (what text NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY);"


class Disturbance(Exception):  # noqa: N818 # what a handler's mistake raises
    """A handler's mistake."""


@dataclass
class Desk:
    """A service under test: what its handlers do, and what they did."""

    streams: Streams
    timers: Timers = field(default_factory=Timers)
    runs: list[str] = field(default_factory=list)
    event: Callable[[GroupOpened, Any, Any], Any] | None = None
    command: Callable[[CancelRequest, Any, Any], Any] | None = None
    batch: Callable[[Batch, Any, Any], Any] | None = None


def a_desk() -> Desk:
    desk = Desk(Streams("rfp"))

    @desk.streams.events("aggregation.events").handle
    async def take_event(event: GroupOpened, tx: Tx, publish: Publish) -> object:
        desk.runs.append(event.name)
        await tx.execute("INSERT INTO effects (what) VALUES ($1)", event.name)
        return await desk.event(event, tx, publish) if desk.event else None

    @desk.streams.commands("rfp.commands").handle
    async def take_command(command: CancelRequest, tx: Tx, publish: Publish) -> object:
        desk.runs.append(command.reason)
        await tx.execute("INSERT INTO effects (what) VALUES ($1)", command.reason)
        return await desk.command(command, tx, publish) if desk.command else None

    @desk.streams.batches("replies.").handle_batch
    async def take_batch(batch: Batched, tx: Tx, publish: Publish) -> None:
        for record in batch.fresh:
            desk.runs.append(f"{record.topic}/{record.offset}")
            await tx.execute(
                "INSERT INTO effects (what) VALUES ($1)", (record.body or b"").decode("utf-8", "replace")
            )
        if desk.batch:
            await desk.batch(batch, tx, publish)

    return desk


def opened(name: str, purchase_id: UUID | None = None) -> GroupOpened:
    return GroupOpened(
        purchase_id=purchase_id or uuid4(),
        name=name,
        currency="EUR",
        tax_basis="net",
        coordinator_id=COORDINATOR.person_id,
    )


def cancelling(reason: str, purchase_id: UUID | None = None) -> CancelRequest:
    return CancelRequest(purchase_id=purchase_id or uuid4(), reason=reason)


async def effects(service: Running) -> list[str]:
    return [row["what"] for row in await service.pool.fetch("SELECT what FROM effects ORDER BY number")]


async def parked(service: Running) -> list[tuple[str, str]]:
    rows = await service.pool.fetch("SELECT state, reason FROM parked ORDER BY id")
    return [(row["state"], row["reason"]) for row in rows]


async def try_again(service: Running, kafka: MemoryKafka) -> None:
    """Let the pauses of what is parked be over."""
    await service.pool.execute("UPDATE parked SET retry_at = clock_timestamp()")
    await kafka.settle()


async def say_cancelled(event: GroupOpened, _tx: asyncpg.Connection, publish: Any) -> None:
    await publish(RequestCancelled(purchase_id=event.purchase_id, reason=event.name))


def raising(error: BaseException) -> Callable[..., Any]:
    async def handler(*_: object) -> None:
        raise error

    return handler
