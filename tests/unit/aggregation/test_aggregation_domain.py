from dataclasses import replace
from datetime import date
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregation.domain import groups as domain
from services.aggregation.domain.groups import BadLine, Buyer, Collected, Group, Repeated, Report
from shared.envelope import Actor
from shared.messages.aggregation import Identifier, LineUsage, Period, ReportUsage
from shared.outcomes import Refusal

COORDINATOR, CONTACT, BUYER = UUID(int=1), UUID(int=2), UUID(int=3)
GROUP = Group(UUID(int=9), "Harbour towns", "EUR", "net", COORDINATOR, closed=False)
MEMBER = Buyer(
    BUYER, "Town of Aal", (Identifier(scheme="XI-LEI", id="529900T8BM49AURSDO55"),), CONTACT, left=False
)
MAY = Period(start=date(2026, 5, 1), end=date(2026, 5, 31), months=1)
JUNE = Period(start=date(2026, 6, 1), end=date(2026, 6, 30), months=1)


def a_line(line_id: str) -> LineUsage:
    use = {"service": "voice.day", "quantity": "1", "unit": "MIN", "charged": "0.17"}
    return LineUsage.model_validate(
        {"line_id": line_id, "services": [use], "recurring_charged": "10.00", "exit_fee": "0.00"}
    )


def a_part(*line_ids: str, part: int = 1, parts: int = 1, report_id: UUID | None = None) -> ReportUsage:
    return ReportUsage(
        purchase_id=GROUP.purchase_id,
        buyer_id=BUYER,
        report_id=report_id or uuid4(),
        period=MAY,
        part=part,
        parts=parts,
        lines=tuple(a_line(line_id) for line_id in line_ids or ("L1",)),
    )


def begun_by(part: ReportUsage, *, number: int = 1, state: domain.ReportState = "collecting") -> Report:
    return Report(part.report_id, part.buyer_id, number, state, part.period, part.parts)


@pytest.mark.parametrize(
    ("person_id", "role", "reason"),
    [
        (COORDINATOR, "coordinator", None),
        (CONTACT, "member", None),
        (CONTACT, "coordinator", "not_coordinator"),
        (COORDINATOR, "member", "not_member"),
        (UUID(int=7), "member", "not_member"),
    ],
)
def test_who_may_speak_for_a_buyer(person_id: UUID, role: str, reason: str | None) -> None:
    actor = Actor.model_validate({"person_id": person_id, "role": role})
    refusal = domain.may_speak_for(GROUP, MEMBER, actor)
    assert (refusal.reason if refusal else None) == reason


def test_nobody_speaks_for_a_buyer_that_left() -> None:
    for actor in (Actor(person_id=COORDINATOR, role="coordinator"), Actor(person_id=CONTACT, role="member")):
        refusal = domain.may_speak_for(GROUP, replace(MEMBER, left=True), actor)
        assert refusal is not None
        assert refusal.reason == "buyer_unknown"


def test_the_last_missing_part_completes_a_report() -> None:
    part = a_part(part=2, parts=3)
    report = begun_by(part)
    assert domain.take_part(GROUP, part, [report], {1: "a"}, "b") == Collected(completes=False, replaces=())
    assert domain.take_part(GROUP, part, [report], {1: "a", 3: "c"}, "b") == Collected(
        completes=True, replaces=()
    )


def test_a_complete_report_replaces_only_older_ones_of_its_buyer() -> None:
    part = a_part()
    older = begun_by(a_part(), number=1, state="counts")
    abandoned = begun_by(a_part(), number=2)
    foreign = replace(begun_by(a_part(), number=3, state="counts"), buyer_id=UUID(int=4))
    gone = begun_by(a_part(), number=4, state="replaced")
    own = begun_by(part, number=5)
    newer = begun_by(a_part(), number=6)
    decision = domain.take_part(GROUP, part, [older, abandoned, foreign, gone, own, newer], {}, "a")
    assert decision == Collected(completes=True, replaces=(older.report_id, abandoned.report_id))


