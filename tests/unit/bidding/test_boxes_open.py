from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.offers.tariffs import tariff_of
from services.bidding.domain.box import (
    LISTED_REPLIES,
    Box,
    Request,
    StoredReply,
    cancel,
    is_passed,
    issue,
    may_read_ends,
    open_box,
    pass_deadline,
)
from shared.messages.providers import Offer
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, LISTED, Purchase, an_offer

PURCHASE = Purchase()
CAUSE = UUID(int=1)
REQUEST = Request.issued(PURCHASE.request, CAUSE, "none")
TWO_SECONDS = timedelta(seconds=2)


def a_reply(
    provider: str = AIKO, revision: int = 1, offer: Offer | None = None, **changes: Any
) -> StoredReply:
    reply = StoredReply(uuid4(), provider, 1, revision, PURCHASE.in_time, offer or an_offer())
    return replace(reply, **changes)


def a_closing_box() -> Box:
    return Box(PURCHASE.purchase_id, REQUEST, deadline_passed_by=CAUSE, last_version=1)


@given(st.permutations(["issue v1", "issue v2", "deadline", "cancel"]), st.booleans())
def test_the_same_facts_make_the_same_box_in_every_order(order: list[str], cancelled: bool) -> None:
    box = Box(PURCHASE.purchase_id)
    second = PURCHASE.request.model_copy(update={"request_version": 2, "contract_months": 12})
    last = PURCHASE.deadline_passed.model_copy(update={"request_version": 2})
    for fact in order:
        match fact:
            case "issue v1":
                box = issue(box, PURCHASE.request, UUID(int=1), "none") or box
            case "issue v2":
                box = issue(box, second, UUID(int=2), "none") or box
            case "deadline":
                box = pass_deadline(box, last, UUID(int=3)) or box
            case "cancel" if cancelled:
                box = cancel(box, UUID(int=4)) or box

    assert box == Box(
        PURCHASE.purchase_id,
        Request.issued(second, UUID(int=2), "none"),
        ready_version=2,
        deadline_passed_by=UUID(int=3),
        last_version=2,
        cancelled_by=UUID(int=4) if cancelled else None,
    )
    assert box.stage == ("cancelled" if cancelled else "closing")


def test_a_box_does_not_close_on_an_older_version_than_the_last() -> None:
    passed = pass_deadline(
        Box(PURCHASE.purchase_id, REQUEST),
        PURCHASE.deadline_passed.model_copy(update={"request_version": 2}),
        CAUSE,
    )
    assert passed is not None

    assert passed.stage == "open"


def test_repeated_facts_are_no_news() -> None:
    box = cancel(a_closing_box(), CAUSE)
    assert box is not None

    assert issue(box, PURCHASE.request, uuid4(), "none") is None
    assert pass_deadline(box, PURCHASE.deadline_passed, uuid4()) is None
    assert cancel(box, uuid4()) is None


@pytest.mark.parametrize(
    ("after", "skew", "why"),
    [
        (TWO_SECONDS, timedelta(0), None),
        (TWO_SECONDS, TWO_SECONDS, None),
        (TWO_SECONDS - timedelta(microseconds=1), timedelta(0), "allowance"),
        (timedelta(days=1), TWO_SECONDS + timedelta(microseconds=1), "skew_too_large"),
        (timedelta(days=1), None, "skew_unknown"),
    ],
)
def test_a_box_closes_only_once_no_clock_within_the_allowance_is_before_the_deadline(
    after: timedelta, skew: timedelta | None, why: str | None
) -> None:
    verdict = may_read_ends(a_closing_box(), PURCHASE.deadline + after, skew=skew, allowance=TWO_SECONDS)

    assert (verdict and verdict.reason) == why


@pytest.mark.parametrize(
    "change", [{"deadline_passed_by": None, "last_version": None}, {"cancelled_by": CAUSE}, {"request": None}]
)
def test_a_box_that_is_not_closing_is_left_alone(change: dict[str, Any]) -> None:
    box = replace(a_closing_box(), **change)

    assert (
        may_read_ends(box, datetime.max.replace(tzinfo=UTC), skew=timedelta(0), allowance=TWO_SECONDS)
        is not None
    )


