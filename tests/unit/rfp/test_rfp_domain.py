from base64 import b64encode
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rfp import domain
from services.rfp.domain import MOVES, Buyer, Issue, Move, Provider, Request, State
from shared.envelope import Actor
from shared.messages.aggregation import GroupAggregated, Period
from shared.messages.rfp import Custodian, DescribeNeed, ProviderRule, ServiceNeed, SetProviderList
from shared.outcomes import NotYet, Refusal
from shared.sealing import private_key, public_key_b64

PURCHASE, COORDINATOR = UUID(int=9), UUID(int=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
AGGREGATED = GroupAggregated(
    purchase_id=PURCHASE,
    name="Harbour towns",
    currency="EUR",
    tax_basis="net",
    coordinator_id=COORDINATOR,
    buyer_ids=(UUID(int=3), UUID(int=4)),
    reports={UUID(int=3): UUID(int=5), UUID(int=4): UUID(int=6)},
    period=Period(start=date(2026, 5, 1), end=date(2026, 5, 31), months=1),
    lines=2,
    usage_digest="a" * 64,
    snapshot="b" * 64,
)
NEED = DescribeNeed(
    purchase_id=PURCHASE,
    title="Lines",
    description="All lines.",
    services=(ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),),
    places=("Aal",),
    deadline=NOW + timedelta(days=20),
    contract_months=24,
    mode="transmit",
    buyers_shown="named",
)
LISTED = SetProviderList(purchase_id=PURCHASE, provider_ids=("aaaaaaaaaaa1",))
DRAFT = Request(PURCHASE, "drafted", COORDINATOR, AGGREGATED, NEED, LISTED, None, None)
RULE = ProviderRule(category="voice", region="DE-NI")


@given(st.lists(st.sampled_from(get_args(Move))))
def test_no_moves_lead_out_of_an_end_or_back(moves: list[Move]) -> None:
    order: list[State] = ["forming", "drafted", "issued", "closed", "cancelled"]
    request = replace(DRAFT, state="forming")
    for wanted in moves:
        before = request.state
        after = domain.move(request, wanted)
        if isinstance(after, Refusal | NotYet):
            continue
        assert before != "cancelled"
        assert before != "closed" or after == "cancelled"
        assert order.index(after) >= order.index(before)
        request = replace(request, state=after)


@pytest.mark.parametrize("wanted", get_args(Move))
@pytest.mark.parametrize("state", get_args(State))
def test_every_move_from_every_state_has_an_answer(state: State, wanted: Move) -> None:
    after = domain.move(replace(DRAFT, state=state), wanted)
    if state in MOVES[wanted]:
        assert after == MOVES[wanted][state]
    else:
        # Only what is still to come is waited for.
        assert isinstance(after, NotYet if state == "forming" else Refusal)


def test_only_the_coordinator_orders_and_a_group_may_still_become_known() -> None:
    actor = Actor(person_id=COORDINATOR, role="coordinator")
    assert domain.may_coordinate(DRAFT, actor) is None
    assert isinstance(domain.may_coordinate(None, actor), NotYet)
    assert isinstance(domain.may_coordinate(replace(DRAFT, coordinator_id=None), actor), NotYet)
    assert isinstance(domain.may_coordinate(DRAFT, Actor(person_id=PURCHASE, role="coordinator")), Refusal)


def test_a_custodian_for_whose_key_nothing_can_be_sealed_is_refused_when_the_need_is_described() -> None:
    def described(key: str) -> Refusal | NotYet | None:
        custodian = Custodian(name="Meier & Partners", public_key=key)
        return domain.may_describe(DRAFT, NEED.model_copy(update={"custodian": custodian}))

    assert described(public_key_b64(private_key(bytes(32), "a custodian's"))) is None
    # Points of small order: whoever agrees on a secret with them agrees on one that everybody knows.
    for point in (bytes(32), (1).to_bytes(32, "little")):
        refusal = described(b64encode(point).decode())
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "custodian_key_unusable"


def test_a_complete_draft_is_issued() -> None:
    assert domain.may_issue(DRAFT, NOW) == Issue(AGGREGATED, NEED, LISTED)


