"""The checker on how a group forms: what its rules allow passes, and each planted violation of one is named."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from linepool.checker.judge import check
from linepool.checker.report import Verdict
from shared.envelope import Actor
from shared.messages import aggregation, evidence, rfp
from shared.messages.aggregation import ReportUsage
from tests.unit.checker.world import (
    BEGIN,
    BUYERS,
    COORDINATOR,
    LINES,
    PURCHASE,
    REPORTS,
    SNAPSHOT,
    World,
    a_purchase,
    named,
)

Plant = Callable[[World], None]
MEMBER = UUID("9c1f0f52-0000-4000-8000-0000000000cc")
FIRST, SECOND = BUYERS
PERIOD = aggregation.Period(start=date(2026, 4, 1), end=date(2026, 4, 30), months=1)


def a_group(*, minimum: dict[str, Any] | None = None) -> World:
    """Return a world in which a group that demands letters was formed: two buyers, two reports, two letters."""
    world = World()
    say(
        world,
        aggregation.GroupOpened(
            purchase_id=PURCHASE,
            name="Group",
            currency="EUR",
            tax_basis="net",
            coordinator_id=COORDINATOR,
            letters_required=True,
        ),
    )
    if minimum is not None:
        fields = {"buyers": 3, "lines": 0, "decide_by": BEGIN + timedelta(seconds=5), **minimum}
        say(world, aggregation.MinimumSet.model_validate({"purchase_id": PURCHASE, **fields}))
    order = ReportUsage(
        purchase_id=PURCHASE,
        buyer_id=FIRST,
        report_id=REPORTS[0],
        period=PERIOD,
        part=1,
        parts=1,
        lines=LINES[0],
    )
    on_behalf = Actor(person_id=COORDINATOR, role="coordinator", on_behalf_of=FIRST)
    headers = [
        ("ce_id", str(named("cause")).encode()),
        ("ce_type", order.type().encode()),
        ("ce_actor", on_behalf.model_dump_json().encode()),
    ]
    world.append(order.stream, order.to_bytes(), headers)
    for buyer, report, lines in zip(BUYERS, REPORTS, LINES, strict=True):
        say(
            world,
            aggregation.BuyerJoined(
                purchase_id=PURCHASE,
                buyer_id=buyer,
                legal_name="Town",
                identifiers=(aggregation.Identifier(scheme="XI-LEI", id="5493001KJTIIGC8Y1R12"),),
                contact_id=MEMBER,
            ),
        )
        agency = evidence.Agency(
            services=("voice",),
            valid_from=date(2026, 5, 1),
            valid_until=date(2026, 12, 31),
            signed_on=date(2026, 4, 1),
        )
        say(
            world,
            evidence.LetterFiled(
                purchase_id=PURCHASE, buyer_id=buyer, agency=agency, sha256="c" * 64, size=9
            ),
        )
        about = {"purchase_id": PURCHASE, "buyer_id": buyer, "report_id": report}
        said = {**about, "part": 1, "parts": 1, "lines": lines}
        say(world, aggregation.UsageLinesReported.model_validate(said))
        # The first buyer's usage is reported by the coordinator, the second's by its own contact person.
        say(
            world,
            aggregation.UsageReported.model_validate(
                {**about, "period": PERIOD, "lines": len(lines), "parts": 1}
            ),
            by=COORDINATOR if buyer == FIRST else MEMBER,
        )
    say(
        world,
        aggregation.GroupAggregated(
            purchase_id=PURCHASE,
            name="Group",
            currency="EUR",
            tax_basis="net",
            coordinator_id=COORDINATOR,
            buyer_ids=BUYERS,
            reports=dict(zip(BUYERS, REPORTS, strict=True)),
            period=PERIOD,
            lines=3,
            usage_digest="b" * 64,
            snapshot=SNAPSHOT,
        ),
    )
    return world


def say(world: World, message: aggregation.AggregationEvent | Any, *, by: UUID = COORDINATOR) -> None:
    world.say("aggregation", message, by=by)


def verdict(world: World) -> Verdict:
    return check(world.history()).of("group")


def late() -> World:
    """A group that is too small, and was closed by its coordinator after the time, as it was said."""
    return a_group(minimum={"otherwise": "coordinator_decides"})


def a_letter(world: World, buyer: UUID) -> Any:
    return next(
        one for one in world.records if one.type == "letter-filed" and one.body["buyer_id"] == str(buyer)
    )


def after_the_letter(world: World, **agency: Any) -> None:
    letter = a_letter(world, SECOND)
    world.replace(letter, body={"agency": {**letter.body["agency"], **agency}})


def without(world: World, record: Any) -> None:
    world.records.remove(record)


# Levels of identity, on a whole purchase.


def the_coordinator_is_below_its_level(world: World) -> None:
    world.replace(world.find("buyer-verified"), body={"level": "address_confirmed"})


def no_buyer_was_verified(world: World) -> None:
    without(world, [one for one in world.records if one.type == "buyer-verified"][1])


def a_buyer_was_verified_too_late(world: World) -> None:
    qualified = world.find("group-qualified")
    second = [one for one in world.records if one.type == "buyer-verified"][1]
    world.replace(second, offset=qualified.offset + 1)


def a_finding_is_about_another_snapshot(world: World) -> None:
    world.replace(world.find("buyer-verified"), body={"snapshot": "d" * 64})


def a_later_finding_is_weaker(world: World) -> None:
    qualified, drafted = world.find("group-qualified"), world.find("request-drafted")
    stronger = {
        **drafted.body["policy"],
        "buyer_level": "registry_matched",
        "coordinator_level": "address_confirmed",
    }
    world.replace(drafted, body={"policy": stronger})
    world.replace(qualified, body={"policy": stronger}, offset=qualified.offset + 1)
    again = rfp.BuyerVerified.model_validate(
        {
            **[one for one in world.records if one.type == "buyer-verified"][1].body,
            "level": "address_confirmed",
        }
    )
    world.replace(world.say("rfp", again), offset=qualified.offset)


def a_refused_party_is_in_it(world: World) -> None:
    qualified = world.find("group-qualified")
    refused = rfp.GroupNotQualified(
        purchase_id=PURCHASE, snapshot=SNAPSHOT, party="buyer", party_id=SECOND, reason="No such town."
    )
    world.replace(world.say("rfp", refused), offset=qualified.offset - 1)


def the_policy_is_another(world: World) -> None:
    policy = world.find("group-qualified").body["policy"]
    world.replace(world.find("group-qualified"), body={"policy": {**policy, "buyers": 7}})


def all_buyers_were_asked_for(world: World) -> None:
    for type_ in ("request-drafted", "group-qualified"):
        record = world.find(type_)
        world.replace(record, body={"policy": {**record.body["policy"], "buyers": "all"}})


def it_is_valid_longer_than_what_was_found(world: World) -> None:
    world.replace(world.find("buyer-verified"), body={"valid_until": "2026-05-03T08:00:00Z"})


def it_was_never_drafted(world: World) -> None:
    without(world, world.find("request-drafted"))


LEVELS: list[tuple[Plant, str]] = [
    (the_coordinator_is_below_its_level, "0 of 1 coordinator at the level registry_matched"),
    (no_buyer_was_verified, "0 of 1 buyer at the level address_confirmed"),
    (a_buyer_was_verified_too_late, "0 of 1 buyer at the level address_confirmed"),
    (a_finding_is_about_another_snapshot, "0 of 1 coordinator"),
    (a_later_finding_is_weaker, "0 of 1 buyer at the level registry_matched"),
    (a_refused_party_is_in_it, "was refused"),
    (the_policy_is_another, "another policy than it was drafted with"),
    (all_buyers_were_asked_for, "1 of 2 buyer"),
    (it_is_valid_longer_than_what_was_found, "valid longer than what was found about a coordinator"),
    (it_was_never_drafted, "not drafted with its policy"),
]


# Letters of agency.


def a_letter_came_after_the_act(world: World) -> None:
    act = world.find("usage-reported")
    world.replace(a_letter(world, FIRST), offset=act.offset + 1)


def a_letter_is_missing(world: World) -> None:
    without(world, a_letter(world, SECOND))


def a_letter_begins_later(world: World) -> None:
    after_the_letter(world, valid_from="2026-05-02")


def a_letter_has_ended(world: World) -> None:
    after_the_letter(world, valid_until="2026-04-30", valid_from="2026-04-01")


def a_letter_is_for_something_else(world: World) -> None:
    after_the_letter(world, services=["voice.night", "voicemail"])


def an_order_does_not_say_for_whom(world: World) -> None:
    order = world.find("report-usage")
    actor = Actor(person_id=COORDINATOR, role="coordinator").model_dump_json(exclude_none=True).encode()
    world.replace(
        order, headers=tuple((name, actor if name == "ce_actor" else value) for name, value in order.headers)
    )


LETTERS: list[tuple[Plant, str]] = [
    (a_letter_came_after_the_act, f"on behalf of buyer {FIRST}, whose letter of agency was not filed"),
    (a_letter_is_missing, f"without a letter of agency of buyer {SECOND}"),
    (a_letter_begins_later, f"on 2026-05-01, when the letter of buyer {SECOND} is not valid"),
    (a_letter_has_ended, "is not valid"),
    (a_letter_is_for_something_else, f"the letter of buyer {SECOND} does not cover voice.day"),
    (an_order_does_not_say_for_whom, "does not say that it is on behalf of buyer"),
]


# The minimum.


def it_was_closed_too_early(world: World) -> None:
    world.replace(world.find("minimum-set"), body={"decide_by": "2026-05-01T09:00:00Z"})


def it_was_to_be_given_up(world: World) -> None:
    world.replace(world.find("minimum-set"), body={"otherwise": "dissolve"})


def somebody_else_closed_it(world: World) -> None:
    closing = world.find("group-aggregated")
    headers = tuple(
        (name, str(MEMBER).encode() if name == "ce_actorid" else value) for name, value in closing.headers
    )
    world.replace(closing, headers=headers)


def it_has_too_few_lines(world: World) -> None:
    world.replace(world.find("minimum-set"), body={"buyers": 1, "lines": 4, "otherwise": "dissolve"})


def it_was_given_up_before(world: World) -> None:
    closing = world.find("group-aggregated")
    dissolved = aggregation.GroupDissolved(purchase_id=PURCHASE, reason="Too few.")
    world.replace(world.say("aggregation", dissolved), offset=closing.offset - 1)


def missed(world: World, **other: Any) -> None:
    fields = {"purchase_id": PURCHASE, "buyers": 2, "lines": 3, "otherwise": "coordinator_decides", **other}
    world.say("aggregation", aggregation.MinimumMissed.model_validate(fields))


def it_was_missed_and_not_given_up(world: World) -> None:
    world.replace(world.find("minimum-set"), body={"otherwise": "dissolve"})
    missed(world, otherwise="dissolve")


def it_was_missed_with_enough(world: World) -> None:
    missed(world, buyers=3)


def it_was_missed_too_early(world: World) -> None:
    world.replace(world.find("minimum-set"), body={"decide_by": "2026-05-01T09:00:00Z", "buyers": 2})
    missed(world, buyers=1)


def it_was_missed_with_another_end(world: World) -> None:
    missed(world, otherwise="dissolve")


MINIMUM: list[tuple[Plant, str]] = [
    (it_was_closed_too_early, "before its time was over"),
    (it_was_to_be_given_up, "below its minimum of 3 with 0"),
    (somebody_else_closed_it, "by somebody else than its coordinator"),
    (it_has_too_few_lines, "2 buyers with 3 lines, below its minimum of 1 with 4"),
    (it_was_given_up_before, "which was given up"),
    (it_was_missed_and_not_given_up, "was to be given up then and was not"),
    (it_was_missed_with_enough, "misses a minimum that was reached"),
    (it_was_missed_too_early, "misses a minimum before its time was over"),
    (it_was_missed_with_another_end, "was never set so"),
]


def ids(plants: list[tuple[Plant, str]]) -> list[str]:
    return [plant.__name__ for plant, _ in plants]


@pytest.mark.parametrize(
    "world",
    [a_purchase(), a_group(), late(), a_group(minimum={"buyers": 2, "otherwise": "dissolve"})],
    ids=["levels", "letters", "decided by the coordinator", "large enough"],
)
def test_what_the_rules_allow_passes(world: World) -> None:
    found = verdict(world)
    assert (found.outcome, found.findings) == ("ok", ())
    assert found.looked_at


@pytest.mark.parametrize(("plant", "finding"), LEVELS, ids=ids(LEVELS))
def test_a_group_that_is_qualified_below_its_policy_is_found(plant: Plant, finding: str) -> None:
    found_in(a_purchase(), plant, finding)


@pytest.mark.parametrize(("plant", "finding"), LETTERS, ids=ids(LETTERS))
def test_what_is_done_for_a_member_without_its_letter_is_found(plant: Plant, finding: str) -> None:
    found_in(a_group(), plant, finding)


@pytest.mark.parametrize(("plant", "finding"), MINIMUM, ids=ids(MINIMUM))
def test_a_group_below_its_minimum_that_is_closed_by_no_right_decision_is_found(
    plant: Plant, finding: str
) -> None:
    found_in(late(), plant, finding)


def found_in(world: World, plant: Plant, finding: str) -> None:
    plant(world)
    found = verdict(world)
    assert any(finding in one for one in found.findings), str(found)


def test_a_group_without_letters_and_a_missed_minimum_under_way_are_not_held_against_it() -> None:
    world = a_group(minimum={"otherwise": "dissolve", "buyers": 2})
    opened = world.find("group-opened")
    world.replace(opened, body={"letters_required": False})
    for letter in [one for one in world.records if one.type == "letter-filed"]:
        without(world, letter)
    assert verdict(world).outcome == "ok"
    closing = world.find("group-aggregated")
    without(world, closing)
    world.replace(world.find("minimum-set"), body={"buyers": 3})
    missed(world, otherwise="dissolve")
    assert check(world.history(at_rest=False)).of("group").outcome == "ok"
