"""Processes are replaced by successors under load, as a rolling update does it: nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.services import PROCESSES
from shared.messages.bidding import ReceiptIssued
from shared.messages.distribution import RequestPresented
from tests.flow.purchase import Purchase, buy, cancelling, form, issue, verify
from tests.integration.faults import meanwhile
from tests.integration.openers import openings_held, waiting_openers
from tests.integration.system import RealSystem

PACE_S = 0.1
"""Between two replies of the steady stream."""
NEWER = "service/9999_of_the_next_release.sql"
REPLICAS = [f"{role}-{number}" for role in PROCESSES for number in (2, 3)]


@asynccontextmanager
async def two_of_each(system: RealSystem) -> AsyncIterator[None]:
    """Let a second replica of each process run, and leave one."""
    services = system.services
    seconds = [f"{role}-2" for role in PROCESSES]
    try:
        for name in seconds:
            await asyncio.to_thread(services.start, name, wait=False)
        await asyncio.to_thread(services.wait_ready, seconds)
        yield
    finally:
        for name in REPLICAS:
            await asyncio.to_thread(services.stop_one, name)
        for role in PROCESSES:
            if services.pid(role) is None:
                await asyncio.to_thread(services.start, role, wait=False)
        await asyncio.to_thread(services.wait_ready)


@asynccontextmanager
async def newer_schema(system: RealSystem) -> AsyncIterator[None]:
    """Let every table have a column more, as the Job of the next release would leave them, under the processes that run."""
    admin = await asyncpg.connect(system.stack.admin_dsn)
    tables = [
        f'{row["schemaname"]}."{row["tablename"]}"'
        for row in await admin.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", PROCESSES
        )
    ]
    try:
        for table in tables:
            await admin.execute(f"ALTER TABLE {table} ADD COLUMN of_the_next_release text")
        for role in PROCESSES:
            await admin.execute(f"INSERT INTO {role}.migrations (name, checksum) VALUES ($1, 'new')", NEWER)
        yield
    finally:
        for role in PROCESSES:
            await admin.execute(f"DELETE FROM {role}.migrations WHERE name = $1", NEWER)
        for table in tables:
            await admin.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS of_the_next_release")
        await admin.close()


async def replace_each(system: RealSystem, role: str) -> None:
    """Start a successor of either replica, wait until it is ready, and only then tell the old one to end."""
    for old, successor in ((role, f"{role}-3"), (f"{role}-2", role)):
        await asyncio.to_thread(system.services.start, successor)
        # It is killed after 15 s; a pod has 75 s.
        assert await asyncio.to_thread(system.services.stop_one, old) == 0, f"{old} did not end in order"


async def keep_replying(
    system: RealSystem, purchase: Purchase, presented: RequestPresented, enough: asyncio.Event
) -> list[str]:
    """Let the first bidder revise its reply again and again; return the ids of what it said."""
    said: list[str] = []
    while not enough.is_set():
        reply = purchase.sealed_reply(0, presented, revision=len(said) + 1)
        said.append(await system.word(purchase.providers[0], reply))
        await asyncio.sleep(PACE_S)
    return said


def receipts(system: RealSystem, purchase: Purchase) -> list[tuple[datetime, str]]:
    """Return when the first bidder got each of its receipts, and for which message."""
    topic = f"notices.{purchase.providers[0]}"
    return sorted(
        (entry.appended_at, receipt.message_id)
        for entry in system.journal.entries
        if entry.topic == topic and (receipt := entry.says(ReceiptIssued, purchase.purchase_id))
    )


async def adopted(system: RealSystem) -> list[int]:
    admin = await asyncpg.connect(system.stack.admin_dsn)
    try:
        return [
            await admin.fetchval(f"SELECT count(*) FROM {role}.adopted")
            for role in PROCESSES
            if role != "opener"
        ]
    finally:
        await admin.close()


def alarms(system: RealSystem) -> Callable[[], list[str]]:
    """Return what later returns the alarms raised from now on."""
    logs = [system.services.log(name) for name in (*PROCESSES, *REPLICAS)]
    began = {log: log.stat().st_size for log in logs if log.exists()}

    def since() -> list[str]:
        return [
            f"{log.stem}: {line}"
            for log in logs
            if log.exists()
            for line in log.read_bytes()[began.get(log, 0) :].decode().splitlines()
            if '"event": "alarm"' in line
        ]

    return since


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_each_process_is_replaced_under_load_beside_a_newer_schema_and_nothing_is_lost_or_doubled(
    system: RealSystem,
) -> None:
    steady, purchases = system.purchase(), [system.purchase() for _ in range(3)]
    await form(system, steady)
    await verify(system, steady, await issue(system, steady, datetime.now(UTC) + timedelta(days=1)))
    presented = await system.until(RequestPresented, steady.purchase_id, provider_id=steady.providers[0])
    forgotten, raised, deaths = await adopted(system), alarms(system), restarts(system)
    said: list[str] = []

    async def roll() -> None:
        enough = asyncio.Event()
        talking = asyncio.create_task(keep_replying(system, steady, presented, enough))
        try:
            async with newer_schema(system):
                for role in PROCESSES:
                    await replace_each(system, role)
        finally:
            enough.set()
            said.extend(await talking)

    async with two_of_each(system):
        await meanwhile(system, purchases, roll, apart=15, takes=25)

    found = receipts(system, steady)
    assert sorted(message_id for _, message_id in found) == sorted(said)
    longest = max(later - earlier for (earlier, _), (later, _) in pairwise(found))
    print(f"{len(found)} receipts, the longest gap between two: {longest.total_seconds():.1f} s")  # noqa: T201 # measured, not asserted
    assert restarts(system) == deaths
    assert await adopted(system) == forgotten
    assert raised() == []
    await system.order(cancelling(steady), steady.coordinator)


def restarts(system: RealSystem) -> int:
    return sum(system.services.restarts_of(name) for name in (*PROCESSES, *REPLICAS))


def boxes_opened_by(system: RealSystem, name: str) -> float:
    for family in text_string_to_metric_families(system.metrics(name).decode()):
        for sample in family.samples:
            if sample.name == "linepool_opener_boxes_opened_total":
                return float(sample.value)
    raise AssertionError(f"{name} does not say how many boxes it has opened")


@pytest.mark.timeout(600)
async def test_a_box_whose_deadline_passes_beside_two_openers_is_opened_by_one_of_them(
    system: RealSystem,
) -> None:
    purchase, services, both = system.purchase(), system.services, ("opener", "opener-2")
    await asyncio.to_thread(services.start, "opener-2")
    try:
        async with asyncio.TaskGroup() as tasks, openings_held(system):
            tasks.create_task(buy(system, purchase, seconds=system.soon))
            # The deadline passes: one of them is in the middle, and the other waits for what becomes of that.
            await waiting_openers(system, openings=1, others=1)
            # One is told to stop there. The other one is in the middle then, and a successor waits.
            assert await asyncio.to_thread(services.stop_one, "opener") == 0
            await waiting_openers(system, openings=1)
            await asyncio.to_thread(services.start, "opener")
            await waiting_openers(system, openings=1, others=1)
            already = [boxes_opened_by(system, name) for name in both]
        await system.rest()
        await system.complete(purchase)
        now = [boxes_opened_by(system, name) for name in both]
        assert sorted(one - other for one, other in zip(now, already, strict=True)) == [0, 1]
        assert all(services.pid(name) for name in both)
        await system.check()
    finally:
        await asyncio.to_thread(services.stop_one, "opener-2")
        if services.pid("opener") is None:
            await asyncio.to_thread(services.start, "opener")
