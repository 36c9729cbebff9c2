import json
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from services.bidding.domain.box import StoredReply
from services.bidding.evaluation import Evaluated, Task, UsageDiffers, evaluate_replies
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, Purchase, an_offer

PURCHASE = Purchase()


def a_reply(provider: str, price: str, **offer: Any) -> StoredReply:
    return StoredReply(uuid4(), provider, 1, 1, PURCHASE.in_time, an_offer(price, **offer))


def a_task(*replies: StoredReply, **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "purchase_id": PURCHASE.purchase_id,
        "request_version": 1,
        "usage_digest": PURCHASE.usage_digest,
        "currency": "EUR",
        "tax_basis": "net",
        "contract_months": 24,
        "period_months": 1,
        "starts_on": PURCHASE.deadline.date(),
        "usage": tuple(part.to_bytes() for part in PURCHASE.usage),
        "replies": replies,
    }
    return Task(**{**fields, **changes})


def evaluated(task: Task) -> Evaluated:
    outcome = evaluate_replies(task)
    assert isinstance(outcome, Evaluated)
    return outcome


def test_replies_are_ranked_by_their_total_over_the_term_on_the_groups_own_usage() -> None:
    dear, cheap = a_reply(AIKO, "0.20"), a_reply(BRIO, "0.10")

    outcome = evaluated(a_task(dear, cheap))

    # 4 lines of 100 minutes, charged 17.00 and 1.00 each, over 24 months
    assert outcome.charged == Decimal("1728.00")
    assert [(one.rank, one.provider_id, one.total, one.saving) for one in outcome.ranked] == [
        (1, BRIO, Decimal("960.00"), Decimal("768.00")),
        (2, AIKO, Decimal("1920.00"), Decimal("-192.00")),
    ]
    assert outcome.disqualified == ()


def test_the_document_says_everything_that_a_buyer_compares() -> None:
    dear = a_reply(AIKO, "0.20")

    document = json.loads(evaluated(a_task(dear)).document)

    (row,) = document["evaluations"]
    assert (row["saving"], row["exit_fees"], row["alone_total"]) == ("-192.00", "20.00", "1920.00")
    assert sorted(row["buyers_paying_more"]) == sorted(str(buyer) for buyer in PURCHASE.buyers)
    assert [(one["usage_percent"], one["term_total"]) for one in row["sensitivity"]] == [
        (80, "1536.00"),
        (120, "2304.00"),
    ]
    assert {one["buyer_id"]: one["term_total"] for one in row["buyers"]} == {
        str(buyer): "960.00" for buyer in PURCHASE.buyers
    }
    assert document["replies"][str(dear.reply_id)]["billing"] == "One UBL invoice a month."
    assert document["usage_digest"] == PURCHASE.usage_digest


def test_the_same_task_gives_the_same_bytes_whatever_the_order() -> None:
    replies = [a_reply(AIKO, "0.20"), a_reply(BRIO, "0.10")]
    usage = tuple(part.to_bytes() for part in PURCHASE.usage)

    one = evaluated(a_task(*replies, usage=usage)).document
    other = evaluated(a_task(*reversed(replies), usage=usage[::-1])).document

    assert sha256(one).hexdigest() == sha256(other).hexdigest()


def test_usage_that_is_not_what_was_pinned_is_not_evaluated() -> None:
    usage = tuple(part.to_bytes() for part in PURCHASE.usage)

    assert isinstance(evaluate_replies(a_task(usage=usage[1:])), UsageDiffers)
    assert isinstance(evaluate_replies(a_task(usage_digest="0" * 64)), UsageDiffers)


def test_without_a_reply_the_comparison_still_says_what_was_charged() -> None:
    outcome = evaluated(a_task())

    assert (outcome.charged, outcome.ranked) == (Decimal("1728.00"), ())


def test_a_service_in_use_without_a_price_disqualifies_and_leaves_no_gap_in_the_ranks() -> None:
    only_lines = [{"kind": "recurring", "per": "line", "price": "4.00"}]
    lacking, priced = a_reply(AIKO, "0", components=only_lines), a_reply(BRIO, "0.10")

    outcome = evaluated(a_task(lacking, priced))

    assert outcome.disqualified == ((lacking.reply_id, AIKO, "does not price voice.day"),)
    assert [(one.rank, one.provider_id) for one in outcome.ranked] == [(1, BRIO)]


def test_a_total_that_no_message_can_carry_disqualifies_and_leaves_no_gap_in_the_ranks() -> None:
    huge = [
        {"kind": "usage", "service": "voice.day", "unit": "MIN", "price": "0.01"},
        {"kind": "one_time", "per": "group", "price": "999999999999.99"},
    ]
    absurd, priced = a_reply(AIKO, "0", components=huge), a_reply(CORA, "0.10")

    outcome = evaluated(a_task(absurd, priced))

    assert [one[:2] for one in outcome.disqualified] == [(absurd.reply_id, AIKO)]
    assert [(one.rank, one.provider_id) for one in outcome.ranked] == [(1, CORA)]
    listed = json.loads(outcome.document)
    assert [UUID(one["reply_id"]) for one in listed["evaluations"]] == [priced.reply_id]
    assert [UUID(one["reply_id"]) for one in listed["not_evaluated"]] == [absurd.reply_id]
