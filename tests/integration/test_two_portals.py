"""Two portals on one stack, as where a chart runs two replicas: whichever of them answers, people see and may do the same."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import OK
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from deploy.local.process import end, free_port, launch
from deploy.local.services import python_module
from services.portal.api.limits import SIGN_IN_BY_ADDRESS
from shared.messages.aggregation import AddBuyer, BuyerJoined
from tests.integration.system import SERVICE_SETTINGS, RealSystem
from tests.integration.test_portal import OWN, signed_in_coordinator, until

PROJECT = Path(__file__).parents[2]
STARTING_S = 60.0
ANOTHER_CLIENT = "127.0.0.2"
"""Where the attempts come from that are counted here, so that they count against no other test."""


@dataclass(frozen=True)
class OtherPortal:
    """A second portal with the first one's login, role and secret, and a port of its own."""

    process: Popen[bytes]
    url: str


@pytest.fixture
async def other(system: RealSystem) -> AsyncIterator[OtherPortal]:
    port = free_port()
    process = launch(
        python_module("portal"),
        # Beside the logs of the services, so that the checker looks for secrets in it too.
        log=system.services.log("portal").with_name("portal-other.log"),
        environment=system.services.environment_of("portal")
        | SERVICE_SETTINGS
        | {"LINEPOOL_HTTP_PORT": str(port)},
        folder=PROJECT,
    )
    try:
        root = f"http://127.0.0.1:{port}"

        async def ready() -> bool | None:
            assert process.poll() is None
            return True if await status(f"{root}/readyz") == OK else None

        await until(ready, within=STARTING_S)
        yield OtherPortal(process, f"{root}/v1")
    finally:
        await asyncio.to_thread(end, process, signal.SIGTERM, 15)


async def status(url: str) -> int | None:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code
    except httpx.TransportError:
        return None


