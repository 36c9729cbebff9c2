import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.receipts.verify import Notice
from shared.messages.bidding import CheckpointPublished, InclusionProved, ReceiptIssued
from shared.signing import RECEIPTS, SEAL_KEYS, is_signed, sign, signing_key, verifying_key_b64
from tests.unit.receipts.notices import (
    KEY,
    OTHER,
    OTHER_PURCHASE,
    PURCHASE,
    SECRET,
    VERIFYING,
    Desk,
    a_whole_purchase,
    check,
    copied,
    is_answer,
    spelled,
)

WHOLE = a_whole_purchase().notices
HOSTILE: list[Any] = [None, True, 0, -1, 1.0, 10**30, "", "x", "\ud800", [], {}, [[]], {"number": 1}]


def kinds(notices: list[Notice], receipt: dict[str, Any] | None = None) -> set[str]:
    return {fault.kind for fault in check(notices, receipt).faults}


def test_what_was_said_holds_and_every_checkpoint_is_proved() -> None:
    found = check(WHOLE)
    assert found.ok
    assert found.answers == 9
    assert found.proved == tuple((str(PURCHASE), number) for number in range(1, 5))
    assert found.unproved == ()


def test_repetitions_change_nothing() -> None:
    random = Random(3)  # noqa: S311 # an order to repeat, no secret
    again = list(WHOLE)
    for notice in WHOLE:
        first = again.index(notice)
        again.insert(random.randint(first + 1, len(again)), notice)
    assert check(again) == check(WHOLE)


def test_before_opening_the_chain_holds_and_the_proofs_are_to_come() -> None:
    desk = Desk()
    receipt = desk.answer()
    desk.checkpoint(1)
    found = check(desk.notices, receipt)
    assert found.ok
    assert found.unproved == ((str(PURCHASE), 1),)
    assert found.receipt == "no proof yet"


