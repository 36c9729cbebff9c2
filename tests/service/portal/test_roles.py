"""Every order x every role: who may give which order is written here by hand, and asked over HTTP."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.portal.domain.orders import orders_about_purchases
from shared.envelope import read_headers
from shared.messages.people import AuditorAppointed
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import BUYER, COORDINATOR, MEMBER, PURCHASE, a_group

EXAMPLES = Path(__file__).parents[3] / "shared" / "messages" / "examples"
AUDITOR, STRANGER = UUID(int=11), UUID(int=12)
PEOPLE = {"coordinator": COORDINATOR, "member": MEMBER, "auditor": AUDITOR, "stranger": STRANGER}
# What a member may order too; everything else is the coordinator's alone, and an auditor changes nothing.
MEMBERS_TOO = {"report-usage", "set-billing-preferences", "file-letter", "file-evidence"}
MEMBERS_ALONE = {"leave-group"}
ONE_S_OWN_PASSWORD = {"reissue-password"}
# The coordinator's alone, and refused before it is sent while the request has no custodian whose deadline has passed.
NOT_DUE = {"release-custodian-key"}
APART = {
    "add-buyer": {"legal_name": "B", "identifiers": [{"scheme": "XI-LEI", "id": "5493001KJTIIGC8Y1R12"}]},
    "invite-buyer": {"legal_name": "B"},
}
CONTACT = {"name": "Bea", "email": "bea@harbour.example"}


def body_of(order: str) -> dict[str, Any]:
    if order in APART:
        return {**APART[order], "contact": CONTACT}
    body: dict[str, Any] = json.loads((EXAMPLES / f"linepool.{order}.v1.json").read_text())
    body.pop("purchase_id")
    if "buyer_id" in body:
        body["buyer_id"] = str(BUYER)
    return body


def expected(order: str, who: str) -> int:
    if who == "stranger":
        return 404
    if order in ONE_S_OWN_PASSWORD:
        return 202
    if who == "auditor":
        return 403
    if who == "member":
        return 202 if order in MEMBERS_TOO | MEMBERS_ALONE else 403
    if order in NOT_DUE:
        return 409
    return 403 if order in MEMBERS_ALONE else 202


async def everybody(kafka: MemoryKafka) -> None:
    await a_group(kafka)
    kafka.event(AuditorAppointed(purchase_id=PURCHASE, person_id=AUDITOR), sequence=3)
    await kafka.settle()


@pytest.mark.parametrize("order", sorted([*orders_about_purchases(), *APART]))
async def test_an_order_is_taken_from_those_of_the_table_alone(
    order: str, kafka: MemoryKafka, visiting: Visiting
) -> None:
    await everybody(kafka)
    path = f"/purchases/{PURCHASE}/{order}"
    for who, person_id in PEOPLE.items():
        answer = await visiting.post(path, body_of(order), await visiting.signed_in(person_id))
        assert answer.status_code == expected(order, who), (who, answer.text)
    assert (await visiting.post(path, body_of(order))).status_code == 401
    await kafka.settle()
    sent = [
        received.actor
        for topic in ("aggregation.commands", "rfp.commands", "bidding.commands")
        for received in (read_headers(record.headers) for record in kafka.topics[topic])
    ]
    assert len(sent) == sum(expected(order, who) == 202 for who in PEOPLE)
    for actor in sent:
        assert actor is not None
        assert PEOPLE[actor.role] == actor.person_id
        on_behalf = actor.role == "coordinator" and order in MEMBERS_TOO and "buyer_id" in body_of(order)
        assert actor.on_behalf_of == (BUYER if on_behalf else None)


async def test_a_member_orders_nothing_for_another_buyer(kafka: MemoryKafka, visiting: Visiting) -> None:
    await everybody(kafka)
    body = body_of("set-billing-preferences") | {"buyer_id": str(uuid4())}
    path = f"/purchases/{PURCHASE}/set-billing-preferences"
    assert (await visiting.post(path, body, await visiting.signed_in(MEMBER))).status_code == 403


def test_no_order_of_the_officer_or_the_operator_has_a_way_in() -> None:
    for order in orders_about_purchases().values():
        assert not order.roles & {"officer", "operator"}
