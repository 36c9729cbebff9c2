"""The portal killed with SIGKILL while a person orders something: the order, repeated under its key, takes effect once."""

from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from shared.messages.aggregation import BuyerJoined
from tests.integration.system import RealSystem
from tests.integration.test_portal import signed_in_coordinator, until

ORDERING = ("before_outbox", "after_outbox", "before_send", "after_send", "before_ack", "after_ack")
"""Where it passes when it has something to send; at the other points it is killed in `test_crashes`."""


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=[pytest.mark.sweep] if point != "after_outbox" else []) for point in ORDERING],
)
async def test_an_order_that_the_portal_was_killed_at_takes_effect_once(
    system: RealSystem, tmp_path: Path, point: str
) -> None:
    marker, suffix = tmp_path / "portal", uuid4().hex[:8]
    buyer = {
        "legal_name": "Harbour Town",
        "identifiers": [{"scheme": "XI-LEI", "id": "5493001KJTIIGC8Y1R12"}],
        "contact": {"name": "Bea", "email": f"bea.{suffix}@harbour.example"},
    }
    url = f"http://127.0.0.1:{system.services.port('portal')}/v1"
    async with httpx.AsyncClient(base_url=url, timeout=30) as portal:
        signed = await signed_in_coordinator(system, portal, f"ada.{suffix}@harbour.example")
        portal.headers["Authorization"] = f"Bearer {signed['token']}"
        portal.headers["Idempotency-Key"] = f"add {suffix}"
        [purchase] = (await portal.get("/purchases")).json()
        await system.crash_at("portal", point, marker)

        async def added() -> httpx.Response | None:
            try:
                answer = await portal.post(f"/purchases/{purchase['purchase_id']}/add-buyer", json=buyer)
            except httpx.TransportError:
                return None
            assert answer.is_success or answer.is_server_error, answer.text
            return answer if marker.exists() and answer.is_success else None

        order_id = (await until(added, within=90)).json()["order_id"]
    fact = await system.until(BuyerJoined, UUID(purchase["purchase_id"]))
    await system.rest()
    said = [entry for entry in system.journal.entries if entry.says(BuyerJoined, fact.purchase_id)]
    assert [str(entry.envelope.causation_id) for entry in said] == [order_id]
    assert fact.legal_name == "Harbour Town"
    await system.check()
