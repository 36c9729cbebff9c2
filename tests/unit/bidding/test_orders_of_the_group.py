from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.bidding.domain.award import (
    REASON_BYTES,
    Agreed,
    Award,
    RankedReply,
    Terms,
    answer_terms,
    may_order,
    select,
)
from services.bidding.domain.box import Box, Request
from shared.messages.bidding import ProviderSelected, ReasonForOther, SelectReply
from shared.outcomes import NotYet, Refusal
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, Purchase

PURCHASE = Purchase()
COMPARED = Box(
    PURCHASE.purchase_id,
    Request.issued(PURCHASE.request, UUID(int=1), "none"),
    deadline_passed_by=UUID(int=2),
    last_version=1,
    opened_at=PURCHASE.deadline,
    compared_at=PURCHASE.deadline,
)
FIRST, SECOND, THIRD = (RankedReply(uuid4(), pid, rank) for rank, pid in enumerate((BRIO, AIKO, CORA), 1))
RANKED = [THIRD, FIRST, SECOND]
AWARD = Award(1, BRIO, FIRST.reply_id, standing=True)


def order(reply: RankedReply = FIRST, **changes: Any) -> SelectReply:
    return PURCHASE.select(reply.reply_id).model_copy(update=changes)


def word_of(outcome: object) -> str:
    assert isinstance(outcome, Refusal | NotYet)
    return outcome.reason


def test_a_selection_is_a_numbered_award_with_rank_and_reason_for_every_other() -> None:
    own = ReasonForOther(reply_id=THIRD.reply_id, reason="Exit fees.")

    selected = select(order(SECOND, reasons=(own,)), COMPARED, RANKED, [replace(AWARD, standing=False)])

    assert isinstance(selected, ProviderSelected)
    assert (selected.award, selected.provider_id, selected.reply_id) == (2, AIKO, SECOND.reply_id)
    assert [(one.provider_id, one.rank, one.reason) for one in selected.others] == [
        (BRIO, 1, "Another costs less."),
        (CORA, 3, "Exit fees."),
    ]


def test_at_most_one_award_stands() -> None:
    assert word_of(select(order(), COMPARED, RANKED, [AWARD])) == "already_selected"


def test_only_a_compared_reply_can_be_selected() -> None:
    assert word_of(select(order(RankedReply(uuid4(), AIKO, 9)), COMPARED, RANKED, [])) == "unknown_reply"
    assert word_of(select(order(), COMPARED, [], [])) == "unknown_reply"


@pytest.mark.parametrize(
    "reasons",
    [[FIRST.reply_id], [uuid4()], [SECOND.reply_id, SECOND.reply_id]],
    ids=["for the selected", "for none of them", "two for one"],
)
def test_reasons_are_for_the_others_once_each(reasons: list[UUID]) -> None:
    said = tuple(ReasonForOther(reply_id=one, reason="No.") for one in reasons)

    assert word_of(select(order(reasons=said), COMPARED, RANKED, [])) == "unknown_reply"


def test_a_selection_waits_for_the_comparison_and_not_for_a_cancelled_one() -> None:
    opened = replace(COMPARED, compared_at=None)

    assert isinstance(select(order(), opened, [], []), NotYet)
    assert isinstance(select(order(), Box(PURCHASE.purchase_id), [], []), NotYet)
    for box in (COMPARED, opened):
        assert word_of(select(order(), replace(box, cancelled_by=UUID(int=9)), RANKED, [])) == "cancelled"


def test_reasons_that_would_not_fit_into_one_message_are_refused() -> None:
    many = [RankedReply(uuid4(), f"{number:012d}", number + 2) for number in range(REASON_BYTES // 2000 + 1)]

    long = order(reason_for_others="x" * 2000)

    assert word_of(select(long, COMPARED, [FIRST, *many], [])) == "reasons_too_long"
    assert isinstance(select(long, COMPARED, [FIRST, *many[:-1]], []), ProviderSelected)


def test_only_the_coordinator_orders_and_an_unknown_group_is_waited_for() -> None:
    assert may_order(PURCHASE.coordinator, PURCHASE.coordinator) is None
    assert isinstance(may_order(uuid4(), PURCHASE.coordinator), Refusal)
    assert isinstance(may_order(PURCHASE.coordinator, None), NotYet)


def terms(text: str, answer: Any = None, award: int = 1) -> Terms:
    return Terms(uuid4(), award, sha256(text.encode()).hexdigest(), answer)


def test_the_terms_that_lie_before_the_group_are_answered_by_their_hash() -> None:
    presented = terms("new")

    for command in (PURCHASE.accept("new"), PURCHASE.reject("new")):
        agreed = answer_terms(command, COMPARED, [AWARD], [terms("old", "rejected"), presented])
        assert agreed == Agreed(AWARD, presented)


@pytest.mark.parametrize(
    ("awards", "presented", "why"),
    [
        ([], [], "no_such_award"),
        ([replace(AWARD, standing=False)], [terms("new")], "no_such_award"),
        ([replace(AWARD, number=2)], [terms("new", award=2)], "no_such_award"),
        ([AWARD], [], "no_terms"),
        ([AWARD], [terms("new", "rejected")], "no_terms"),
        ([AWARD], [terms("other")], "wrong_terms"),
        ([AWARD], [terms("new", "rejected"), terms("other")], "wrong_terms"),
        ([AWARD], [terms("new", "accepted")], "already_accepted"),
    ],
)
def test_other_terms_are_not_answered(awards: list[Award], presented: list[Terms], why: str) -> None:
    assert word_of(answer_terms(PURCHASE.accept("new"), COMPARED, awards, presented)) == why


def test_nothing_is_agreed_on_a_cancelled_purchase() -> None:
    cancelled = replace(COMPARED, cancelled_by=UUID(int=9))

    assert word_of(answer_terms(PURCHASE.accept(), cancelled, [AWARD], [terms("x")])) == "cancelled"