def test_a_receipt_is_proved_by_the_first_checkpoint_after_it() -> None:
    for _, receipt in filter(is_answer, WHOLE):
        found = check(WHOLE, dict(receipt))
        assert found.receipt == "proved"
        assert found.receipt_proved_by == (str(PURCHASE), (receipt["chain"]["number"] + 2) // 3 + 1)


def test_a_checkpoint_of_another_purchase_proves_a_receipt_too() -> None:
    desk = Desk()
    receipt = desk.answer()
    desk.checkpoint(1)
    desk.checkpoint(1, purchase=OTHER_PURCHASE)
    desk.prove(1, purchase=OTHER_PURCHASE)
    found = check(desk.notices, receipt)
    assert (found.ok, found.receipt, found.receipt_proved_by) == (True, "proved", (str(OTHER_PURCHASE), 1))


def test_answers_from_before_there_were_chains_may_stand_before_the_first_one_and_be_repeated() -> None:
    old: Notice = (ReceiptIssued.type(), {"message_id": "old", "message_type": "t", "chain": None})
    assert check([old, *WHOLE, old]).ok
    other: Notice = (ReceiptIssued.type(), {"message_id": "other", "message_type": "t"})
    assert kinds([old, *WHOLE, other]) == {"unchained"}


# 1,000 changes: each is found, whatever it is.


def edited(notices: list[Notice], random: Random) -> list[Notice]:
    """Change, add or drop one value somewhere in one answer."""
    changed = copied(notices)
    _, body = random.choice([notice for notice in changed if is_answer(notice)])
    place: Any = body
    while True:
        name = random.choice(sorted(place))
        if not isinstance(place[name], dict) or random.random() < 0.2:
            break
        place = place[name]
    way = random.randrange(4)
    if way == 0:
        place["added"] = 1
    elif way == 1:
        del place[name]
    elif way == 2:
        place[name] = random.choice([None, True, 7, "", "edited", [], {}])
    else:
        place[name] = other_than(place[name], random)
    return changed


def other_than(value: Any, random: Random) -> Any:
    """Return a value that looks like this one, and differs in one place."""
    if isinstance(value, int):
        return value + random.choice([-1, 1, 1000])
    text = str(value)
    at = random.randrange(len(text))
    return text[:at] + random.choice("0123456789abcdefABCDEF-Z") + text[at + 1 :]


def deleted(notices: list[Notice], random: Random) -> list[Notice]:
    at = random.choice([at for at, notice in enumerate(notices) if is_answer(notice)])
    return [*notices[:at], *notices[at + 1 :]]


def inserted(notices: list[Notice], random: Random) -> list[Notice]:
    """Put in an answer that stands nowhere else: made up, of another's chain, or of the same chain in another world."""
    other = Desk(provider_id=random.choice([OTHER, "aikoaikoaiko"]))
    for _ in range(random.randint(1, 12)):
        other.answer(rejected=True, purchase=OTHER_PURCHASE)
    at = random.randint(0, len(notices))
    return [*notices[:at], random.choice(other.notices), *notices[at:]]


def reordered(notices: list[Notice], random: Random) -> list[Notice]:
    """Exchange two notices, at least one of them an answer."""
    one = random.choice([at for at, notice in enumerate(notices) if is_answer(notice)])
    last_checkpoint = max(at for at, (type_, _) in enumerate(notices) if type_ == CheckpointPublished.type())
    other = random.choice([at for at in range(last_checkpoint + 1) if at != one])
    changed = list(notices)
    changed[one], changed[other] = changed[other], changed[one]
    return changed


def truncated(notices: list[Notice], random: Random) -> list[Notice]:
    """Drop the newest answers, from some answer on; what was said about them stays."""
    answers = [at for at, notice in enumerate(notices) if is_answer(notice)]
    first = random.choice(answers)
    return [notice for at, notice in enumerate(notices) if at < first or at not in answers]


@pytest.mark.parametrize("change", [edited, deleted, inserted, reordered, truncated])
def test_each_of_1_000_random_changes_of_a_chain_is_found(change: Any) -> None:
    random = Random(4)  # noqa: S311 # changes to repeat, no secret
    tried = 0
    while tried < 200:
        changed = change(WHOLE, random)
        if spelled(changed) != spelled(WHOLE):
            tried += 1
            assert not check(changed).ok


@given(st.randoms(use_true_random=False), st.sampled_from([edited, deleted, inserted, reordered, truncated]))
def test_any_change_of_a_chain_is_found(random: Random, change: Any) -> None:
    changed = change(WHOLE, random)
    assert spelled(changed) == spelled(WHOLE) or not check(changed).ok


@given(st.data())
def test_any_change_of_what_a_checkpoint_or_its_proof_says_is_found(data: st.DataObject) -> None:
    changed = copied(WHOLE)
    facts = [body for type_, body in changed if type_ in {CheckpointPublished.type(), InclusionProved.type()}]
    body: Any = data.draw(st.sampled_from(facts))
    name = data.draw(st.sampled_from(sorted(body)))
    random = data.draw(st.randoms(use_true_random=False))
    if isinstance(body[name], list):
        at = random.randrange(len(body[name]))
        body[name][at] = other_than(body[name][at], random)
    else:
        body[name] = other_than(body[name], random)
    assert spelled(changed) == spelled(WHOLE) or not check(changed).ok


@given(st.data())
def test_whatever_stands_in_a_notice_verifying_ends_with_a_verdict(data: st.DataObject) -> None:
    changed = copied(WHOLE)
    _, body = data.draw(st.sampled_from(changed))
    place: Any = data.draw(st.sampled_from([body, body.get("chain") or body]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(st.sampled_from(HOSTILE))
    check(changed, dict(body))


def test_a_body_of_any_depth_is_a_fault_and_no_crash() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    type_, body = WHOLE[1]
    assert kinds([(type_, {**body, "sha256": deep})]) == {"wrong_head"}


# What can be seen when.


def test_a_chain_without_its_end_is_missed_once_something_goes_beyond_it() -> None:
    desk = Desk()
    for _ in range(3):
        last = desk.answer()
    desk.checkpoint(1)
    cut = [*desk.notices[:2], desk.notices[3]]
    assert kinds(cut) == set()
    found = check(cut, last)
    assert (found.receipt, [fault.kind for fault in found.faults]) == ("not reached", ["missing"])
    assert found.faults[0].why == (
        "the receipt is answer 3, and the last here is 2: fetch the newer notices, and verify again"
    )
    desk.prove(1)
    assert kinds([*cut, desk.notices[-1]]) == {"missing"}


def test_a_chain_without_its_beginning_is_missed_at_once() -> None:
    assert "missing" in kinds([notice for notice in WHOLE if notice[1].get("chain", {}).get("number") != 1])


def test_two_answers_under_one_number_are_found_and_both_are_evidence() -> None:
    one, other = Desk(), Desk()
    one.answer()
    other.answer(rejected=True)
    (fault,) = check(one.notices + other.notices).faults
    assert (fault.kind, fault.number) == ("forked", 1)
    assert fault.evidence == (one.notices[0][1], other.notices[0][1])


def test_a_receipt_that_contradicts_the_chain_is_evidence_with_it() -> None:
    one, other = Desk(), Desk()
    one.answer()
    kept = other.answer(rejected=True)
    found = check(one.notices, kept)
    (fault,) = found.faults
    assert (found.receipt, fault.kind, fault.evidence) == (
        "not in the chain",
        "not_in_chain",
        (one.notices[0][1], kept),
    )
    assert "and signed" in fault.why


def test_a_chain_that_was_rewritten_and_signed_anew_contradicts_a_checkpoint_from_before() -> None:
    first, second = Desk(), Desk()
    first.answer()
    first.checkpoint(1)
    first.prove(1)
    second.answer(rejected=True)
    (fault,) = check([*second.notices, *first.notices[1:]]).faults
    assert (fault.kind, len(fault.evidence)) == ("forked", 3)


def test_a_checkpoint_said_in_two_ways_is_found() -> None:
    one, other = Desk(), Desk(others=5)
    one.checkpoint(1)
    other.checkpoint(1)
    assert kinds(one.notices + other.notices) == {"forked"}


def test_a_missing_checkpoint_is_found() -> None:
    desk = a_whole_purchase()
    without = [notice for notice in desk.notices if notice[1].get("number") != 2]
    assert kinds(without) == {"missing"}


def test_a_checkpoint_that_was_said_late_covers_what_it_covered_then() -> None:
    desk = a_whole_purchase()
    late = next(notice for notice in desk.notices if notice[1].get("number") == 2)
    rest = [notice for notice in desk.notices if notice is not late]
    assert check([*rest, late]).ok


# What is no proof.


def test_a_forged_signature_is_found() -> None:
    strangers = signing_key(bytes(32), RECEIPTS)
    for key in (strangers, signing_key(SECRET, SEAL_KEYS)):
        changed = copied(WHOLE)
        chain: Any = changed[1][1]["chain"]
        said = f"linepool receipt\naikoaikoaiko\n1\n{chain['head']}".encode()
        assert sign(KEY, said) == chain["signature"]
        chain["signature"] = sign(key, said)
        assert kinds(changed) == {"not_signed"}


def test_a_signature_counts_in_one_spelling_only() -> None:
    said = b"linepool receipt"
    signature = sign(KEY, said)
    assert is_signed(VERIFYING, said, signature)
    twisted = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
    assert not is_signed(VERIFYING, said, twisted)
    assert not is_signed(verifying_key_b64(signing_key(bytes(32), RECEIPTS)), said, signature)


@pytest.mark.parametrize("change", ["salt", "other provider", "other purchase", "other checkpoint"])
def test_a_proof_that_belongs_elsewhere_is_none(change: str) -> None:
    desk = Desk()
    desk.answer()
    desk.checkpoint(1)
    desk.checkpoint(2)
    desk.checkpoint(1, purchase=OTHER_PURCHASE)
    proof = desk.prove(1)
    if change == "salt":
        proof["salt"] = desk.trees[PURCHASE, 2].proof(desk.provider_id).salt.hex()
    elif change == "other provider":
        desk.notices.pop()
        desk.prove(1, of="other0000001")
    elif change == "other purchase":
        proof["purchase_id"] = str(OTHER_PURCHASE)
    else:
        proof["checkpoint"] = 2
    assert kinds(desk.notices) == {"not_included"}


def test_a_proof_without_its_checkpoint_proves_nothing() -> None:
    desk = Desk()
    desk.answer()
    desk.checkpoint(1)
    desk.prove(1)
    assert kinds([desk.notices[0], desk.notices[2]]) == {"missing"}


def test_the_chain_of_one_provider_is_none_for_another() -> None:
    desk = Desk(provider_id=OTHER)
    desk.answer()
    assert kinds(desk.notices) == {"not_signed", "wrong_head"}


def test_a_verdict_names_what_does_not_hold() -> None:
    changed = copied(WHOLE)
    body: Any = changed[5][1]
    body["sha256"] = "0" * 64
    found = check(changed)
    assert [(fault.kind, fault.number) for fault in found.faults] == [("wrong_head", 4)]
    assert found.answers == 3
    assert json.dumps([fault.why for fault in found.faults])
