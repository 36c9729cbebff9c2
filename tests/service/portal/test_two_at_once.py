"""Two people, or two tabs, change one thing at once: each gets the outcome of its own order."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from shared.messages import Message
from shared.messages.aggregation import BuyerLeft, CloseGroupRefused, LeaveGroup
from shared.messages.bidding import AcceptTermsRefused, ProviderSelected, SelectReplyRefused, TermsAccepted
from shared.messages.people import ChangePassword, PasswordChosen, PasswordSpent
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import BUYER, COORDINATOR, MEMBER, PURCHASE, a_group
from tests.service.portal.test_seen import example
from tests.service.portal.test_sign_in import EMAIL, FAST, OWN, a_coordinator

SELECTING = ("select-reply", {"reply_id": str(UUID(int=31)), "reason_for_others": "Dearer."})
OTHERWISE = ("select-reply", {"reply_id": str(UUID(int=32)), "reason_for_others": "Dearer too."})
ACCEPTING = ("accept-terms", {"award": 1, "terms_sha256": "0" * 64})
"""Orders as (path, body)."""


@pytest.mark.parametrize(
    ("orders", "won", "lost"),
    [
        ((SELECTING, OTHERWISE), ProviderSelected, SelectReplyRefused),
        ((ACCEPTING, ACCEPTING), TermsAccepted, AcceptTermsRefused),
    ],
    ids=["select and select", "accept and accept"],
)
async def test_of_two_tabs_that_decide_at_once_each_is_told_what_came_of_its_own_order(
    orders: Any, won: type[Message], lost: Any, kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    tabs = [await visiting.signed_in(COORDINATOR) for _ in orders]
    sent = await asyncio.gather(
        *(
            visiting.post(f"/purchases/{PURCHASE}/{path}", body, tab)
            for (path, body), tab in zip(orders, tabs, strict=True)
        )
    )
    first, second = (UUID(answer.json()["order_id"]) for answer in sent)
    assert first != second
    await kafka.settle()
    assert len(kafka.topics["bidding.commands"]) == 2
    kafka.event(
        lost(purchase_id=PURCHASE, command_id=second, reason="already_decided", detail="Another came first."),
        causation=second,
    )
    kafka.event(example(won), causation=first)
    await kafka.settle()
    told = await visiting.get(f"/orders/{first}", tabs[0])
    assert (told.status_code, [fact["type"] for fact in told.json()["facts"]]) == (200, [won.type()])
    told = await visiting.get(f"/orders/{second}", tabs[1])
    assert (told.status_code, told.json()["reason"]) == (409, "already_decided")


async def test_of_one_who_closes_and_one_who_leaves_at_once_each_is_told_the_own_outcome(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    closer, leaver = await visiting.signed_in(COORDINATOR), await visiting.signed_in(MEMBER)
    closing, leaving = await asyncio.gather(
        visiting.post(f"/purchases/{PURCHASE}/close-group", {}, closer),
        visiting.post(f"/purchases/{PURCHASE}/leave-group", {"buyer_id": str(BUYER)}, leaver),
    )
    assert {closing.status_code, leaving.status_code} == {202}, (closing.text, leaving.text)
    close_id, leave_id = (UUID(answer.json()["order_id"]) for answer in (closing, leaving))
    await kafka.settle()
    assert {type(one) for one in kafka.messages("aggregation.commands")} >= {LeaveGroup}
    kafka.event(BuyerLeft(purchase_id=PURCHASE, buyer_id=BUYER), causation=leave_id)
    kafka.event(
        CloseGroupRefused(
            purchase_id=PURCHASE, command_id=close_id, reason="no_buyers", detail="Nobody is in it."
        ),
        causation=close_id,
    )
    await kafka.settle()
    left = await visiting.get(f"/orders/{leave_id}", leaver)
    assert (left.status_code, [fact["type"] for fact in left.json()["facts"]]) == (200, [BuyerLeft.type()])
    closed = await visiting.get(f"/orders/{close_id}", closer)
    assert (closed.status_code, closed.json()["reason"]) == (409, "no_buyers")
    assert (await visiting.get(f"/orders/{close_id}", leaver)).status_code == 404


@pytest.mark.parametrize("sharing", [True, False], ids=["one session", "two sessions"])
async def test_of_two_tabs_that_change_a_password_at_once_one_does(
    sharing: bool, kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    kafka.event(PasswordSpent(person_id=COORDINATOR, purchase_id=PURCHASE, number=1))
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(OWN)))
    await kafka.settle()
    one = await visiting.signed_in(COORDINATOR)
    other = one if sharing else await visiting.signed_in(COORDINATOR)
    chosen = ("seven brown bottles on a shelf", "eight white bottles on a table")
    answers = await asyncio.gather(
        *(
            visiting.post("/password", {"current": OWN, "new_password": new}, tab)
            for new, tab in zip(chosen, (one, other), strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 202)
    assert answers[1 - winner].json()["reason"] == "password_changed_already"
    await kafka.settle()
    [order] = [made for made in kafka.messages("aggregation.commands") if isinstance(made, ChangePassword)]
    assert FAST.verify(order.verifier, chosen[winner])
    assert (await visiting.get("/me", (one, other)[winner])).status_code == 200
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=2, verifier=order.verifier))
    await kafka.settle()
    assert (await visiting.post("/sessions", {"email": EMAIL, "password": chosen[winner]})).status_code == 201
