from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rfp.qualification import (
    FrozenGroup,
    Qualification,
    Said,
    Verification,
    judge,
    lapse,
)
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
    GroupQualified,
    Level,
    QualificationLapsed,
    QualificationPolicy,
    RecordVerification,
)
from shared.outcomes import Refusal

Method = Literal["address", "register", "document", "visit"]
COORDINATOR, OFFICER = UUID(int=1), UUID(int=2)
BUYERS = (UUID(int=3), UUID(int=4), UUID(int=5))
POLICY = QualificationPolicy(coordinator_level="registry_matched", buyer_level="registry_matched", buyers=1)
GROUP = FrozenGroup(UUID(int=9), "a" * 64, COORDINATOR, frozenset(BUYERS), frozenset({UUID(int=6)}), POLICY)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOTHING = Qualification({}, 0, None)


def a_finding(
    party_id: UUID,
    days: int = 20,
    outcome: Literal["verified", "refused"] = "verified",
    snapshot: str = "a" * 64,
    method: Method = "register",
) -> Verification:
    finding = RecordVerification(
        purchase_id=GROUP.purchase_id,
        snapshot=snapshot,
        party="coordinator" if party_id == COORDINATOR else "buyer",
        party_id=party_id,
        outcome=outcome,
        method=method,
        reference="HRB 1234",
        valid_until=NOW + timedelta(days=days),
    )
    return Verification(1, UUID(int=100), OFFICER, finding)


def after(*verifications: Verification, group: FrozenGroup = GROUP) -> tuple[Qualification, list[Said]]:
    standing, said = NOTHING, list[Said]()
    for verification in verifications:
        judged = judge(group, standing, verification, NOW)
        assert not isinstance(judged, Refusal)
        standing = judged[0]
        said.extend(judged[1])
    return standing, said


def test_a_qualification_holds_as_long_as_the_coordinator_and_one_buyer_do() -> None:
    standing, _ = after(a_finding(COORDINATOR, 9), a_finding(BUYERS[0], 5))
    assert standing.valid_until == NOW + timedelta(days=5)
    standing, _ = after(a_finding(BUYERS[0], 5), a_finding(BUYERS[1], 12), a_finding(COORDINATOR, 9))
    assert standing.valid_until == NOW + timedelta(days=9)


findings = st.lists(
    st.builds(
        a_finding,
        st.sampled_from([COORDINATOR, *BUYERS]),
        st.integers(1, 30),
        st.sampled_from(["verified", "verified", "verified", "refused"]),
    ),
    max_size=12,
)


@given(findings)
def test_a_group_is_qualified_exactly_when_the_newest_findings_say_so(recorded: list[Verification]) -> None:
    standing, said = after(*recorded)
    newest = {one.finding.party_id: one.finding for one in recorded}
    verified = {party_id for party_id, one in newest.items() if one.outcome == "verified"}
    should_hold = COORDINATOR in verified and bool(verified & set(BUYERS)) and len(verified) == len(newest)
    assert (standing.valid_until is not None) == should_hold
    if standing.valid_until is not None:
        best_buyer = max(newest[party_id].valid_until for party_id in verified & set(BUYERS))
        assert standing.valid_until <= min(newest[COORDINATOR].valid_until, best_buyer)
    assert sum(isinstance(one, GroupNotQualified) for one in said) == sum(
        one.finding.outcome == "refused" for one in recorded
    )


