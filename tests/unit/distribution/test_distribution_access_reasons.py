"""Whoever may not be shown a request reads a reason, and learns from it nothing that it was not told before (I1)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.distribution.access import (
    DETAILS,
    SaidOfAccess,
    grant_fact,
    refusal_fact,
    said_of_access,
    why_refused,
)
from services.distribution.domain import Gate
from shared.adoption import AdoptedEvent
from shared.messages.base import Message
from shared.messages.bidding import AccessRequestReceived
from shared.messages.distribution import AccessRefusalReason, RequestPresented
from tests.unit.distribution.test_distribution_gate import LISTED, NOW, OPENS, PURCHASE, REQUEST

ASKED = AccessRequestReceived(
    purchase_id=PURCHASE,
    request_id=UUID(int=5),
    provider_id=LISTED[0],
    request_version=1,
    message_id="may we?",
)
CANCELLED = replace(OPENS, cancellation_reason="no need")
PASSED = replace(OPENS, deadline_passed=True)
NEWER = replace(OPENS, requests=(REQUEST, replace(REQUEST, version=2)))
LATE = REQUEST.deadline


@pytest.mark.parametrize("in_ledger", [False, True])
@pytest.mark.parametrize("barred", [False, True])
@pytest.mark.parametrize("gate", [None, OPENS, CANCELLED, PASSED, NEWER])
def test_whoever_was_never_offered_it_hears_what_it_would_hear_of_no_purchase(
    gate: Gate | None,
    barred: bool,
    in_ledger: bool,
) -> None:
    reason = why_refused(gate, 1, NOW, in_ledger=in_ledger, barred=barred)
    assert (reason == "unknown_purchase") == (gate is None or not in_ledger)
    assert why_refused(gate, 3, NOW, in_ledger=in_ledger, barred=barred) == "unknown_purchase"


@pytest.mark.parametrize(
    ("gate", "now", "barred", "reason"),
    [
        (CANCELLED, LATE, True, "suspended"),
        (CANCELLED, LATE, False, "cancelled"),
        (PASSED, NOW, False, "deadline_passed"),
        (OPENS, LATE, False, "deadline_passed"),
        (OPENS, LATE - timedelta(microseconds=1), False, "not_qualified"),
        (NEWER, NOW, False, "superseded"),
        (replace(NEWER, deadline_passed=True), NOW, False, "deadline_passed"),
        (OPENS, NOW, False, "not_qualified"),
    ],
)
def test_of_several_reasons_the_one_that_lasts_longest_is_told(
    gate: Gate,
    now: datetime,
    barred: bool,
    reason: AccessRefusalReason,
) -> None:
    assert why_refused(gate, 1, now, in_ledger=True, barred=barred) == reason


def test_the_newest_version_is_not_superseded() -> None:
    assert why_refused(NEWER, 2, NOW, in_ledger=True, barred=False) == "not_qualified"


@pytest.mark.parametrize("reason", get_args(AccessRefusalReason))
def test_a_refusal_says_its_reason_in_fixed_words(reason: AccessRefusalReason) -> None:
    fact = refusal_fact(ASKED, reason)
    assert (fact.reason, fact.detail) == (reason, DETAILS[reason])
    assert (fact.request_id, fact.provider_id, fact.message_id) == (UUID(int=5), LISTED[0], "may we?")


def found(fact: Message, *, seconds: int = 0) -> AdoptedEvent:
    return AdoptedEvent(
        event_id=uuid4(),
        decision_id=UUID(int=7),
        type=fact.type(),
        stream=fact.stream,
        subject=fact.subject,
        sequence=1,
        decided_at=NOW + timedelta(seconds=seconds),
        body=fact.to_bytes(),
        cause_id=UUID(int=7),
        actor_id=None,
        chain=b"",
    )


PRESENTED = RequestPresented(
    purchase_id=PURCHASE,
    request_version=1,
    title="Lines",
    deadline=REQUEST.deadline,
    mode="grant",
    seal="none",
    content=REQUEST.documents[0],
    content_json=None,
    documents=(),
)


def test_where_nothing_was_said_nothing_is_found() -> None:
    assert said_of_access([]) is None


@given(st.permutations([0, 1, 2]))
def test_a_granting_is_found_with_its_qualification_in_whatever_order_its_messages_are_read(
    order: list[int],
) -> None:
    granted = grant_fact(ASKED, "f" * 64, 4, NOW)
    events = [found(granted, seconds=1), found(PRESENTED, seconds=0), found(PRESENTED, seconds=2)]
    assert said_of_access([events[place] for place in order]) == SaidOfAccess(NOW, None, 4)


def test_a_granting_of_which_only_the_request_got_out_is_one_and_its_qualification_is_looked_for() -> None:
    assert said_of_access([found(PRESENTED)]) == SaidOfAccess(NOW, None, None)


@pytest.mark.parametrize("reason", get_args(AccessRefusalReason))
def test_a_refusal_is_found_with_its_reason(reason: AccessRefusalReason) -> None:
    said = said_of_access([found(refusal_fact(ASKED, reason), seconds=3)])
    assert said == SaidOfAccess(NOW + timedelta(seconds=3), reason, None)
