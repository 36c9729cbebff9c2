"""A box of many sealed replies is opened once and whole, whatever dies while the opener is at it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from services.bidding.opener.opening import REPLIES_AT_A_TIME
from shared.messages.bidding import BidBoxReady, RepliesCompared, RepliesOpened
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import GroupQualified
from shared.sealing import offer_info, seal_for
from tests.flow.purchase import Purchase, an_offer, form, issue, register, verify
from tests.integration.openers import admin, ask, eventually, openings_held, waiting_openers
from tests.integration.system import RealSystem, own_stack, running_system

BIDDERS = tuple(f"bidder{number:06}" for number in range(REPLIES_AT_A_TIME * 4 + 10))
LAST = -(-len(BIDDERS) // REPLIES_AT_A_TIME)
"""The opener reads the box in so many pieces."""
POINTS = (
    "before_business:1",
    "after_business:1",
    "before_business:3",
    f"after_business:{LAST}",
    "before_commit",
)
"""Where it dies before anything is opened: between any two pieces, and at the very end."""


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSystem]:
    """A system of its own, with many providers, in which nobody is started again but by this test."""
    folder: Path = tmp_path_factory.mktemp("openings")
    with own_stack(folder) as stack:
        async with running_system(stack) as running:
            await asyncio.to_thread(stack.add_providers, list(BIDDERS), quotas=False)
            await register(running, *BIDDERS)
            running.services.restarts = False
            yield running


async def opened(system: RealSystem) -> tuple[int, int]:
    """Return how many boxes and how many replies the opener has opened."""
    async with admin(system) as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM opener.opened_boxes), (SELECT count(*) FROM opener.openings)"
        )
    return tuple(row)


async def stage(system: RealSystem, purchase: Purchase, wanted: str) -> None:
    async def is_there() -> bool:
        now = await ask(
            system, "SELECT stage FROM bidding.boxes WHERE purchase_id = $1", purchase.purchase_id
        )
        return bool(now == wanted)

    await eventually(is_there, f"the stage {wanted}")


async def start(system: RealSystem, name: str, **environment: str) -> None:
    await asyncio.to_thread(system.services.stop_one, name)
    await asyncio.to_thread(system.services.start, name, environment, wait=False)


async def died(system: RealSystem, name: str) -> None:
    async def is_gone() -> bool:
        return system.services.pid(name) is None

    await eventually(is_gone, f"the end of {name}", within=system.patience)


async def fill(system: RealSystem, purchase: Purchase, ready: BidBoxReady) -> None:
    """Let each bidder reply; all of it is written by a super user, whose one producer is as good as theirs."""
    assert ready.public_key is not None
    arguments = system.connections["admin"].arguments()
    async with AIOKafkaProducer(**arguments, acks="all", enable_idempotence=True) as producer:
        for number, bidder in enumerate(purchase.providers):
            offer = an_offer(f"0.{1000 + number}").model_dump_json().encode()
            reply = ReplySubmitted(
                purchase_id=purchase.purchase_id,
                request_version=1,
                revision=1,
                seal="hpke",
                sealed_offer=seal_for(
                    ready.public_key, offer, offer_info(purchase.purchase_id, 1, bidder, 1)
                ),
            )
            headers = [("ce_id", f"{bidder}-1".encode()), ("ce_type", reply.type().encode())]
            await producer.send(f"{system.stack.prefix}replies.{bidder}", reply.to_bytes(), headers=headers)


async def closed_box(system: RealSystem) -> Purchase:
    """Return a purchase whose box is closed, with a reply of each bidder in it, while the opener is away."""
    purchase = Purchase(BIDDERS)
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=system.soon(faults=15)))
    await verify(system, purchase, snapshot)
    await system.until(GroupQualified, purchase.purchase_id)
    await fill(system, purchase, await system.until(BidBoxReady, purchase.purchase_id))
    await asyncio.to_thread(system.services.stop_one, "opener")
    await stage(system, purchase, "closed")
    return purchase


@asynccontextmanager
async def opener_in_the_middle(system: RealSystem, **environment: str) -> AsyncIterator[None]:
    """Hold the opener within its transaction, after it has noted the opening and before the first reply is written."""
    async with openings_held(system):
        await start(system, "opener", **environment)
        await waiting_openers(system, openings=1)
        yield


async def nobody_opens(system: RealSystem) -> None:
    """Wait until the database has given up what a killed opener had begun."""

    async def is_over() -> bool:
        return not await ask(
            system,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'opener' AND backend_xid IS NOT NULL)",
        )

    await eventually(is_over, "the end of the opener's transaction")


@pytest.mark.timeout(600)
async def test_a_box_of_many_replies_is_opened_once_and_whole_whatever_dies_meanwhile(
    system: RealSystem,
) -> None:
    purchase = await closed_box(system)
    assert await opened(system) == (0, 0)
    for point in POINTS:
        await start(system, "opener", LINEPOOL_CRASH_AT=point)
        await died(system, "opener")
        await nobody_opens(system)
        assert await opened(system) == (0, 0), point

    async with opener_in_the_middle(system):
        await asyncio.to_thread(system.services.kill, "opener")
    await nobody_opens(system)
    assert await opened(system) == (0, 0)

    # The database dies under it, and bidding beside it; then it goes on by itself, and dies right after its commit.
    async with opener_in_the_middle(system, LINEPOOL_CRASH_AT="after_commit"):
        await asyncio.to_thread(system.services.kill, "bidding")
        await asyncio.to_thread(system.stack.postgres.kill)
    await asyncio.to_thread(system.stack.postgres.start)
    await died(system, "opener")
    assert await opened(system) == (1, len(BIDDERS))

    system.services.restarts = True
    await asyncio.to_thread(system.services.wait_ready)
    await all_is_opened(system, purchase)
    assert await opened(system) == (1, len(BIDDERS))
    await system.rest()
    await system.check()


async def all_is_opened(system: RealSystem, purchase: Purchase) -> None:
    said = await system.until(RepliesOpened, purchase.purchase_id)
    assert [one.standing for one in said.replies] == ["evaluated"] * len(BIDDERS)
    compared = await system.until(RepliesCompared, purchase.purchase_id)
    assert {one.reply_id for one in compared.replies} == {one.reply_id for one in said.replies}
