"""Several portals beside each other on the same tables: it does not matter which of them answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pyotp
import pytest

from services.portal.api import make_api
from services.portal.api.asking import Portal
from services.portal.api.limits import SIGN_IN_BY_ADDRESS
from services.portal.settings import Settings
from shared.messages.aggregation import CloseGroupRefused
from shared.messages.people import PasswordChosen, PasswordSpent, SecondFactorSet
from tests.memory import TEST_SETTINGS, MemoryKafka
from tests.service.conftest import start
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, PURCHASE
from tests.service.portal.test_sign_in import EMAIL, FAST, INITIAL, OWN, a_coordinator

SECONDS = 30


@pytest.fixture
async def second(visiting: Visiting, database: str) -> AsyncIterator[Visiting]:
    """Another portal on the same tables; it reads nothing itself, as where the other one has all partitions."""
    settings = Settings(
        **{**TEST_SETTINGS, "postgres_dsn": "postgresql://unused.invalid/x", "order_wait_s": 0}
    )
    async with start("portal", database, MemoryKafka()) as running:
        transport = httpx.ASGITransport(app=make_api(Portal(running.service.wiring, settings)))
        async with httpx.AsyncClient(transport=transport, base_url="https://portal.invalid") as client:
            yield Visiting(running, visiting.kafka, client)


async def a_person(kafka: MemoryKafka) -> None:
    await a_coordinator(kafka)
    kafka.event(PasswordSpent(person_id=COORDINATOR, purchase_id=PURCHASE, number=1))
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(OWN)))
    await kafka.settle()


async def test_a_session_of_one_portal_counts_at_the_other_until_it_ends_at_either(
    kafka: MemoryKafka, visiting: Visiting, second: Visiting
) -> None:
    await a_person(kafka)
    signed = await visiting.post("/sessions", {"email": EMAIL, "password": OWN})
    asking = {"Authorization": f"Bearer {signed.json()['token']}"}
    assert (await second.get("/me", asking)).status_code == 200
    assert (await second.client.delete("/v1/sessions/current", headers=asking)).status_code == 204
    assert (await visiting.get("/me", asking)).status_code == 401


async def test_attempts_at_all_portals_count_together(
    kafka: MemoryKafka, visiting: Visiting, second: Visiting
) -> None:
    await a_person(kafka)
    body = {"email": EMAIL, "password": "not my password"}
    both = (visiting, second)
    answers = await asyncio.gather(*(both[number % 2].post("/sessions", body) for number in range(24)))
    assert Counter(answer.status_code for answer in answers) == {
        401: SIGN_IN_BY_ADDRESS.most,
        429: 24 - SIGN_IN_BY_ADDRESS.most,
    }


async def test_an_initial_password_is_spent_at_one_of_two_portals(
    kafka: MemoryKafka, visiting: Visiting, second: Visiting
) -> None:
    await a_coordinator(kafka)
    body = {"email": EMAIL, "password": INITIAL, "new_password": OWN}
    answers = await asyncio.gather(*(one.post("/sessions", body) for one in (visiting, second) * 2))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401]


async def test_a_time_based_code_is_accepted_by_one_of_two_portals(
    kafka: MemoryKafka, visiting: Visiting, second: Visiting
) -> None:
    await a_person(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    codes = pyotp.TOTP((await visiting.post("/second-factor", {}, asking)).json()["secret"])
    kafka.event(SecondFactorSet(person_id=COORDINATOR, number=1, state="enabled"))
    await kafka.settle()
    code = codes.at(datetime.now(UTC) + timedelta(seconds=30))
    body = {"email": EMAIL, "password": OWN, "code": code}
    answers = await asyncio.gather(*(one.post("/sessions", body) for one in (visiting, second) * 2))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401]


async def test_the_same_key_at_two_portals_is_one_order_whose_outcome_both_tell(
    kafka: MemoryKafka, visiting: Visiting, second: Visiting
) -> None:
    await a_person(kafka)
    asking = {**await visiting.signed_in(COORDINATOR), "Idempotency-Key": "close it"}
    path = f"/purchases/{PURCHASE}/close-group"
    answers = await asyncio.gather(*(one.post(path, {}, asking) for one in (visiting, second) * 2))
    [order_id] = {answer.json()["order_id"] for answer in answers}
    await kafka.settle()
    assert len(kafka.topics["aggregation.commands"]) == 1
    kafka.event(
        CloseGroupRefused(
            purchase_id=PURCHASE, command_id=UUID(order_id), reason="usage_missing", detail="Not yet."
        ),
        causation=UUID(order_id),
    )
    await kafka.settle()
    for one in (visiting, second):
        told = await one.get(f"/orders/{order_id}", asking)
        assert (told.status_code, told.json()["reason"]) == (409, "usage_missing")


async def seen_at(visiting: Visiting) -> datetime:
    found: datetime = await visiting.portal.pool.fetchval("SELECT max(seen_at) FROM sessions")
    return found


async def test_whoever_follows_at_one_portal_hears_what_the_other_one_reads(
    kafka: MemoryKafka, visiting: Visiting, second: Visiting
) -> None:
    await a_person(kafka)
    asking = await second.signed_in(COORDINATOR)
    following = asyncio.create_task(second.get(f"/purchases/{PURCHASE}/progress", asking))
    kafka.event(
        CloseGroupRefused(
            purchase_id=PURCHASE, command_id=UUID(int=77), reason="usage_missing", detail="Not yet."
        )
    )
    await kafka.settle()
    history = (await second.get(f"/purchases/{PURCHASE}/history", asking)).json()
    asked = await seen_at(visiting)
    # The stream ends when its session does, and the client here has all of it only then. It has looked once more when its
    # session was seen again, and tells what it found before it asks whether the session still stands.
    async with asyncio.timeout(SECONDS):
        while await seen_at(visiting) == asked:  # noqa: ASYNC110 # only the table tells
            await asyncio.sleep(0.05)
        assert (await visiting.client.delete("/v1/sessions/current", headers=asking)).status_code == 204
        told = (await following).text
    assert told.count("event: fact") == len(history)
    assert all(one["id"] in told for one in history)
