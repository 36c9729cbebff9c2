"""Two people change one thing at once: one of them wins, the other is told why not, and both look at the same result."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from shared.messages.bidding import (
    RepliesCompared,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.notification import AwardNotified
from tests.flow.judged import judged
from tests.flow.pace import soon
from tests.flow.purchase import Purchase, bid, form, issue, register, verify
from tests.flow.system import Parts, System
from tests.flow.test_people import OTHER, OWN, PASSWORD, open_and_sign_in
from tests.flow.visiting import Visitor, visiting

AIKO, BRIO, CORA = "aikoaikoaiko", "briobriobrio", "coracoracora"
ORDERS = [None, 1, 2]


def shuffle(parts: Parts, seed: int | None) -> None:
    if seed is not None:
        parts.kafka.random = Random(seed)  # noqa: S311 # an order to repeat, no secret
        parts.kafka.in_pieces = True


async def at_once(system: System, *asked: tuple[Visitor, str, dict[str, Any]]) -> list[str]:
    """Give orders at the same time, through the portal; return for each the first fact it led to, or why not."""
    answers = await asyncio.gather(
        *(visitor.client.post(f"/v1{path}", json=body) for visitor, path, body in asked)
    )
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers]
    await system.rest()
    outcomes = []
    for (visitor, _, _), answer in zip(asked, answers, strict=True):
        found = await visitor.client.get(f"/v1/orders/{answer.json()['order_id']}")
        said = found.json()
        outcomes.append(said["reason"] if found.status_code == 409 else said["facts"][0]["type"])
    return outcomes


async def compared(system: System, visitor: Visitor, purchase: Purchase) -> RepliesCompared:
    """Bring a purchase to its comparison, its coordinator signed in."""
    await register(system, AIKO, BRIO, CORA)
    await form(system, purchase)
    initial = await visitor.mailed(purchase.contact(0).email, PASSWORD)
    await visitor.sign_in(purchase.contact(0).email, initial, new_password=OWN)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=2 * soon()))
    await verify(system, purchase, snapshot)
    await bid(system, purchase)
    found = await system.until(RepliesCompared, purchase.purchase_id)
    await system.rest()
    return found


@pytest.mark.parametrize("seed", ORDERS)
async def test_of_two_selections_and_of_two_answers_to_terms_one_counts(
    system: System, parts: Parts, visitor: Visitor, seed: int | None
) -> None:
    shuffle(parts, seed)
    purchase = Purchase((AIKO, BRIO, CORA))
    best, other = (await compared(system, visitor, purchase)).replies[:2]
    about = f"/purchases/{purchase.purchase_id}"

    def selecting(reply: Any) -> tuple[Visitor, str, dict[str, Any]]:
        body = {"reply_id": str(reply.reply_id), "reason_for_others": "Another costs less."}
        return visitor, f"{about}/select-reply", body

    outcomes = await at_once(system, selecting(best), selecting(other))
    assert sorted(outcomes) == ["already_selected", "linepool.provider-selected.v1"]
    award = await visitor.ask("GET", f"{about}/award", status=200)
    winner = (best, other)[outcomes.index("linepool.provider-selected.v1")]
    assert award["reply_id"] == str(winner.reply_id)

    await system.until(AwardNotified, purchase.purchase_id, provider_id=winner.provider_id)
    for word in (purchase.terms(), *purchase.terms_parts()):
        await system.word(winner.provider_id, word)
    presented = await system.until(TermsPresented, purchase.purchase_id)
    await system.rest()
    terms = {"award": 1, "terms_sha256": presented.terms_sha256}
    outcomes = await at_once(
        system,
        (visitor, f"{about}/accept-terms", terms),
        (visitor, f"{about}/reject-terms", {**terms, "reason": "Too long a notice."}),
    )
    facts = {"linepool.terms-accepted.v1", "linepool.terms-rejected.v1"}
    assert len(facts & set(outcomes)) == 1, outcomes
    state = (await visitor.ask("GET", f"{about}/terms", status=200))["state"]
    assert f"linepool.terms-{state}.v1" in outcomes
    said = [
        type(one)
        for one in system.kafka.messages("bidding.events")
        if isinstance(one, TermsAccepted | TermsRejected)
    ]
    assert len(said) == 1
    report = await judged(parts, purchase)
    assert report.ok, str(report)


@pytest.mark.parametrize("seed", ORDERS)
async def test_a_member_leaves_while_the_coordinator_closes_the_group(
    system: System, parts: Parts, visitor: Visitor, seed: int | None
) -> None:
    shuffle(parts, seed)
    purchase = Purchase((AIKO, BRIO))
    about = f"/purchases/{purchase.purchase_id}"
    await open_and_sign_in(system, visitor, purchase)
    for number in (1, 2):
        await system.order(purchase.joining(number), purchase.coordinator)
        for part in (1, 2):
            await system.order(purchase.reporting(number, part), purchase.coordinator)
    async with visiting(system, parts) as member:
        email = purchase.contact(2).email
        await member.sign_in(email, await member.mailed(email, PASSWORD), new_password=OTHER)
        closed, left = await at_once(
            system,
            (visitor, f"{about}/close-group", {}),
            (member, f"{about}/leave-group", {"buyer_id": str(purchase.buyer(2))}),
        )
    assert closed == "linepool.group-aggregated.v1"
    assert left in {"linepool.buyer-left.v1", "group_closed"}
    members = {one["buyer_id"] for one in (await visitor.ask("GET", f"{about}/buyers", status=200))["buyers"]}
    assert (str(purchase.buyer(2)) in members) == (left == "group_closed")
    report = await judged(parts, purchase)
    assert report.ok, str(report)


async def test_of_two_passwords_chosen_at_once_one_lets_its_person_in(
    system: System, parts: Parts, visitor: Visitor
) -> None:
    purchase = Purchase((AIKO, BRIO))
    email = purchase.contact(0).email
    await open_and_sign_in(system, visitor, purchase)
    async with visiting(system, parts) as elsewhere:
        await elsewhere.sign_in(email, OWN)
        wanted = [OTHER, "seven green bottles on a wall"]
        await asyncio.gather(
            *(
                tab.client.post("/v1/password", json={"current": OWN, "new_password": new})
                for tab, new in zip((visitor, elsewhere), wanted, strict=True)
            )
        )
        await system.rest()
        del visitor.client.headers["Authorization"]
        answers = [
            (await visitor.client.post("/v1/sessions", json={"email": email, "password": one})).status_code
            for one in (OWN, *wanted)
        ]
    assert answers[0] == 401
    assert sorted(answers[1:]) == [201, 401]
