import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from shared.messages.base import Message
from shared.messages.rfp import ProviderReinstated, ProviderSuspended
from tests.service.distribution.distribution_database import GateDatabase
from tests.service.distribution.distribution_facts import LISTED, SUSPENDED, Purchase

RACES = 1000
RACES_WITH_A_CANCELLATION = 200
NEVER_LISTED = "unlisted0001"


@pytest.fixture
async def connections(gates: GateDatabase) -> AsyncIterator[list[asyncpg.Connection]]:
    opened = [await gates.connect() for _ in range(7)]
    await gates.handle(opened[0], ProviderSuspended(provider_id=SUSPENDED, reason="does not answer"))
    await gates.handle(opened[0], Purchase(listed=(NEVER_LISTED,)).request)
    yield opened
    for connection in opened:
        await connection.close()


async def race(gates: GateDatabase, connections: list[asyncpg.Connection], facts: list[Message]) -> None:
    """Let each fact be handled by a transaction of its own, all released at the same instant."""
    barrier = asyncio.Barrier(len(facts))
    async with asyncio.TaskGroup() as tasks:
        for connection, fact in zip(connections, facts, strict=False):
            tasks.create_task(gates.handle(connection, fact, barrier=barrier))


async def wait_until_blocked(observer: asyncpg.Connection, blocked: asyncpg.Connection) -> None:
    """Wait until the connection waits for a lock."""
    pid = blocked.get_server_pid()
    async with asyncio.timeout(10):
        while not await observer.fetchval("SELECT cardinality(pg_blocking_pids($1))", pid):  # noqa: ASYNC110 # awaits Postgres
            await asyncio.sleep(0.005)


