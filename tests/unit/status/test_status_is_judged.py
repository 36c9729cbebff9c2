"""What `linepool status` calls wrong, and how it reads addresses."""

from typing import Any
from uuid import UUID

import pytest

from linepool.status.asking import AddressError, Answer, addresses_of, duration, troubles, waiting
from shared.status import ProcessStatus, PurchaseStatus

WELL: dict[str, Any] = {"service": "rfp", "version": "1", "missing": "", "ailing": {}}


def answer(**what: Any) -> Answer:
    return Answer("rfp", "http://x", ProcessStatus(**{**WELL, **what}))


def purchase(**what: Any) -> PurchaseStatus:
    known = {
        "purchase_id": UUID(int=1),
        "step": "closing",
        "who": "machine",
        "waits_for": "it",
        "since": None,
    }
    return PurchaseStatus(**{**known, "age_s": 10.0, **what})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Answer("rfp", "http://x", None, "does not answer"), "rfp does not answer."),
        (answer(missing="database"), "rfp is not ready: database."),
        (answer(ailing={"rfp.rfp.commands": "stands still"}), "rfp.rfp.commands: stands still."),
        (answer(parked={"stuck": 1}), "A message of rfp is stuck: linepool parked list rfp"),
        (answer(blocked_topics=1), "rfp cannot write to a topic: linepool access diff"),
        (
            answer(purchases=[purchase(age_s=301)]),
            f"Purchase {UUID(int=1)} is stuck at closing, for 5 min 1 s: it waits for it.",
        ),
    ],
)
def test_each_trouble_is_one_sentence(found: Answer, sentence: str) -> None:
    assert troubles([answer(), found]) == [sentence]


def test_what_waits_for_people_or_fails_for_now_is_no_trouble() -> None:
    people = purchase(step="selection", who="person", age_s=9e6)
    assert troubles([answer(parked={"waiting": 3, "failed": 1}, purchases=[people, purchase()])]) == []


def test_what_two_replicas_show_is_listed_once_and_the_longest_wait_is_first() -> None:
    other = purchase(purchase_id=UUID(int=2), age_s=50)
    both = [answer(purchases=[purchase(age_s=20)]), answer(purchases=[purchase(age_s=21), other])]
    assert [(one.purchase_id.int, one.age_s) for one in waiting(both)] == [(2, 50), (1, 21)]


@pytest.mark.parametrize("wrong", ["http://x", "rfp", "=http://x", "rfp=10.0.0.1:80"])
def test_an_address_that_is_none_is_said_so(wrong: str) -> None:
    with pytest.raises(AddressError, match="is no address"):
        addresses_of([wrong])
    assert addresses_of(["rfp=http://x:1/"]) == [("rfp", "http://x:1")]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (86_405, "1 d 5 s")],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