@pytest.mark.parametrize("state", ["collecting", "counts", "replaced", "withdrawn"])
def test_the_same_part_again_is_quiet_whatever_became_of_its_report(state: domain.ReportState) -> None:
    part = a_part()
    closed = replace(GROUP, closed=True)
    assert domain.take_part(closed, part, [begun_by(part, state=state)], {1: "a"}, "a") == Repeated()


@pytest.mark.parametrize(
    ("state", "known", "reason"),
    [
        ("collecting", {1: "other"}, "part_changed"),
        ("counts", {1: "other"}, "part_changed"),
        ("replaced", {2: "a"}, "report_replaced"),
        ("withdrawn", {2: "a"}, "report_replaced"),
        ("refused", {1: "a"}, "report_refused"),
    ],
)
def test_a_part_that_comes_too_late_is_refused(
    state: domain.ReportState, known: dict[int, str], reason: str
) -> None:
    part = a_part(parts=2)
    refusal = domain.take_part(GROUP, part, [begun_by(part, state=state)], known, "a")
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason


def test_a_buyer_alone_may_move_to_another_period_but_not_against_others() -> None:
    part = a_part()
    own = replace(begun_by(a_part(), state="counts"), period=JUNE)
    assert isinstance(domain.take_part(GROUP, part, [own], {}, "a"), Collected)
    foreign = replace(own, buyer_id=UUID(int=4))
    refusal = domain.take_part(GROUP, part, [foreign], {}, "a")
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "period_differs"
    assert isinstance(
        domain.take_part(GROUP, part, [replace(foreign, state="withdrawn")], {}, "a"), Collected
    )


@given(st.lists(st.sampled_from("ABCDEFGH"), min_size=1), st.sets(st.sampled_from("ABCDEFGH")))
def test_a_duplicate_is_named_exactly_when_there_is_one(ids: list[str], already: set[str]) -> None:
    bad = domain.duplicate_line([a_line(one) for one in ids], already)
    if len(set(ids)) == len(ids) and not already & set(ids):
        assert bad is None
    else:
        assert isinstance(bad, BadLine)
        assert ids.count(bad.line_id) > 1 or bad.line_id in already
        assert bad.line_id in bad.detail


@given(st.permutations(range(1, 6)))
def test_parts_in_any_order_and_repeated_complete_a_report_once(order: list[int]) -> None:
    report_id = uuid4()
    known: dict[int, str] = {}
    reports: list[Report] = []
    completed = 0
    for number in [*order, *order[:3]]:
        part = a_part(part=number, parts=5, report_id=report_id)
        decision = domain.take_part(GROUP, part, reports, known, str(number))
        if isinstance(decision, Collected):
            known[number] = str(number)
            reports = [begun_by(part)]
            completed += decision.completes
        else:
            assert isinstance(decision, Repeated)
    assert completed == 1
    assert set(known) == set(range(1, 6))


def test_the_snapshot_follows_from_membership_identities_and_usage_only() -> None:
    other = Buyer(UUID(int=5), "Town of Bel", MEMBER.identifiers, UUID(int=6), left=False)
    former = replace(other, buyer_id=UUID(int=8), left=True)
    snapshot = domain.snapshot(GROUP, [MEMBER, other], MAY, "a" * 64)
    assert domain.snapshot(GROUP, [other, former, MEMBER], MAY, "a" * 64) == snapshot
    changes = [
        domain.snapshot(GROUP, [MEMBER], MAY, "a" * 64),
        domain.snapshot(GROUP, [MEMBER, replace(other, legal_name="Bel")], MAY, "a" * 64),
        domain.snapshot(GROUP, [MEMBER, replace(other, identifiers=())], MAY, "a" * 64),
        domain.snapshot(GROUP, [MEMBER, replace(other, contact_id=UUID(int=7))], MAY, "a" * 64),
        domain.snapshot(GROUP, [MEMBER, other], JUNE, "a" * 64),
        domain.snapshot(GROUP, [MEMBER, other], MAY, "b" * 64),
        domain.snapshot(replace(GROUP, coordinator_id=UUID(int=7)), [MEMBER, other], MAY, "a" * 64),
    ]
    assert len({snapshot, *changes}) == 1 + len(changes)