@given(findings, st.integers(1, 40))
def test_qualifications_are_numbered_without_gaps_and_at_most_one_holds(
    recorded: list[Verification], days: int
) -> None:
    standing, said = after(*recorded)
    _, lapsed = lapse(GROUP, standing, NOW + timedelta(days=days))
    holds = None
    for fact in [*said, *lapsed]:
        if isinstance(fact, GroupQualified):
            assert holds is None
            assert fact.valid_until > NOW
            holds = fact.number
        elif isinstance(fact, QualificationLapsed):
            assert fact.number == holds
            holds = None
    numbers = [fact.number for fact in said if isinstance(fact, GroupQualified)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert standing.number == len(numbers)


def test_a_qualification_lapses_at_its_time_and_not_before() -> None:
    standing, _ = after(a_finding(COORDINATOR, 9), a_finding(BUYERS[0], 5))
    assert lapse(GROUP, standing, NOW + timedelta(days=5) - timedelta(microseconds=1)) == (standing, [])
    ended, said = lapse(GROUP, standing, NOW + timedelta(days=5))
    assert ended.valid_until is None
    assert [type(one) for one in said] == [QualificationLapsed]
    assert lapse(GROUP, ended, NOW + timedelta(days=6)) == (ended, [])


def test_findings_renewed_in_time_carry_on() -> None:
    standing, _ = after(a_finding(COORDINATOR, 9), a_finding(BUYERS[0], 5), a_finding(BUYERS[0], 7))
    carried, said = lapse(GROUP, standing, NOW + timedelta(days=5))
    assert [type(one) for one in said] == [QualificationLapsed, GroupQualified]
    assert (carried.number, carried.valid_until) == (2, NOW + timedelta(days=7))


@given(findings)
def test_findings_for_another_snapshot_never_count(recorded: list[Verification]) -> None:
    for one in recorded:
        finding = one.finding.model_copy(update={"snapshot": "c" * 64})
        judged = judge(GROUP, NOTHING, Verification(1, one.cause_id, OFFICER, finding), NOW)
        assert isinstance(judged, Refusal)
        assert judged.reason == "other_snapshot"


def test_an_officer_of_the_group_does_not_verify_it() -> None:
    for officer_id in (COORDINATOR, UUID(int=6)):
        finding = a_finding(BUYERS[0]).finding
        judged = judge(GROUP, NOTHING, Verification(1, UUID(int=100), officer_id, finding), NOW)
        assert isinstance(judged, Refusal)
        assert judged.reason == "officer_is_member"


def asking(coordinator: Level, buyer: Level, buyers: int | Literal["all"]) -> FrozenGroup:
    policy = QualificationPolicy(coordinator_level=coordinator, buyer_level=buyer, buyers=buyers)
    return replace(GROUP, policy=policy)


levels = st.sampled_from(get_args(Level))
policies = st.builds(asking, levels, levels, st.sampled_from([1, 2, 3, 7, "all"]))
looked_into = st.lists(
    st.builds(
        a_finding,
        st.sampled_from([COORDINATOR, *BUYERS]),
        st.integers(1, 30),
        st.sampled_from(["verified"] * 6 + ["refused"]),
        method=st.sampled_from(get_args(Method)),
    ),
    max_size=14,
)


@given(policies, looked_into)
def test_a_group_is_qualified_exactly_when_the_policy_is_met(
    group: FrozenGroup, recorded: list[Verification]
) -> None:
    standing, said = after(*recorded, group=group)
    newest = {one.finding.party_id: one.finding for one in recorded}
    # Written down once more, and differently: who may look at what, weakest first.
    enough = {
        "address_confirmed": {"address", "register", "document", "visit"},
        "registry_matched": {"register", "document", "visit"},
        "document_reviewed": {"document", "visit"},
    }
    coordinator = newest.get(COORDINATOR)
    good = [
        one
        for buyer in BUYERS
        if (one := newest.get(buyer)) and one.method in enough[group.policy.buyer_level]
    ]
    needed = 3 if group.policy.buyers == "all" else min(3, group.policy.buyers)
    should_hold = (
        all(one.outcome == "verified" for one in newest.values())
        and coordinator is not None
        and coordinator.method in enough[group.policy.coordinator_level]
        and len(good) >= needed
    )
    assert (standing.valid_until is not None) == should_hold
    if standing.valid_until is not None and coordinator is not None:
        still = [one for one in good if one.valid_until >= standing.valid_until]
        assert len(still) >= needed
        assert coordinator.valid_until >= standing.valid_until
    assert all(one.policy == group.policy for one in said if isinstance(one, GroupQualified))


@pytest.mark.parametrize(
    ("method", "level"),
    [
        ("address", "address_confirmed"),
        ("register", "registry_matched"),
        ("document", "document_reviewed"),
        ("visit", "document_reviewed"),
    ],
)
def test_a_finding_says_how_far_the_party_was_looked_into(method: Method, level: Level) -> None:
    _, said = after(a_finding(COORDINATOR, method=method))
    (verified,) = (one for one in said if isinstance(one, BuyerVerified))
    assert verified.level == level


def test_a_newer_finding_below_the_level_ends_the_qualification() -> None:
    standing, said = after(
        a_finding(COORDINATOR), a_finding(BUYERS[0]), a_finding(COORDINATOR, method="address")
    )
    assert standing.valid_until is None
    assert [one.reason for one in said if isinstance(one, QualificationLapsed)] == ["level_lowered"]


def test_a_group_with_fewer_buyers_than_the_policy_names_needs_all_of_them() -> None:
    group = asking("registry_matched", "address_confirmed", 7)
    few = [a_finding(COORDINATOR), *(a_finding(one, method="address") for one in BUYERS[:2])]
    assert after(*few, group=group)[0].valid_until is None
    assert after(*few, a_finding(BUYERS[2], 3, method="visit"), group=group)[
        0
    ].valid_until == NOW + timedelta(days=3)
