"""What the OWASP API Security Top 10 (2023) and ASVS 5.0 ask of the portal, as far as no other test proves it.

docs/security.md has every item with the tests that prove it.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest
import structlog

from services.portal.api import make_api
from services.portal.api.asking import Portal
from services.portal.api.limits import SIGN_IN_BY_ADDRESS
from services.portal.domain.orders import orders_about_purchases
from services.portal.domain.passwords import as_initial, may_choose
from services.portal.settings import Settings
from shared.messages.people import PasswordChosen, SecondFactorSet
from tests.memory import TEST_SETTINGS, MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, MEMBER, PURCHASE, a_group
from tests.service.portal.test_sign_in import EMAIL, FAST, INITIAL, OWN, a_coordinator


async def a_person(kafka: MemoryKafka) -> None:
    await a_coordinator(kafka)
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(OWN)))
    await kafka.settle()


async def test_api1_nobody_ends_another_s_session_or_sees_another_s_order(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    own, other = await visiting.signed_in(COORDINATOR), await visiting.signed_in(MEMBER)
    [session] = (await visiting.get("/sessions", own)).json()
    ending = await visiting.client.delete(f"/v1/sessions/{session['session_id']}", headers=other)
    assert ending.status_code == 404
    assert (await visiting.get("/me/", own)).status_code in {404, 307}
    assert len((await visiting.get("/sessions", own)).json()) == 1


async def test_api2_a_session_ends_when_it_is_ended_idle_or_old(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_person(kafka)
    signed = (await visiting.post("/sessions", {"email": EMAIL, "password": OWN})).json()
    asking = {"Authorization": f"Bearer {signed['token']}"}
    assert (await visiting.get("/me", asking)).status_code == 200
    async with visiting.portal.pool.acquire() as db:
        await db.execute("UPDATE sessions SET seen_at = $1", datetime.now(UTC) - timedelta(hours=7))
    assert (await visiting.get("/me", asking)).status_code == 401
    again = (await visiting.post("/sessions", {"email": EMAIL, "password": OWN})).json()
    asking = {"Authorization": f"Bearer {again['token']}"}
    assert (await visiting.client.delete("/v1/sessions/current", headers=asking)).status_code == 204
    assert (await visiting.get("/me", asking)).status_code == 401


async def test_api2_changing_the_password_needs_the_old_one_and_ends_other_sessions(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_person(kafka)
    other = await visiting.signed_in(COORDINATOR)
    own = await visiting.signed_in(COORDINATOR)
    new = "seven brown bottles on a shelf"
    wrong = await visiting.post("/password", {"current": "not it at all", "new_password": new}, own)
    assert (wrong.status_code, wrong.json()["reason"]) == (403, "password_wrong")
    assert (await visiting.get("/me", other)).status_code == 200
    assert (await visiting.post("/password", {"current": OWN, "new_password": new}, own)).status_code == 202
    assert (await visiting.get("/me", other)).status_code == 401
    assert (await visiting.get("/me", own)).status_code == 200


async def test_api3_unknown_fields_are_refused_and_no_answer_holds_a_verifier_or_a_token(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_person(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    for path, body in (
        ("/sessions", {"email": EMAIL, "password": OWN, "role": "operator"}),
        (f"/purchases/{PURCHASE}/dissolve-group", {"reason": "x", "actor": str(MEMBER)}),
        ("/purchases", {"name": "x", "currency": "EUR", "tax_basis": "net", "coordinator_id": str(MEMBER)}),
    ):
        assert (await visiting.post(path, body, asking)).status_code == 422
    about_another = {"reason": "x", "purchase_id": str(uuid4())}
    sent = await visiting.post(f"/purchases/{PURCHASE}/dissolve-group", about_another, asking)
    assert sent.status_code == 202
    await kafka.settle()
    assert [record.key for record in kafka.topics["aggregation.commands"]] == [str(PURCHASE).encode()]
    for path in ("/me", "/sessions", "/purchases", f"/purchases/{PURCHASE}/history"):
        answer = (await visiting.get(path, asking)).text
        assert "argon2" not in answer
        assert asking["Authorization"].removeprefix("Bearer ") not in answer


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 422),
        (b'{"a":' * 50_000, 422),
        (b'{"reason": "' + b"x" * 2_000_000 + b'"}', 413),
        (b"\xff\xfe\x00", 422),
        (b'{"reason": "' + b"x" * 10_000 + b'"}', 422),
        (b'{"reason": "a\\u0000b"}', 422),
    ],
    ids=["deep list", "deep object", "too large", "not utf-8", "too long", "nul"],
)
async def test_api4_what_is_too_deep_too_large_or_no_text_is_refused(
    body: bytes, status: int, kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    asking = {**await visiting.signed_in(COORDINATOR), "Content-Type": "application/json"}
    path = f"/v1/purchases/{PURCHASE}/dissolve-group"
    answer = await visiting.client.post(path, content=body, headers=asking)
    assert answer.status_code in {status, 400}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "xxxx" not in answer.text


async def test_api8_every_answer_forbids_caching_framing_and_guessing_and_quotes_nothing(
    visiting: Visiting,
) -> None:
    for answer in (
        await visiting.get("/openapi.json"),
        await visiting.get("/nowhere"),
        await visiting.get("/me"),
        await visiting.post("/sessions", {"email": EMAIL, "password": "my secret " * 30}),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "my secret" not in answer.text
        assert "Traceback" not in answer.text


def test_api9_every_way_in_is_described_and_has_the_version_in_its_path() -> None:
    described = make_api(None).openapi()["paths"]
    assert all(path.startswith("/v1/") for path in described)
    assert {f"/v1/purchases/{{purchase_id}}/{order}" for order in orders_about_purchases()} <= set(described)


def test_asvs_6_2_1_a_chosen_password_is_long_and_is_not_composed_by_rule() -> None:
    assert may_choose("short", EMAIL)
    assert may_choose("a" * 20, EMAIL)
    assert may_choose("ada and the harbour", "ada@harbour.example")
    assert may_choose("0" * 129, EMAIL)
    assert may_choose("all lower case words", "bea@harbour.example") is None


@pytest.mark.parametrize(
    "common",
    [
        "passwordpassword1",
        "iloveyouiloveyou",
        "qwertyuiopasdfghjkl",
        "123456789012345678",
        "Berlin2026Berlin2026!",
        "linepool-linepool-1",
        "abcdef1" * 10,
    ],
)
def test_asvs_6_2_4_a_common_or_expected_password_cannot_be_chosen(common: str) -> None:
    refusal = may_choose(common, "ada@harbour.example")
    assert refusal is not None
    assert refusal.reason == "password_common"
    # What is common is not made better by the length alone, and what follows a good one does no harm.
    assert may_choose("a quiet river bends twice" + common[:60], "bea@example.example") is None


def test_asvs_6_4_1_an_initial_password_is_never_the_long_term_one() -> None:
    refusal = may_choose(INITIAL, "bea@harbour.example")
    assert refusal is not None
    assert refusal.reason == "password_like_initial"
    assert as_initial(" 0123-4567 89abcdefghjkmnpqrs ") == INITIAL


async def test_asvs_6_4_1_without_a_new_password_the_initial_one_is_not_spent(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    answer = await visiting.post("/sessions", {"email": EMAIL, "password": INITIAL})
    assert (answer.status_code, answer.json()["reason"]) == (403, "new_password_needed")
    body = {"email": EMAIL, "password": INITIAL, "new_password": OWN}
    assert (await visiting.post("/sessions", body)).status_code == 201


async def test_asvs_6_3_1_many_wrong_initial_passwords_make_the_right_one_void(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    for _ in range(10):
        await visiting.post("/sessions", {"email": EMAIL, "password": "X" * 26})
    async with visiting.portal.pool.acquire() as db:
        await db.execute("TRUNCATE attempts")
    body = {"email": EMAIL, "password": INITIAL, "new_password": OWN}
    assert (await visiting.post("/sessions", body)).status_code == 401


async def test_asvs_6_3_8_asking_for_a_new_password_tells_nobody_who_is_known(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    known = await visiting.post("/password/reissue", {"email": EMAIL})
    unknown = await visiting.post("/password/reissue", {"email": "nobody@nowhere.example"})
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text) == (202, "null")
    await kafka.settle()
    [order] = kafka.messages("aggregation.commands")
    assert order.type() == "linepool.reissue-password.v1"


async def test_asvs_6_5_a_time_based_code_works_once_and_is_asked_for_at_every_sign_in(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_person(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    prepared = (await visiting.post("/second-factor", {}, asking)).json()
    codes = pyotp.TOTP(prepared["secret"])
    assert (await visiting.post("/second-factor/confirm", {"code": codes.now()}, asking)).status_code == 202
    kafka.event(SecondFactorSet(person_id=COORDINATOR, number=1, state="enabled"))
    await kafka.settle()
    body = {"email": EMAIL, "password": OWN}
    assert (await visiting.post("/sessions", body)).json()["reason"] == "code_needed"
    later = codes.at(datetime.now(UTC) + timedelta(seconds=30))
    answers = await asyncio.gather(*(visiting.post("/sessions", {**body, "code": later}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401]


async def test_asvs_8_2_2_a_purchase_s_id_alone_opens_nothing(kafka: MemoryKafka, visiting: Visiting) -> None:
    await a_group(kafka)
    asking = await visiting.signed_in(uuid4())
    for path in make_api(None).openapi()["paths"]:
        if "{purchase_id}" in path:
            at = path.removeprefix("/v1").replace("{purchase_id}", str(PURCHASE))
            answers = [await visiting.get(at, asking), await visiting.post(at, {}, asking)]
            assert {answer.status_code for answer in answers} <= {404, 405, 422}, json.dumps(at)


async def test_asvs_6_2_8_a_password_counts_exactly_as_it_was_chosen(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    own = "Nine Green Bottles " + "0" * 100 + " end"
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(own)))
    await kafka.settle()
    for wrong in (own.lower(), own[:-4], own.strip() + " ", own[:72]):
        assert (await visiting.post("/sessions", {"email": EMAIL, "password": wrong})).status_code == 401
    assert (await visiting.post("/sessions", {"email": EMAIL, "password": own})).status_code == 201


async def test_asvs_6_4_3_a_forgotten_password_gets_nobody_past_the_second_factor(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    kafka.event(SecondFactorSet(person_id=COORDINATOR, number=1, state="enabled"))
    await kafka.settle()
    body = {"email": EMAIL, "password": INITIAL, "new_password": OWN}
    answer = await visiting.post("/sessions", body)
    assert (answer.status_code, answer.json()["reason"]) == (401, "code_needed")
    assert (await visiting.post("/sessions", {**body, "code": "000000"})).json()["reason"] == "sign_in_failed"


def of_security(said: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    return [
        (one["event"], one.get("reason") or one.get("by"))
        for one in said
        if one["event"] in {"signed in", "signed out", "refused"}
    ]


async def test_asvs_16_3_sign_ins_and_refusals_are_written_down_by_ids_and_fixed_words_alone(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_person(kafka)
    wrong, body = "not my own password", {"email": EMAIL, "password": OWN}
    with structlog.testing.capture_logs() as said:
        await visiting.post("/sessions", {"email": EMAIL, "password": wrong})
        signed = (await visiting.post("/sessions", body)).json()
        asking = {"Authorization": f"Bearer {signed['token']}"}
        stranger = await visiting.signed_in(uuid4())
        await visiting.get(f"/purchases/{PURCHASE}/buyers", stranger)
        await visiting.client.delete("/v1/sessions/current", headers=asking)
        await visiting.get("/me", asking)
        for _ in range(SIGN_IN_BY_ADDRESS.most):
            await visiting.post("/sessions", {"email": "eve@nowhere.example", "password": wrong})
        await visiting.post("/sessions", {"email": "eve@nowhere.example", "password": wrong})
    assert of_security(said) == [
        ("refused", "sign_in_failed"),
        ("signed in", "password"),
        ("refused", "purchase_unknown"),
        ("signed out", None),
        ("refused", "not_signed_in"),
        *[("refused", "sign_in_failed")] * SIGN_IN_BY_ADDRESS.most,
        ("refused", "too_many_attempts"),
    ]
    assert said[1]["person"] == str(COORDINATOR)
    assert said[2]["purchase"] == str(PURCHASE)
    assert {
        one["client"] for one in said if one.get("reason") in {"sign_in_failed", "too_many_attempts"}
    } == {said[0]["client"]}
    text = json.dumps(said)
    for secret in (EMAIL, "eve@", wrong, OWN, signed["token"], "127.0.0.1"):
        assert secret not in text


async def test_asvs_16_5_3_whoever_cannot_be_recognised_is_not_let_in_and_told_nothing(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_person(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    await visiting.portal.pool.execute("ALTER TABLE sessions RENAME TO lost")
    settings = Settings(**{**TEST_SETTINGS, "postgres_dsn": "postgresql://unused.invalid/x"})
    api = make_api(Portal(visiting.portal.service.wiring, settings))
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    ways = [
        path.replace("{purchase_id}", str(PURCHASE))
        for path, operations in api.openapi()["paths"].items()
        if "get" in operations and path.count("{") == path.count("{purchase_id}") and "openapi" not in path
    ]
    assert len(ways) > 10
    async with httpx.AsyncClient(transport=transport, base_url="https://portal.invalid") as client:
        answers = [await client.get(way, headers=asking) for way in ways]
        body = {"email": EMAIL, "password": OWN}
        answers.append(await client.post("/v1/sessions", json=body))
        order = f"/v1/purchases/{PURCHASE}/dissolve-group"
        answers.append(await client.post(order, json={"reason": "Lost."}, headers=asking))
    assert {answer.status_code for answer in answers} == {500}
    for answer in answers:
        assert answer.json()["reason"] == "fault"
        assert not [word for word in ("sessions", "lost", "token", "asyncpg") if word in answer.text]
    await kafka.settle()
    assert kafka.messages("aggregation.commands") == []