async def test_a_thousand_races_open_each_gate_once_for_exactly_the_listed_providers(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    shuffled = random.Random(7)  # noqa: S311 # the same orders in every run
    small = b'{"title":"Lines"}'
    purchases = [Purchase(content=small) for _ in range(RACES)]

    for purchase in purchases:
        facts = purchase.needed
        shuffled.shuffle(facts)
        await race(gates, connections, facts)

    ids = [purchase.purchase_id for purchase in purchases]
    opened = await connections[0].fetch(
        """
        SELECT purchase_id, array_agg(provider_id::text ORDER BY provider_id) AS invited
        FROM disclosures WHERE purchase_id = ANY($1) GROUP BY purchase_id
        """,
        ids,
    )
    assert len(opened) == RACES
    assert {tuple(row["invited"]) for row in opened} == {tuple(sorted(LISTED))}
    told = await connections[0].fetch(
        """
        SELECT subject, count(*) FILTER (WHERE type = 'linepool.request-distributed.v1') AS distributed,
            count(*) FILTER (WHERE type = 'linepool.provider-invited.v1') AS invited
        FROM log WHERE subject = ANY($1) GROUP BY subject
        """,
        [str(id_) for id_ in ids],
    )
    assert {(row["distributed"], row["invited"]) for row in told} == {(1, len(LISTED))}
    presented = await connections[0].fetch(
        """
        SELECT topic, count(*), count(DISTINCT event_id) AS ids FROM outbox
        WHERE topic LIKE 'invitations.%' AND convert_from(headers, 'UTF8') LIKE '%request-presented%'
            AND (convert_from(body, 'UTF8')::json ->> 'purchase_id')::uuid = ANY($1)
        GROUP BY topic
        """,
        ids,
    )
    assert {(row["topic"], row["count"], row["ids"]) for row in presented} == {
        (f"invitations.{provider_id}", RACES, RACES) for provider_id in LISTED
    }
    await connections[0].execute("DELETE FROM outbox")


async def test_a_cancellation_racing_with_an_opening_reaches_everyone_who_was_shown_anything(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    purchases = [Purchase(content=b"{}") for _ in range(RACES_WITH_A_CANCELLATION)]

    for purchase in purchases:
        *early, last = purchase.needed
        for fact in early:
            await gates.handle(connections[0], fact)
        await race(gates, connections, [purchase.cancelled, last])

    rows = await connections[0].fetch(
        """
        SELECT purchase_id, (
            SELECT count(*) FROM disclosures WHERE disclosures.purchase_id = gates.purchase_id
        ) AS shown, (
            SELECT count(*) FROM outbox
            WHERE convert_from(headers, 'UTF8') LIKE '%cancellation-presented%'
                AND convert_from(body, 'UTF8')::json ->> 'purchase_id' = gates.purchase_id::text
        ) AS told
        FROM gates WHERE purchase_id = ANY($1)
        """,
        [purchase.purchase_id for purchase in purchases],
    )
    outcomes = {(row["shown"], row["told"]) for row in rows}
    assert outcomes <= {(0, 0), (len(LISTED), len(LISTED))}
    assert len(rows) == RACES_WITH_A_CANCELLATION
    await connections[0].execute("DELETE FROM outbox")


async def test_an_opening_waits_for_a_suspension_that_began_before_it(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    suspender, opener, observer, *_ = connections
    purchase = Purchase()
    *early, last = purchase.needed
    for fact in early:
        await gates.handle(opener, fact)
    suspension = suspender.transaction()
    await suspension.start()
    await gates.handle(suspender, ProviderSuspended(provider_id=LISTED[1], reason="does not answer"))

    opening = asyncio.create_task(gates.handle(opener, last))
    await wait_until_blocked(observer, opener)
    await suspension.commit()
    await opening

    assert await shown(observer, purchase.purchase_id) == [LISTED[0], LISTED[2]]
    await gates.handle(suspender, ProviderReinstated(provider_id=LISTED[1]))


async def test_a_suspension_waits_for_an_opening_that_began_before_it(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    opener, suspender, observer, *_ = connections
    purchase = Purchase()
    opening = opener.transaction()
    await opening.start()
    for fact in purchase.needed:
        await gates.handle(opener, fact)

    suspending = asyncio.create_task(
        gates.handle(suspender, ProviderSuspended(provider_id=LISTED[1], reason="does not answer"))
    )
    await wait_until_blocked(observer, suspender)
    assert await shown(observer, purchase.purchase_id) == []
    await opening.commit()
    await suspending

    assert await shown(observer, purchase.purchase_id) == list(LISTED)
    await gates.handle(suspender, ProviderReinstated(provider_id=LISTED[1]))


async def test_openings_of_different_purchases_do_not_wait_for_each_other(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    first, second, *_ = connections
    one, other = Purchase(listed=LISTED[:1]), Purchase(listed=LISTED[1:])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first.transaction())
        for fact in one.needed:
            await gates.handle(first, fact)
        for fact in other.needed:
            await gates.handle(second, fact)

        assert await shown(second, other.purchase_id) == list(LISTED[1:])


async def test_a_gate_reached_before_the_deadline_but_locked_until_after_it_stays_shut(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    holder, opener, observer, *_ = connections
    purchase = Purchase(deadline=datetime.now(UTC) + timedelta(milliseconds=700))
    *early, last = purchase.needed
    for fact in early:
        await gates.handle(opener, fact)
    async with holder.transaction():
        await holder.execute("SELECT FROM gates WHERE purchase_id = $1 FOR UPDATE", purchase.purchase_id)
        opening = asyncio.create_task(gates.handle(opener, last))
        await wait_until_blocked(observer, opener)
        assert await observer.fetchval("SELECT clock_timestamp() < $1", purchase.deadline)
        async with asyncio.timeout(10):
            while await observer.fetchval("SELECT clock_timestamp() <= $1", purchase.deadline):  # noqa: ASYNC110 # awaits Postgres
                await asyncio.sleep(0.02)
    await opening

    assert await shown(observer, purchase.purchase_id) == []


async def shown(connection: asyncpg.Connection, purchase_id: UUID) -> list[str]:
    rows = await connection.fetch(
        "SELECT provider_id FROM disclosures WHERE purchase_id = $1 ORDER BY provider_id", purchase_id
    )
    return [row["provider_id"] for row in rows]
