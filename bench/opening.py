"""Boxes full of sealed replies are opened, and what was in them is judged.

Bidding takes the replies and closes the boxes as processes do it at their deadline. Then both processes are stopped, and the
opener's round and bidding's are called here, one after the other, so that neither takes the processor from the other.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from uuid import UUID, uuid4

import asyncpg

from bench import intake
from bench.measuring import producer
from deploy.local.services import Services
from deploy.local.stack import Stack
from services.bidding.opener.opening import Opener
from services.bidding.opening import judge_opened_boxes
from services.bidding.settings import Settings
from shared.postgres import open_pool
from shared.runtime import Runtime
from shared.telemetry import Metrics

SIZES = (2_500, 5_000, 10_000)
PROVIDERS = 500
"""Of each request; every one has one standing reply."""
REPLIES_PER_S = 150
"""So many are surely sent and taken, the start of the services aside."""
SEALED = {"LINEPOOL_SEAL": "hpke", "LINEPOOL_JOB_PAUSE_S": "0.5"}


@dataclass(frozen=True)
class Figures:
    """How long it took, in seconds."""

    replies: int
    opened_s: float
    judged_s: float


def measure(stack: Stack) -> list[Figures]:
    """Fill boxes with each number of replies, and open them."""
    providers = [f"p{index:011d}" for index in range(PROVIDERS)]
    stack.add_providers(providers, quotas=False)
    return [_round(stack, providers, size) for size in SIZES]


def _round(stack: Stack, providers: list[str], size: int) -> Figures:
    purchases = [uuid4() for _ in range(size // PROVIDERS)]
    with Services(stack, ["bidding", "opener"], environment=SEALED) as services:
        asyncio.run(_take_replies(stack, purchases, providers, size))
        services.stop_one("opener")
        asyncio.run(_boxes_are(stack, purchases, "closed"))
        secret = bytes.fromhex(services.environment_of("opener")["LINEPOOL_SECRET"])
        settings = Settings.model_validate(
            {
                name.removeprefix("LINEPOOL_").lower(): value
                for name, value in services.environment_of("bidding").items()
            }
        )
    return asyncio.run(_open(stack, secret, settings, size))


async def _take_replies(stack: Stack, purchases: list[UUID], providers: list[str], size: int) -> None:
    async with producer(stack, linger_ms=2, max_batch_size=131_072) as kafka:
        for provider in providers:
            # Asking for what is new to a producer takes longer than sending.
            await kafka.partitions_for(f"{stack.prefix}replies.{provider}")
        deadline = datetime.now(UTC) + timedelta(seconds=20 + size / REPLIES_PER_S)
        for purchase in purchases:
            await intake.tell_bidding(stack, purchase, providers, deadline)
        for purchase in purchases:
            await intake.box_is_ready(stack, purchase)
            key = await intake.key_of(stack, purchase)
            await intake.send_replies(kafka, stack, providers, purchase, PROVIDERS, key=key)
    if datetime.now(UTC) > deadline:
        raise RuntimeError("the replies came after the deadline; this machine is too busy to measure")
    await asyncio.sleep((deadline - datetime.now(UTC)).total_seconds())
    for purchase in purchases:
        await intake.tell_deadline_passed(stack, purchase, deadline)


async def _boxes_are(stack: Stack, purchases: list[UUID], stage: str) -> None:
    connected = await asyncpg.connect(stack.dsn("bidding"))
    try:
        async with asyncio.timeout(180):
            while await connected.fetchval(  # noqa: ASYNC110 # another process writes it
                "SELECT count(*) FROM bidding.boxes WHERE purchase_id = ANY($1) AND stage = $2",
                purchases,
                stage,
            ) < len(purchases):
                await asyncio.sleep(0.1)
    finally:
        await connected.close()


async def _open(stack: Stack, secret: bytes, settings: Settings, size: int) -> Figures:
    pool = await open_pool(stack.dsn("opener"), "opener")
    try:
        opener = Opener(secret, pool, timedelta(0))
        began = perf_counter()
        opened = await opener.open_boxes()
        opened_s = perf_counter() - began
    finally:
        await pool.close()
    pool = await open_pool(stack.dsn("bidding"), "bidding")
    try:
        runtime = Runtime("bidding", settings, pool, Metrics.create("bidding"))
        began = perf_counter()
        judged = await judge_opened_boxes(runtime)
        judged_s = perf_counter() - began
        shut = await pool.fetchval("SELECT count(*) FROM opener.openings WHERE failure IS NOT NULL")
    finally:
        await pool.close()
    if shut or opened != judged or opened * PROVIDERS != size:
        raise RuntimeError(f"{opened} boxes were opened and {judged} judged, and {shut} replies did not open")
    return Figures(size, opened_s, judged_s)
