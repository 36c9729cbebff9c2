"""Whether a custodian's key is taken depends on the purchase, the key and the time, and on nothing else."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from services.bidding.domain.box import Box, Request, issue
from services.bidding.domain.custodian import release
from shared.messages.bidding import CustodianKeyReleased
from shared.outcomes import NotYet, Refusal
from shared.sealing import private_key, private_key_b64
from tests.service.bidding.bidding_facts import Purchase

PURCHASE = Purchase(custodian_secret=b"c" * 32)
CAUSE = UUID(int=1)
REQUEST = Request.issued(PURCHASE.request, CAUSE, "none")
OPEN = Box(PURCHASE.purchase_id, REQUEST)
CLOSING = replace(OPEN, deadline_passed_by=CAUSE, last_version=1)
CLOSED = replace(CLOSING, closed_at=PURCHASE.deadline)
A_MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize("box", [CLOSING, CLOSED])
def test_the_right_key_is_taken_from_the_deadline_on(box: Box) -> None:
    taken = release(PURCHASE.release, box, PURCHASE.deadline, released=False)
    assert isinstance(taken, CustodianKeyReleased)
    assert taken.public_key == REQUEST.custodian_key


@pytest.mark.parametrize(
    ("box", "now", "kind", "reason"),
    [
        (Box(PURCHASE.purchase_id), PURCHASE.deadline, NotYet, "unknown_purchase"),
        (OPEN, PURCHASE.deadline - A_MOMENT, Refusal, "too_early"),
        # Whatever is said to have passed: the request's own deadline counts.
        (CLOSED, PURCHASE.deadline - A_MOMENT, Refusal, "too_early"),
        (OPEN, PURCHASE.deadline, NotYet, "deadline_not_passed"),
        (replace(CLOSED, cancelled_by=CAUSE), PURCHASE.deadline, Refusal, "cancelled"),
        (
            replace(CLOSED, request=replace(REQUEST, custodian_key=None)),
            PURCHASE.deadline,
            Refusal,
            "no_custodian",
        ),
    ],
)
def test_what_keeps_a_key_from_being_taken(
    box: Box, now: datetime, kind: type[Refusal | NotYet], reason: str
) -> None:
    outcome = release(PURCHASE.release, box, now, released=False)
    assert isinstance(outcome, kind)
    assert outcome.reason == reason


def test_a_wrong_key_and_a_second_one_are_refused() -> None:
    wrong = private_key_b64(private_key(b"c" * 32, "another purpose"))
    other = PURCHASE.release.model_copy(update={"private_key": wrong})
    for command, released, reason in (
        (other, False, "wrong_key"),
        (PURCHASE.release, True, "released_already"),
    ):
        outcome = release(command, CLOSED, PURCHASE.deadline, released=released)
        assert isinstance(outcome, Refusal)
        assert outcome.reason == reason


def test_a_request_with_a_custodian_is_sealed_whatever_the_service_is_told() -> None:
    box = issue(Box(PURCHASE.purchase_id), PURCHASE.request, CAUSE, "none")
    assert box is not None
    assert box.request is not None
    assert (box.request.seal, box.ready_version) == ("hpke", None)


def test_no_representation_of_the_order_shows_the_key() -> None:
    assert PURCHASE.release.private_key not in repr(PURCHASE.release)
