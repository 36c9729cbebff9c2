from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.distribution.domain import (
    INLINE_BYTES,
    BidBox,
    Gate,
    Qualification,
    Ready,
    Request,
    Said,
    Shut,
    Waiting,
    cancellation,
    fitting_parts,
    invitation,
    invited,
    judge,
)
from shared.documents import manifest_of, split
from shared.messages.base import PART_BYTES, Document
from shared.messages.distribution import PresentedDocumentPart, RequestPresented

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PURCHASE = UUID("5b0f9d1e-0000-4000-8000-000000000001")
SNAPSHOT = "a" * 64
LISTED = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")
CONTENT = manifest_of("request.json", b'{"title":"Lines"}')
LINES = manifest_of("usage.csv", b"line_id\n")
BOX = BidBox(seal="none", public_key=None)
HELD = Qualification(number=1, snapshot=SNAPSHOT, valid_until=NOW + timedelta(days=30), lapsed=False)
REQUEST = Request(
    purchase_id=PURCHASE,
    version=1,
    title="Lines",
    deadline=NOW + timedelta(days=10),
    mode="transmit",
    snapshot=SNAPSHOT,
    documents=(CONTENT, LINES),
    incomplete=frozenset(),
    provider_ids=LISTED,
    box=BOX,
    opened=False,
)
OPENS = Gate(
    purchase_id=PURCHASE,
    cancellation_reason=None,
    deadline_passed=False,
    requests=(REQUEST,),
    qualifications=(HELD,),
)


def with_request(gate: Gate, request: Request) -> Gate:
    return replace(gate, requests=(request,))


def verdict(gate: Gate, said: Said | None = None) -> Ready | Waiting | Shut:
    return judge(gate, gate.requests[0], NOW, said)


def parts_of(document: Document, content: bytes) -> list[str]:
    return [data for _, data in split(document, content)]


def test_a_gate_opens_when_nothing_is_missing() -> None:
    assert verdict(OPENS) == Ready(1)


@pytest.mark.parametrize(
    ("gate", "waits_for"),
    [
        (replace(OPENS, qualifications=()), ("qualification",)),
        (replace(OPENS, qualifications=(replace(HELD, lapsed=True),)), ("qualification",)),
        (replace(OPENS, qualifications=(replace(HELD, valid_until=NOW),)), ("qualification",)),
        (replace(OPENS, qualifications=(replace(HELD, snapshot="b" * 64),)), ("qualification",)),
        (with_request(OPENS, replace(REQUEST, box=None)), ("bid box",)),
        (with_request(OPENS, replace(REQUEST, incomplete=frozenset({0}))), ("content",)),
        (with_request(OPENS, replace(REQUEST, incomplete=frozenset({1}))), ("usage.csv",)),
    ],
    ids=["unqualified", "lapsed", "expired", "other snapshot", "no box", "no content", "no document"],
)
def test_a_gate_waits_for_what_is_missing(gate: Gate, waits_for: tuple[str, ...]) -> None:
    assert verdict(gate) == Waiting(waits_for)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (replace(OPENS, cancellation_reason="no need"), "cancelled"),
        (replace(OPENS, deadline_passed=True), "deadline passed"),
        (with_request(OPENS, replace(REQUEST, deadline=NOW)), "deadline passed"),
        (replace(OPENS, requests=(REQUEST, replace(REQUEST, version=2))), "superseded"),
        (with_request(OPENS, replace(REQUEST, opened=True)), "open already"),
    ],
    ids=["cancelled", "deadline passed", "deadline now", "superseded", "open"],
)
def test_a_gate_that_is_shut_stays_shut(gate: Gate, reason: str) -> None:
    assert isinstance(outcome := verdict(gate), Shut)
    assert outcome.reason == reason


def test_the_first_qualification_that_holds_opens_the_gate() -> None:
    lapsed, third = replace(HELD, lapsed=True), replace(HELD, number=3)
    second = replace(HELD, number=2)

    assert verdict(replace(OPENS, qualifications=(lapsed, second, third))) == Ready(2)


def gate_after(facts: set[str]) -> Gate:
    incomplete = frozenset(
        position for position, fact in enumerate(("content", "document")) if fact not in facts
    )
    request = replace(REQUEST, incomplete=incomplete, box=BOX if "box" in facts else None)
    return Gate(
        purchase_id=PURCHASE,
        cancellation_reason="no need" if "cancellation" in facts else None,
        deadline_passed="deadline" in facts,
        requests=(request,) if "request" in facts else (),
        qualifications=(replace(HELD, lapsed="lapse" in facts),) if "qualification" in facts else (),
    )


NEEDED = ("request", "content", "document", "box", "qualification")
ENDING = ("cancellation", "deadline", "lapse")


def opens(gate: Gate) -> bool:
    return any(isinstance(judge(gate, request, NOW, None), Ready) for request in gate.requests)


def test_every_order_of_the_needed_facts_opens_at_the_last_one_and_not_before() -> None:
    for order in permutations(NEEDED):
        arrived: set[str] = set()
        for fact in order:
            arrived.add(fact)
            assert opens(gate_after(arrived)) == (len(arrived) == len(NEEDED))


