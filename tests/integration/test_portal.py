"""People come in over HTTP, on the real stack: the initial password goes by mail, opens the portal once, and lets them order."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from email import message_from_bytes, policy
from time import monotonic
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import httpx
import pytest

from deploy.local.stack import Stack
from shared.messages.aggregation import Contact
from shared.messages.people import AppointAuditor
from tests.flow.purchase import OPERATOR, buy
from tests.integration.system import RealSystem

T = TypeVar("T")


class HasMails(Protocol):
    """What runs on a stack that takes mails."""

    @property
    def stack(self) -> Stack:
        """The stack."""
        ...


OWN = "nine green bottles on a wall"


@pytest.fixture
def portal(system: RealSystem) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{system.services.port('portal')}/v1", timeout=30)


async def until(look: Callable[[], Awaitable[T | None]], *, within: float = 30) -> T:
    deadline = monotonic() + within
    while True:
        found = await look()
        if found is not None:
            return found
        assert monotonic() < deadline
        await asyncio.sleep(0.1)


async def mailed(system: HasMails, to: str, pattern: str) -> str:
    async def look() -> str | None:
        for file in system.stack.mail_folder.glob("*.eml"):
            mail = message_from_bytes(file.read_bytes(), policy=policy.default)
            found = re.search(pattern, mail.get_content(), re.MULTILINE) if to in mail["To"] else None
            if found:
                return found[1]
        return None

    return await until(look)


async def signed_in_coordinator(
    system: RealSystem, portal: httpx.AsyncClient, email: str, name: str = "Harbour towns"
) -> dict[str, Any]:
    """Open a group, and sign in with the initial password that is mailed; return what the portal says to that."""
    opening = {
        "name": name,
        "currency": "EUR",
        "tax_basis": "net",
        "contact": {"name": "Ada", "email": email},
    }
    opened = await portal.post("/purchases", json=opening)
    assert opened.status_code == 202
    initial = await mailed(system, email, r"^\s+([0-9A-Z]{26})\s*$")
    body = {"email": email, "password": initial, "new_password": OWN}

    async def sign_in() -> httpx.Response | None:
        # The mail may be faster than the portal's own reading.
        answer = await portal.post("/sessions", json=body)
        return answer if answer.status_code == 201 else None

    return {**(await until(sign_in)).json(), **opened.json(), "initial": initial}


async def test_a_person_opens_a_group_and_signs_in_with_what_was_mailed_once(
    system: RealSystem, portal: httpx.AsyncClient
) -> None:
    email = f"ada.{uuid4().hex[:8]}@harbour.example"
    async with portal:
        signed = await signed_in_coordinator(system, portal, email)
        portal.headers["Authorization"] = f"Bearer {signed['token']}"
        [purchase] = (await portal.get("/purchases")).json()
        assert (purchase["name"], purchase["roles"]) == ("Harbour towns", ["coordinator"])
        assert purchase["progress"]["stage"] == "forming"
        closing = await portal.post(f"/purchases/{purchase['purchase_id']}/close-group", json={})
        assert (closing.status_code, closing.json()["reason"]) == (409, "no_buyers")
        del portal.headers["Authorization"]
        again = {"email": email, "password": signed["initial"], "new_password": OWN}
        assert (await portal.post("/sessions", json=again)).status_code == 401


VIEWS = ("", "/buyers", "/request", "/providers", "/questions", "/comparison", "/award", "/terms", "/history")
NOBODY_SEES = {"secret", "verifier", "sealed_password"}


async def test_an_auditor_sees_a_whole_purchase_and_none_of_its_orders_is_obeyed(
    system: RealSystem, portal: httpx.AsyncClient
) -> None:
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon)
    about = f"/purchases/{purchase.purchase_id}"
    contact = Contact(person_id=uuid4(), name="Ann Auditor", email=f"ann.{uuid4().hex[:8]}@audit.example")
    await system.order(AppointAuditor(purchase_id=purchase.purchase_id, contact=contact), OPERATOR)
    initial = await mailed(system, contact.email, r"^\s+([0-9A-Z]{26})\s*$")
    body = {"email": contact.email, "password": initial, "new_password": OWN}

    async def sign_in() -> str | None:
        answer = await portal.post("/sessions", json=body)
        return answer.json()["token"] if answer.status_code == 201 else None

    async with portal:
        portal.headers["Authorization"] = f"Bearer {await until(sign_in)}"
        [shown] = (await portal.get("/purchases")).json()
        assert (shown["purchase_id"], shown["roles"]) == (str(purchase.purchase_id), ["auditor"])
        seen = {view: await portal.get(about + view) for view in VIEWS}
        assert {view: answer.status_code for view, answer in seen.items()} == dict.fromkeys(VIEWS, 200)
        rows = [row["buyer_id"] for row in seen["/comparison"].json()["evaluations"][0]["buyers"]]
        assert sorted(rows) == sorted(str(purchase.buyer(number)) for number in (1, 2))
        assert not [word for word in NOBODY_SEES for answer in seen.values() if f'"{word}"' in answer.text]

        api = (await portal.get("/openapi.json")).json()["paths"]
        orders = [
            path.rpartition("/")[2]
            for path, ways in api.items()
            if "{purchase_id}/" in path and "post" in ways
        ]
        # A new password of one's own is nobody's role.
        orders.remove("reissue-password")
        assert len(orders) > 15
        before = (await portal.get(f"{about}/history")).json()
        for order in orders:
            answer = await portal.post(f"{about}/{order}", json={})
            # 422: what it lacks is told before who may give it; nothing goes out either way.
            assert answer.status_code in {403, 422}, (order, answer.text)
        accepting = {"award": 1, "terms_sha256": "0" * 64}
        assert (await portal.post(f"{about}/accept-terms", json=accepting)).status_code == 403
        await system.rest()
        assert (await portal.get(f"{about}/history")).json() == before
    await system.check()
