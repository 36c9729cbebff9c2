"""Who sees what: the coordinator and the auditor all but sealed content, a member its own row, a stranger nothing."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.documents import manifest_of, split
from shared.messages.aggregation import BuyerJoined, Identifier, UsageReported
from shared.messages.base import Message
from shared.messages.bidding import (
    ComparisonPart,
    OpenedReply,
    RankedReply,
    RepliesCompared,
    RepliesOpened,
)
from shared.messages.people import AuditorAppointed
from shared.messages.rfp import NeedDescribed, ProviderListSet, RequestIssued
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import BUYER, COORDINATOR, MEMBER, PURCHASE, a_group
from tests.service.portal.test_roles import AUDITOR, EXAMPLES, STRANGER

OTHER_BUYER, OTHER_MEMBER = UUID(int=21), UUID(int=22)
DEADLINE = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
VIEWS = ("", "/buyers", "/request", "/providers", "/questions", "/comparison", "/award", "/terms", "/history")


def example(model: type[Message], **changed: Any) -> Message:
    body = (
        json.loads((EXAMPLES / f"{model.type()}.json").read_text()) | {"purchase_id": str(PURCHASE)} | changed
    )
    return model.model_validate_json(json.dumps(body))


def row(buyer_id: UUID, total: str) -> dict[str, Any]:
    money = dict.fromkeys(
        (
            "charged_over_term",
            "saving",
            "exit_fees",
            "saving_after_exit_fees",
            "alone_total",
            "gain_from_group",
        ),
        "1.00",
    )
    return {"buyer_id": str(buyer_id), "line_count": 2, "term_total": total, **money}


def comparison_document() -> bytes:
    money = dict.fromkeys(
        (
            "term_total", "one_time_total", "charged_over_term", "saving", "saving_after_exit_fees", "gain_from_group",
        ),
        "100.00",
    )  # fmt: skip
    evaluation = {
        "rank": 1,
        "reply_id": str(UUID(int=31)),
        "tariff_name": "Group voice",
        "contract_months": 24,
        "buyers_paying_more": [str(BUYER), str(OTHER_BUYER)],
        "sensitivity": [],
        "buyers": [row(BUYER, "41.00"), row(OTHER_BUYER, "59.00")],
        "tariff_secret": "components of the price",
        **money,
    }
    return json.dumps(
        {
            "currency": "EUR",
            "tax_basis": "net",
            "period_months": 1,
            "line_count": 4,
            "buyer_count": 2,
            "evaluations": [evaluation],
            "replies": {str(UUID(int=31)): {"provider_id": "aikoaikoaiko", "billing": "One PDF a month."}},
        }
    ).encode()


async def a_compared_purchase(kafka: MemoryKafka) -> None:
    await a_group(kafka)
    document = comparison_document()
    manifest = manifest_of("comparison.json", document)
    facts: list[Message] = [
        BuyerJoined(
            purchase_id=PURCHASE,
            buyer_id=OTHER_BUYER,
            legal_name="Other Ltd",
            identifiers=(Identifier(scheme="GB-COH", id="07654321"),),
            contact_id=OTHER_MEMBER,
        ),
        example(UsageReported, buyer_id=str(BUYER), lines=3),
        example(UsageReported, buyer_id=str(OTHER_BUYER), lines=5),
        AuditorAppointed(purchase_id=PURCHASE, person_id=AUDITOR),
        example(NeedDescribed),
        example(ProviderListSet),
        example(RequestIssued),
        RepliesOpened(
            purchase_id=PURCHASE,
            request_version=1,
            replies=(
                OpenedReply(
                    reply_id=UUID(int=31),
                    provider_id="aikoaikoaiko",
                    revision=1,
                    appended_at=DEADLINE,
                    standing="evaluated",
                ),
            ),
            declined=(),
        ),
        example(
            RepliesCompared,
            comparison_sha256=manifest.sha256,
            replies=[
                RankedReply(
                    reply_id=UUID(int=31), provider_id="aikoaikoaiko", rank=1, total="100.00", saving="1.00"
                ).model_dump(mode="json")
            ],
        ),
        *(
            ComparisonPart(purchase_id=PURCHASE, document=manifest, request_version=1, part=number, data=data)
            for number, data in split(manifest, document)
        ),
    ]
    for fact in facts:
        kafka.event(fact)
    await kafka.settle()


async def test_a_member_sees_the_totals_and_its_own_row_and_nobody_else_s(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    asking = await visiting.signed_in(MEMBER)
    [evaluation] = (await visiting.get(f"/purchases/{PURCHASE}/comparison", asking)).json()["evaluations"]
    assert evaluation["term_total"] == "100.00"
    assert [one["buyer_id"] for one in evaluation["buyers"]] == [str(BUYER)]
    assert evaluation["buyers_paying_more"] == [str(BUYER)]
    buyers = (await visiting.get(f"/purchases/{PURCHASE}/buyers", asking)).json()
    assert (buyers["count"], buyers["usage_lines"], [one["buyer_id"] for one in buyers["buyers"]]) == (
        2,
        8,
        [str(BUYER)],
    )
    for view in VIEWS:
        answer = await visiting.get(f"/purchases/{PURCHASE}{view}", asking)
        for secret in (str(OTHER_BUYER), "Other Ltd", str(OTHER_MEMBER), "59.00", "tariff_secret"):
            assert secret not in answer.text, view


@pytest.mark.parametrize("person_id", [COORDINATOR, AUDITOR])
async def test_the_coordinator_and_the_auditor_see_every_row_but_not_the_tariff(
    person_id: UUID, kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    asking = await visiting.signed_in(person_id)
    answer = await visiting.get(f"/purchases/{PURCHASE}/comparison", asking)
    [evaluation] = answer.json()["evaluations"]
    assert {one["buyer_id"]: one["term_total"] for one in evaluation["buyers"]} == {
        str(BUYER): "41.00",
        str(OTHER_BUYER): "59.00",
    }
    assert "tariff_secret" not in answer.text
    assert len((await visiting.get(f"/purchases/{PURCHASE}/buyers", asking)).json()["buyers"]) == 2
    assert (await visiting.get(f"/purchases/{PURCHASE}/request", asking)).json()["provider_ids"]


async def test_for_a_stranger_and_for_nobody_there_is_no_purchase(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    asking = await visiting.signed_in(STRANGER)
    for view in VIEWS:
        there = await visiting.get(f"/purchases/{PURCHASE}{view}", asking)
        nowhere = await visiting.get(f"/purchases/{uuid4()}{view}", asking)
        assert (there.status_code, there.text) == (404, nowhere.text)
        assert (await visiting.get(f"/purchases/{PURCHASE}{view}")).status_code == 401
    assert (await visiting.get("/purchases", asking)).json() == []


async def test_a_portal_that_lost_its_tables_answers_the_same_after_reading_again(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)

    async def everything() -> list[str]:
        found = []
        for person_id in (COORDINATOR, MEMBER, AUDITOR):
            asking = await visiting.signed_in(person_id)
            found += [(await visiting.get(f"/purchases/{PURCHASE}{view}", asking)).text for view in VIEWS]
        return found

    before = await everything()
    async with visiting.portal.pool.acquire() as db:
        await db.execute(
            "TRUNCATE purchases, facts, concerned, comparison_parts, terms_parts, accounts, credentials, sessions, attempts, "
            "inbox, positions, orders"
        )
    visiting.portal.rewind()
    await kafka.settle()
    assert await everything() == before
