"""A qualification is checked at the moment of opening, inside the opening's own statement."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.service.distribution.distribution_database import GateDatabase
from tests.service.distribution.distribution_facts import Purchase


async def test_a_qualification_that_ends_while_the_opening_waits_keeps_the_gate_shut(
    gates: GateDatabase,
) -> None:
    holder, opener, observer = [await gates.connect() for _ in range(3)]
    purchase = Purchase(valid_until=datetime.now(UTC) + timedelta(milliseconds=700))
    *early, last = purchase.needed
    for fact in early:
        await gates.handle(opener, fact)
    async with holder.transaction():
        await holder.execute("SELECT FROM gates WHERE purchase_id = $1 FOR UPDATE", purchase.purchase_id)
        opening = asyncio.create_task(gates.handle(opener, last))
        async with asyncio.timeout(10):
            while not await observer.fetchval(  # noqa: ASYNC110 # awaits Postgres
                "SELECT cardinality(pg_blocking_pids($1))", opener.get_server_pid()
            ):
                await asyncio.sleep(0.005)
            # The delivery began while it was valid.
            assert await observer.fetchval("SELECT clock_timestamp() < $1", purchase.valid_until)
            while await observer.fetchval("SELECT clock_timestamp() <= $1", purchase.valid_until):  # noqa: ASYNC110 # awaits Postgres
                await asyncio.sleep(0.02)
    await opening
    shown = await observer.fetchval(
        "SELECT count(*) FROM disclosures WHERE purchase_id = $1", purchase.purchase_id
    )
    assert shown == 0
    for connection in (holder, opener, observer):
        await connection.close()
