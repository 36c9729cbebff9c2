"""Many people at once, and few connections: nobody waits for one that somebody holds for something else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from services.portal.api.limits import SIGN_IN_BY_ADDRESS
from shared.postgres import open_pool
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, PURCHASE
from tests.service.portal.test_sign_in import EMAIL, INITIAL, OWN, a_coordinator

SECONDS = 20


@pytest.fixture
async def one_connection(
    visiting: Visiting, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Visiting]:
    """The portal, once all is read, with one connection for all who ask."""
    await a_coordinator(visiting.kafka)
    async with asyncio.timeout(SECONDS):
        pool = await open_pool(database, "portal", max_size=1)
        monkeypatch.setattr(visiting.portal.runtime, "pool", pool)
        yield visiting
        monkeypatch.undo()
        await pool.close()


async def test_many_sign_in_at_once_through_one_connection(one_connection: Visiting) -> None:
    visiting = one_connection
    first = {"email": EMAIL, "password": INITIAL, "new_password": OWN}
    assert (await visiting.post("/sessions", first)).status_code == 201
    bodies = [{"email": f"nobody.{number}@nowhere.example", "password": "not mine"} for number in range(20)]
    answers = await asyncio.gather(*(visiting.post("/sessions", body) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {401: 20}


async def test_who_asks_at_once_for_orders_and_views_waits_for_nobody_for_ever(
    one_connection: Visiting,
) -> None:
    visiting = one_connection
    asking = await visiting.signed_in(COORDINATOR)
    invited = {"legal_name": "Harbour Ltd", "contact": {"name": "Bea", "email": "bea@harbour.example"}}
    answers = await asyncio.gather(
        *(visiting.get(f"/purchases/{PURCHASE}", asking) for _ in range(10)),
        *(visiting.post(f"/purchases/{PURCHASE}/invite-buyer", invited, asking) for _ in range(10)),
        *(visiting.post("/purchases", opening(number)) for number in range(10)),
    )
    assert {answer.status_code for answer in answers} <= {200, 202}, [answer.text for answer in answers]


async def test_whoever_follows_a_purchase_holds_no_connection(one_connection: Visiting) -> None:
    visiting = one_connection
    asking = await visiting.signed_in(COORDINATOR)
    runtime = visiting.portal.runtime
    follower = asyncio.create_task(visiting.get(f"/purchases/{PURCHASE}/progress", asking))
    try:
        async with asyncio.timeout(SECONDS):
            for _ in range(20):
                assert await runtime.pool.fetchval("SELECT 1") == 1
                assert (await visiting.get(f"/purchases/{PURCHASE}", asking)).status_code == 200
        assert not follower.done()
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)


async def test_of_many_who_try_at_once_no_more_are_let_through_than_the_limit_allows(
    visiting: Visiting,
) -> None:
    await a_coordinator(visiting.kafka)
    body = {"email": EMAIL, "password": "not my password"}
    answers = await asyncio.gather(*(visiting.post("/sessions", body) for _ in range(30)))
    assert Counter(answer.status_code for answer in answers) == {
        401: SIGN_IN_BY_ADDRESS.most,
        429: 30 - SIGN_IN_BY_ADDRESS.most,
    }


def opening(number: int) -> dict[str, object]:
    contact = {"name": "Cor", "email": f"cor.{number}@harbour.example"}
    return {"name": f"Group {number}", "currency": "EUR", "tax_basis": "net", "contact": contact}