@asynccontextmanager
async def visiting(
    system: RealSystem, other: OtherPortal, client: str = "127.0.0.1"
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Visit the one portal, and the other."""
    first = f"http://127.0.0.1:{system.services.port('portal')}/v1"
    async with (
        httpx.AsyncClient(base_url=first, timeout=30, transport=coming_from(client)) as one,
        httpx.AsyncClient(base_url=other.url, timeout=30, transport=coming_from(client)) as two,
    ):
        yield one, two


def coming_from(client: str) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(local_address=client)


def somebody() -> str:
    return f"ada.{uuid4().hex[:8]}@harbour.example"


def a_buyer(suffix: str) -> dict[str, Any]:
    return {
        "legal_name": "Harbour Town",
        "identifiers": [{"scheme": "XI-LEI", "id": "5493001KJTIIGC8Y1R12"}],
        "contact": {"name": "Bea", "email": f"bea.{suffix}@harbour.example"},
    }


async def test_who_signs_in_at_one_portal_goes_on_at_the_other_and_is_signed_out_of_both(
    system: RealSystem, other: OtherPortal
) -> None:
    email = somebody()
    async with visiting(system, other) as (one, two):
        signed = await signed_in_coordinator(system, one, email)
        for client in (one, two):
            client.headers["Authorization"] = f"Bearer {signed['token']}"
        about = f"/purchases/{signed['purchase_id']}"
        assert (await two.get("/me")).json()["email"] == email

        ordered = await two.post(f"{about}/add-buyer", json=a_buyer(email[4:12]))
        assert ordered.is_success, ordered.text
        order = f"/orders/{ordered.json()['order_id']}"

        async def outcome() -> httpx.Response | None:
            answer = await one.get(order)
            return answer if answer.status_code == OK else None

        [fact] = (await until(outcome)).json()["facts"]
        assert fact["type"] == BuyerJoined.type()
        for client in (one, two):
            assert [
                buyer["legal_name"] for buyer in (await client.get(f"{about}/buyers")).json()["buyers"]
            ] == ["Harbour Town"]

        again = (await one.post("/sessions", json={"email": email, "password": OWN})).json()
        elsewhere = {"Authorization": f"Bearer {again['token']}"}
        assert (await two.get("/me", headers=elsewhere)).status_code == OK
        assert (await two.delete(f"/sessions/{again['session_id']}")).status_code == 204
        for client in (one, two):
            assert (await client.get("/me", headers=elsewhere)).status_code == 401
            assert (await client.get("/me")).status_code == OK
        assert (await one.delete("/sessions/current")).status_code == 204
        assert (await two.get("/me")).status_code == 401


async def test_attempts_at_both_portals_count_together(system: RealSystem, other: OtherPortal) -> None:
    body = {"email": somebody(), "password": "not my password at all"}
    async with visiting(system, other, ANOTHER_CLIENT) as both:
        answers = [
            (await both[number % 2].post("/sessions", json=body)).status_code
            for number in range(SIGN_IN_BY_ADDRESS.most + 2)
        ]
    assert answers == [401] * SIGN_IN_BY_ADDRESS.most + [429, 429]


async def test_whoever_waits_at_a_portal_that_is_killed_goes_on_at_the_other(
    system: RealSystem, other: OtherPortal
) -> None:
    email = somebody()
    async with visiting(system, other) as (one, two):
        signed = await signed_in_coordinator(system, one, email)
        asking = {"Authorization": f"Bearer {signed['token']}"}
        purchase_id = UUID(signed["purchase_id"])
        adding = {**asking, "Idempotency-Key": f"add {email}"}
        order = (f"/purchases/{purchase_id}/add-buyer", a_buyer(email[4:12]))

        async with two.stream("GET", f"/purchases/{purchase_id}/progress", headers=asking) as following:
            lines = following.aiter_lines()
            seen = [await anext_event(lines)]
            # Nobody obeys meanwhile, so that the order is still waited for when its portal dies.
            await asyncio.to_thread(system.services.stop_one, "aggregation")
            try:
                waiting = asyncio.create_task(two.post(order[0], json=order[1], headers=adding))
                await until(lambda: noted(system, purchase_id))
                other.process.kill()
                with pytest.raises(httpx.TransportError):
                    await waiting
                with pytest.raises(httpx.TransportError):
                    await hear(lines, seen)
            finally:
                await asyncio.to_thread(system.services.start, "aggregation")

        async def added() -> httpx.Response | None:
            answer = await one.post(order[0], json=order[1], headers=adding)
            assert answer.is_success, answer.text
            return answer if answer.status_code == OK else None

        order_id = UUID((await until(added, within=90)).json()["order_id"])
        fact = await system.until(BuyerJoined, purchase_id)
        assert fact.legal_name == "Harbour Town"

        history = (await one.get(f"/purchases/{purchase_id}/history", headers=asking)).json()
        missing = {event["id"] for event in history} - {event["id"] for event in seen}
        last = {**asking, "Last-Event-ID": seen[-1]["id"]}
        async with one.stream("GET", f"/purchases/{purchase_id}/progress", headers=last) as following:
            lines = following.aiter_lines()
            while missing:
                heard = await anext_event(lines)
                assert heard["id"] not in {event["id"] for event in seen}
                seen.append(heard)
                missing.discard(heard["id"])
        assert BuyerJoined.type() in {event["type"] for event in seen}

    await system.rest()
    said = [entry for entry in system.journal.entries if entry.says(BuyerJoined, purchase_id)]
    assert [entry.envelope.causation_id for entry in said] == [order_id]
    await system.check()


async def hear(lines: AsyncIterator[str], seen: list[dict[str, Any]]) -> None:
    """Keep what is told, for as long as anything is."""
    while True:
        seen.append(await anext_event(lines))


async def anext_event(lines: AsyncIterator[str]) -> dict[str, Any]:
    """Return the next server-sent event's data."""
    async with asyncio.timeout(30):
        async for line in lines:
            if line.startswith("data: "):
                event: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return event
    raise AssertionError("the stream has ended")


async def noted(system: RealSystem, purchase_id: UUID) -> bool | None:
    """Whether the order has been sent, and its portal waits for what comes of it."""
    connection = await asyncpg.connect(system.stack.admin_dsn)
    try:
        found = await connection.fetchval(
            "SELECT true FROM portal.orders WHERE purchase_id = $1 AND type = $2",
            purchase_id,
            AddBuyer.type(),
        )
    finally:
        await connection.close()
    return found or None