def test_ends_are_passed_when_every_position_is_at_its_end() -> None:
    ends = {("replies.a", 0): 3, ("replies.b", 0): 0}

    assert not is_passed(ends, {("replies.a", 0): 2})
    assert is_passed(ends, {("replies.a", 0): 3})
    assert is_passed(ends, {("replies.a", 0): 9, ("replies.b", 0): 1})


@given(
    st.lists(
        st.tuples(st.sampled_from(LISTED), st.integers(1, 6), st.booleans()), unique_by=lambda one: one[:2]
    ),
    st.sets(st.sampled_from(LISTED)),
    st.randoms(),
)
def test_the_latest_revision_of_each_provider_stands_or_falls_and_the_others_are_replaced(
    given_: list[tuple[str, int, bool]], declined: set[str], random: Any
) -> None:
    replies = [
        a_reply(provider, revision, an_offer(currency="EUR" if valid else "USD"))
        for provider, revision, valid in given_
    ]
    random.shuffle(replies)

    opening = open_box(REQUEST, replies, declined)

    assert sorted(one.reply.reply_id for one in opening.standings) == sorted(one.reply_id for one in replies)
    for one in opening.standings:
        of_provider = [other.revision for other in replies if other.provider_id == one.reply.provider_id]
        if one.reply.revision < max(of_provider):
            assert one.standing == "replaced"
        else:
            assert one.standing == ("evaluated" if one.reply.offer.currency == "EUR" else "invalid")
            assert (one.reason is None) == (one.standing == "evaluated")
    assert opening.declined == tuple(sorted(declined - {one.provider_id for one in replies}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"request_version": 2}, "answers version 2, version 1 stands"),
        ({"offer": an_offer(currency="USD")}, "is in USD, the request asks for EUR"),
        ({"offer": an_offer(tax_basis="gross")}, "is gross, the request asks for net prices"),
        ({"offer": an_offer(contract_months=12)}, "binds for 12 months, the request asks for 24"),
        (
            {"offer": an_offer(components=[{"kind": "recurring", "per": "line", "price": "4.00"}])},
            "does not price voice.day",
        ),
        (
            {
                "offer": an_offer(
                    components=[{"kind": "usage", "service": "voice.day", "unit": "C62", "price": "4.00"}]
                )
            },
            "prices voice.day per C62, the request counts it in MIN",
        ),
    ],
)
def test_a_reply_to_something_else_is_invalid_and_says_why(change: dict[str, Any], reason: str) -> None:
    (standing,) = open_box(REQUEST, [a_reply(**change)], []).standings

    assert (standing.standing, standing.reason) == ("invalid", reason)


def test_the_event_names_every_reply_that_was_not_replaced_however_many_were() -> None:
    replies = [a_reply(AIKO, revision) for revision in range(1, LISTED_REPLIES + 500)]
    replies += [a_reply(BRIO), a_reply(CORA, offer=an_offer(currency="USD"))]

    listed = open_box(REQUEST, replies, []).listed

    assert len(listed) == LISTED_REPLIES
    assert {one.reply.provider_id for one in listed if one.standing != "replaced"} == {AIKO, BRIO, CORA}


def test_an_offer_is_rated_with_its_first_tier_below_all_others() -> None:
    tiers = [{"from_volume": "0", "price": "0.10"}, {"from_volume": "500", "price": "0.08"}]
    usage = {"kind": "usage", "service": "voice.day", "unit": "MIN", "tiers": tiers}

    tariff = tariff_of(an_offer(components=[usage, {"kind": "one_time", "per": "group", "price": "9.00"}]))

    price = tariff.usage_prices["voice.day"]
    assert [price.price_at(Decimal(volume), months=1) for volume in (0, 499, 500)] == [
        Decimal("0.10"),
        Decimal("0.10"),
        Decimal("0.08"),
    ]


def test_facts_about_one_box_are_taken_in_any_of_their_orders_without_changing_its_stage_back() -> None:
    stages = set()
    for order in permutations(["issue", "deadline"]):
        box = Box(PURCHASE.purchase_id)
        for step in order:
            if step == "issue":
                box = issue(box, PURCHASE.request, CAUSE, "none") or box
            else:
                box = pass_deadline(box, PURCHASE.deadline_passed, CAUSE) or box
        stages.add(box.stage)
    assert stages == {"closing"}