@pytest.mark.parametrize(
    ("request_", "now", "reason"),
    [
        (replace(DRAFT, state="forming", aggregated=None), NOW, "not_drafted"),
        (replace(DRAFT, need=None), NOW, "need_missing"),
        (replace(DRAFT, listed=None), NOW, "list_missing"),
        (DRAFT, NEED.deadline, "deadline_not_ahead"),
        (replace(DRAFT, state="issued"), NOW, "request_issued"),
        (replace(DRAFT, state="closed"), NOW, "deadline_passed"),
        (replace(DRAFT, state="cancelled"), NOW, "request_cancelled"),
    ],
)
def test_what_keeps_a_request_from_being_issued(request_: Request, now: datetime, reason: str) -> None:
    refusal = domain.may_issue(request_, now)
    assert isinstance(refusal, Refusal | NotYet)
    assert refusal.reason == reason


@pytest.mark.parametrize(
    ("ids", "rule", "reason"),
    [
        (("aaaaaaaaaaa1",), None, None),
        ((), RULE, None),
        ((), None, "list_unclear"),
        (("aaaaaaaaaaa1",), RULE, "list_unclear"),
        (("aaaaaaaaaaa1", "aaaaaaaaaaa1"), None, "provider_twice"),
        (("aaaaaaaaaaa1", "aaaaaaaaaaa2"), None, "provider_unknown"),
    ],
)
def test_a_list_is_ids_or_a_rule(ids: tuple[str, ...], rule: ProviderRule | None, reason: str | None) -> None:
    command = SetProviderList(purchase_id=PURCHASE, provider_ids=ids, rule=rule)
    refusal = domain.may_list(DRAFT, command, {"aaaaaaaaaaa1"})
    assert (refusal.reason if refusal else None) == reason


@given(
    st.lists(
        st.builds(
            Provider,
            st.text("ab1", min_size=12, max_size=12),
            st.just("Tel"),
            st.sets(st.sampled_from(["voice", "data"])).map(tuple),
            st.sets(st.sampled_from(["DE-NI", "FR"])).map(tuple),
            st.booleans(),
        ),
        unique_by=lambda one: one.provider_id,
    )
)
def test_a_rule_lists_exactly_those_who_fit_and_are_not_suspended(providers: list[Provider]) -> None:
    frozen = domain.freeze_list(SetProviderList(purchase_id=PURCHASE, rule=RULE), providers)
    fitting = {
        one.provider_id
        for one in providers
        if "voice" in one.categories and "DE-NI" in one.regions and not one.suspended
    }
    if fitting:
        assert frozen == tuple(sorted(fitting))
    else:
        assert isinstance(frozen, Refusal)


def test_a_list_of_ids_keeps_its_order_and_leaves_out_who_is_suspended() -> None:
    named = SetProviderList(
        purchase_id=PURCHASE, provider_ids=("aaaaaaaaaaa3", "aaaaaaaaaaa2", "aaaaaaaaaaa1")
    )
    suspended = {"aaaaaaaaaaa1": False, "aaaaaaaaaaa2": True, "aaaaaaaaaaa3": False, "aaaaaaaaaaa4": False}
    providers = [Provider(id_, "Tel", (), (), is_suspended) for id_, is_suspended in suspended.items()]
    assert domain.freeze_list(named, providers) == ("aaaaaaaaaaa3", "aaaaaaaaaaa1")
    nobody = domain.freeze_list(named, [replace(one, suspended=True) for one in providers])
    assert isinstance(nobody, Refusal)
    assert nobody.reason == "list_empty"


def test_members_are_known_once_each_of_them_has_an_identity() -> None:
    buyers = [Buyer(UUID(int=number), f"Town {number}", (), UUID(int=number + 10)) for number in (5, 4, 3)]
    assert domain.known_members(AGGREGATED, buyers) == (buyers[2], buyers[1])
    assert isinstance(domain.known_members(AGGREGATED, buyers[:2]), NotYet)
    assert isinstance(domain.known_members(None, buyers), NotYet)