@given(st.lists(st.sampled_from(NEEDED + ENDING), max_size=24))
def test_facts_in_any_order_and_number_open_only_what_is_complete_and_not_ended(order: list[str]) -> None:
    arrived: set[str] = set()
    for fact in order:
        arrived.add(fact)
        assert opens(gate_after(arrived)) == (arrived.issuperset(NEEDED) and arrived.isdisjoint(ENDING))


@given(st.sets(st.sampled_from(LISTED)), st.permutations(LISTED))
def test_exactly_the_listed_providers_who_are_not_suspended_are_invited(
    suspended: set[str], listed: list[str]
) -> None:
    request = replace(REQUEST, provider_ids=tuple(listed))

    assert invited(OPENS, request, suspended, None) == sorted(set(LISTED) - suspended)


def test_an_opening_made_before_a_restore_is_made_again_whatever_came_after_it() -> None:
    said = Said(at=NOW - timedelta(hours=1), invited=frozenset(LISTED[:1]), qualification=1, completed=True)
    ended = replace(
        OPENS,
        cancellation_reason="no need",
        deadline_passed=True,
        requests=(replace(REQUEST, deadline=NOW - timedelta(minutes=1)), replace(REQUEST, version=2)),
        qualifications=(replace(HELD, lapsed=True, valid_until=NOW - timedelta(minutes=1)),),
    )

    assert verdict(ended, said) == Ready(1)
    assert invited(ended, REQUEST, set(LISTED), said) == [LISTED[0]]


def test_an_opening_cut_short_by_a_crash_and_a_restore_is_completed() -> None:
    said = Said(at=NOW, invited=frozenset(LISTED[:1]), qualification=None, completed=False)

    assert invited(OPENS, REQUEST, {LISTED[1]}, said) == [LISTED[0], LISTED[2]]


def test_an_opening_cut_short_is_not_completed_after_a_cancellation() -> None:
    said = Said(at=NOW, invited=frozenset(LISTED[:1]), qualification=None, completed=False)
    cancelled = replace(OPENS, cancellation_reason="no need")

    assert invited(cancelled, REQUEST, set(), said) == [LISTED[0]]


def test_an_opening_made_before_a_restore_still_waits_for_what_it_showed() -> None:
    said = Said(at=NOW, invited=frozenset(LISTED), qualification=1, completed=True)

    assert verdict(with_request(OPENS, replace(REQUEST, incomplete=frozenset({0}))), said) == Waiting(
        ("content",)
    )


def test_parts_in_their_order_are_the_document() -> None:
    content = bytes(range(256)) * 4096
    document = manifest_of("request.json", content)
    parts = parts_of(document, content)

    assert fitting_parts(document, {number: [data] for number, data in enumerate(parts, 1)}) == tuple(parts)


def test_a_wrong_part_is_passed_over_for_the_right_one() -> None:
    content = b"x" * (PART_BYTES + 1)
    document = manifest_of("request.json", content)
    first, second = parts_of(document, content)

    assert fitting_parts(document, {1: ["AAAA", first], 2: [second, "not base64"]}) == (first, second)


@pytest.mark.parametrize("variants", [{}, {1: []}, {1: ["AAAA"]}, {2: ["AAAA"]}, {1: ["not base64"]}])
def test_what_does_not_have_the_hash_does_not_fit(variants: dict[int, list[str]]) -> None:
    assert fitting_parts(CONTENT, variants) is None


def test_small_content_travels_inside_the_invitation_and_documents_after_it() -> None:
    content, lines = b'{"title":"Lines"}', b"line_id\n"

    first, *others = invitation(REQUEST, BOX, [parts_of(CONTENT, content), parts_of(LINES, lines)])

    assert isinstance(first, RequestPresented)
    assert first.content_json == content.decode()
    assert [(one.document, one.part) for one in others if isinstance(one, PresentedDocumentPart)] == [
        (LINES, 1)
    ]


@pytest.mark.parametrize("content", [b"a" * (INLINE_BYTES + 1), b"\xff"], ids=["too large", "not text"])
def test_content_that_cannot_travel_inside_follows_in_parts(content: bytes) -> None:
    document = manifest_of("request.json", content)
    request = replace(REQUEST, documents=(document,))

    first, *others = invitation(request, BOX, [parts_of(document, content)])

    assert isinstance(first, RequestPresented)
    assert first.content_json is None
    assert [one.part for one in others if isinstance(one, PresentedDocumentPart)] == list(
        range(1, document.parts + 1)
    )


def test_the_largest_invitation_and_the_largest_part_fit_into_a_kafka_message() -> None:
    content = b'"' * INLINE_BYTES
    document = manifest_of("request.json", content)
    lines = b"\n" * PART_BYTES
    further = manifest_of("usage.csv", lines)
    request = replace(REQUEST, documents=(document, further))

    messages = invitation(request, BOX, [parts_of(document, content), parts_of(further, lines)])

    assert max(len(message.to_bytes()) for message in messages) < 1_000_000


def test_only_a_purchase_called_off_has_a_cancellation_to_present() -> None:
    told = cancellation(replace(OPENS, cancellation_reason="no need"))

    assert cancellation(OPENS) is None
    assert told is not None
    assert told.reason == "no need"
