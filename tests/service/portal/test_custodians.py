"""A custodian's key leaves the portal after the deadline and not before, because what is sent stands on a topic for days."""

from datetime import UTC, datetime

import asyncpg
import pytest

from linepool.custodian.keys import key_for
from shared.documents import manifest_of
from shared.messages.bidding import CustodianKeyReleased, ReleaseCustodianKey
from shared.messages.rfp import Custodian, DeadlinePassed, NeedDescribed, RequestIssued, ServiceNeed
from shared.sealing import private_key, private_key_b64, public_key_b64
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, MEMBER, PURCHASE, a_group

DEADLINE = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = key_for(b"c" * 32, PURCHASE, DEADLINE)
CUSTODIAN = Custodian(name="Meier & Partners", public_key=public_key_b64(KEY))
RELEASED = {"private_key": private_key_b64(KEY)}
PATH = f"/purchases/{PURCHASE}/release-custodian-key"
PASSED = DeadlinePassed(purchase_id=PURCHASE, request_version=1, deadline=DEADLINE)


async def an_issued_request(kafka: MemoryKafka, custodian: Custodian | None = CUSTODIAN) -> None:
    await a_group(kafka)
    needs = (ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),)
    said = {
        "purchase_id": PURCHASE,
        "title": "Lines",
        "services": needs,
        "deadline": DEADLINE,
        "contract_months": 24,
        "mode": "transmit",
        "buyers_shown": "named",
        "custodian": custodian,
    }
    kafka.event(NeedDescribed.model_validate({**said, "description": "All lines.", "places": ("Aal",)}))
    issued = {
        "request_version": 1,
        "content": manifest_of("request", b"{}"),
        "documents": (),
        "snapshot": "a" * 64,
        "usage_digest": "a" * 64,
        "provider_ids": ("aikoaikoaiko",),
        "currency": "EUR",
        "tax_basis": "net",
    }
    kafka.event(RequestIssued.model_validate({**said, **issued}))
    await kafka.settle()


async def everything(dsn: str) -> str:
    """Return all rows of all the portal's tables as text."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'portal'")
        tables = [await connection.fetch(f'SELECT * FROM portal."{name}"') for (name,) in names]
    finally:
        await connection.close()
    return "\n".join(
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for rows in tables
        for row in rows
        for value in row.values()
    )


async def test_before_the_deadline_a_key_is_neither_sent_nor_kept(
    kafka: MemoryKafka, visiting: Visiting, database: str
) -> None:
    await an_issued_request(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    answer = await visiting.post(PATH, RELEASED, asking)
    assert (answer.status_code, answer.json()["reason"]) == (409, "too_early")
    await kafka.settle()
    assert not kafka.topics["bidding.commands"]
    assert RELEASED["private_key"] not in await everything(database)
    assert RELEASED["private_key"] not in answer.text


async def test_after_the_deadline_the_coordinator_s_word_brings_it_to_bidding(
    kafka: MemoryKafka, visiting: Visiting, database: str
) -> None:
    await an_issued_request(kafka)
    kafka.event(PASSED)
    await kafka.settle()
    member = await visiting.post(PATH, RELEASED, await visiting.signed_in(MEMBER))
    assert member.status_code == 403
    answer = await visiting.post(PATH, RELEASED, await visiting.signed_in(COORDINATOR))
    assert answer.status_code == 202
    await kafka.settle()
    [sent] = kafka.messages("bidding.commands")
    assert sent == ReleaseCustodianKey(purchase_id=PURCHASE, **RELEASED)
    assert RELEASED["private_key"] not in await everything(database)


@pytest.mark.parametrize(
    ("custodian", "body", "reason"),
    [
        (None, RELEASED, "no_custodian"),
        (CUSTODIAN, {"private_key": private_key_b64(private_key(b"o" * 32, "other"))}, "wrong_key"),
        (CUSTODIAN, {"private_key": "short"}, "invalid"),
    ],
)
async def test_what_is_no_key_of_the_custodian_is_not_sent(
    kafka: MemoryKafka, visiting: Visiting, custodian: Custodian | None, body: dict[str, str], reason: str
) -> None:
    await an_issued_request(kafka, custodian)
    kafka.event(PASSED)
    await kafka.settle()
    answer = await visiting.post(PATH, body, await visiting.signed_in(COORDINATOR))
    assert answer.json()["reason"] == reason
    assert body["private_key"] not in answer.text
    await kafka.settle()
    assert not kafka.topics["bidding.commands"]


async def test_everyone_in_the_group_sees_the_custodian_and_what_the_purchase_waits_for(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await an_issued_request(kafka)
    asking = await visiting.signed_in(MEMBER)

    async def waits_for() -> str:
        [purchase] = (await visiting.get("/purchases", asking)).json()
        return str(purchase["progress"]["waits_for"])

    shown = (await visiting.get(f"/purchases/{PURCHASE}/request", asking)).json()
    assert (shown["custodian"], shown["custodian_released"]) == (CUSTODIAN.model_dump(), False)
    assert "custodian" not in await waits_for()
    kafka.event(PASSED)
    await kafka.settle()
    assert "custodian" in await waits_for()
    kafka.event(
        CustodianKeyReleased(purchase_id=PURCHASE, request_version=1, public_key=CUSTODIAN.public_key)
    )
    await kafka.settle()
    assert await waits_for() == "the replies to be opened"
    shown = (await visiting.get(f"/purchases/{PURCHASE}/request", asking)).json()
    assert shown["custodian_released"] is True
