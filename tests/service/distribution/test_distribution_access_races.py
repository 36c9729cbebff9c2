"""What holds at the moment of granting is checked at that moment, whoever else is at work at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from shared.messages.base import Message
from shared.messages.rfp import ProviderReinstated, ProviderRemoved, ProviderSuspended
from tests.service.distribution.distribution_database import GateDatabase
from tests.service.distribution.distribution_facts import LISTED, Purchase
from tests.service.distribution.test_distribution_races import connections, race, wait_until_blocked

__all__ = ["connections"]
ASKER = LISTED[0]
RACES = 100
STRANGER = "stranger0001"


async def opened(gates: GateDatabase, connection: asyncpg.Connection, **other: object) -> Purchase:
    purchase = Purchase(mode="grant", content=b"{}", **other)  # type: ignore[arg-type] # any of its fields
    for fact in purchase.needed:
        await gates.handle(connection, fact)
    return purchase


async def outcomes(connection: asyncpg.Connection, purchase: Purchase) -> list[str]:
    rows = await connection.fetch(
        "SELECT outcome FROM access_requests WHERE purchase_id = $1 ORDER BY decided_at", purchase.purchase_id
    )
    return [row["outcome"] for row in rows]


async def shown(connection: asyncpg.Connection, purchase: Purchase) -> int:
    """Return how often the request itself was put before anybody."""
    count: int = await connection.fetchval(
        """
        SELECT count(*) FROM outbox
        WHERE convert_from(headers, 'UTF8') LIKE '%request-presented%'
            AND convert_from(body, 'UTF8')::json ->> 'purchase_id' = $1
        """,
        str(purchase.purchase_id),
    )
    return count


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (ProviderSuspended(provider_id=ASKER, reason="complaint"), "suspended"),
        (ProviderRemoved(provider_id=ASKER, reason="closed down"), "suspended"),
        ("cancelled", "cancelled"),
        ("lapsed", "not_qualified"),
        ("deadline_passed", "deadline_passed"),
    ],
    ids=["suspension", "removal", "cancellation", "lapse", "deadline"],
)
async def test_a_granting_waits_for_what_began_before_it_and_obeys_it(
    gates: GateDatabase, connections: list[asyncpg.Connection], change: Message | str, reason: str
) -> None:
    first, asking, observer, *_ = connections
    purchase = await opened(gates, first)
    earlier = first.transaction()
    await earlier.start()
    await gates.handle(first, getattr(purchase, change) if isinstance(change, str) else change)

    granting = asyncio.create_task(gates.handle(asking, purchase.asks(ASKER)))
    await wait_until_blocked(observer, asking)
    await earlier.commit()
    await granting

    assert await outcomes(observer, purchase) == [reason]
    assert await shown(observer, purchase) == 0


async def test_a_suspension_waits_for_a_granting_that_began_before_it(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    asking, suspender, observer, *_ = connections
    purchase = await opened(gates, asking)
    granting = asking.transaction()
    await granting.start()
    await gates.handle(asking, purchase.asks(ASKER))

    suspending = asyncio.create_task(
        gates.handle(suspender, ProviderSuspended(provider_id=ASKER, reason="complaint"))
    )
    await wait_until_blocked(observer, suspender)
    assert await outcomes(observer, purchase) == []
    await granting.commit()
    await suspending

    assert await outcomes(observer, purchase) == ["granted"]


@pytest.mark.parametrize(
    ("field", "reason"), [("deadline", "deadline_passed"), ("valid_until", "not_qualified")]
)
async def test_a_request_for_access_in_time_that_waits_until_it_is_too_late_is_refused(
    gates: GateDatabase, connections: list[asyncpg.Connection], field: str, reason: str
) -> None:
    holder, asking, observer, *_ = connections
    end = datetime.now(UTC) + timedelta(milliseconds=900)
    purchase = await opened(gates, asking, **{field: end})
    async with holder.transaction():
        await holder.execute("SELECT FROM gates WHERE purchase_id = $1 FOR UPDATE", purchase.purchase_id)
        granting = asyncio.create_task(gates.handle(asking, purchase.asks(ASKER)))
        await wait_until_blocked(observer, asking)
        assert await observer.fetchval("SELECT clock_timestamp() < $1", end)
        await observer.execute("SELECT pg_sleep_until($1)", end)
    await granting

    assert await outcomes(observer, purchase) == [reason]
    assert await shown(observer, purchase) == 0


async def test_racing_requests_for_access_show_the_request_once(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    for _ in range(RACES // 5):
        purchase = await opened(gates, connections[0])
        await race(gates, connections, [purchase.asks(ASKER) for _ in range(5)])
        assert sorted(await outcomes(connections[0], purchase)) == ["granted", *["shown_before"] * 4]
        assert await shown(connections[0], purchase) == 1


async def test_a_granting_racing_with_suspension_cancellation_and_strangers_is_shown_as_the_ledger_says(
    gates: GateDatabase, connections: list[asyncpg.Connection]
) -> None:
    for _ in range(RACES):
        purchase = await opened(gates, connections[0])
        others = [
            ProviderSuspended(provider_id=ASKER, reason="complaint"),
            purchase.cancelled,
            purchase.asks(STRANGER),
        ]
        await race(gates, connections, [purchase.asks(ASKER), *others])
        found = await connections[0].fetch(
            "SELECT provider_id, outcome FROM access_requests WHERE purchase_id = $1", purchase.purchase_id
        )
        by_provider = {row["provider_id"]: row["outcome"] for row in found}
        assert by_provider[STRANGER] == "unknown_purchase"
        assert by_provider[ASKER] in {"granted", "suspended", "cancelled"}
        assert await shown(connections[0], purchase) == (by_provider[ASKER] == "granted")
        await gates.handle(connections[0], ProviderReinstated(provider_id=ASKER))
        await connections[0].execute("DELETE FROM outbox")
