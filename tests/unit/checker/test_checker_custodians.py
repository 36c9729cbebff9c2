"""I5 where replies are sealed twice: what is planted about a custodian's key is found, and nothing else is held against it."""

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from linepool.checker.judge import check
from shared.sealing import private_key, private_key_b64, public_key_b64
from tests.unit.checker.world import DEADLINE, PURCHASE, World, a_purchase

KEY, OTHER = (private_key(bytes(32), name) for name in ("a custodian's", "another custodian's"))
RELEASED_AT = DEADLINE + timedelta(seconds=2)


def sealed_twice() -> World:
    world = a_purchase(sealed=True)
    custodian = {"name": "Meier & Partners", "public_key": public_key_b64(KEY)}
    world.replace(world.find("request-issued"), body={"custodian": custodian})
    world.restamp("rfp")
    body = json.dumps({"purchase_id": str(PURCHASE), "private_key": private_key_b64(KEY)}).encode()
    headers = [("ce_id", str(UUID(int=77)).encode()), ("ce_type", b"linepool.release-custodian-key.v1")]
    world.replace(
        world.append("bidding.commands", body, headers, str(PURCHASE).encode()), appended_at=RELEASED_AT
    )
    world.tables["bidding"]["released_keys"] = [
        {"purchase_id": PURCHASE, "private_key": private_key_b64(KEY), "released_at": RELEASED_AT}
    ]
    world.tables["opener"]["opened_boxes"][0]["custodian_key"] = public_key_b64(KEY)
    return world


def test_a_purchase_that_is_sealed_twice_is_in_order() -> None:
    report = check(sealed_twice().history())
    assert report.ok, str(report)
    assert report.of("I5").outcome == "ok"


def nothing_was_released(world: World) -> None:
    world.tables["bidding"]["released_keys"].clear()


def the_key_came_after_the_opening(world: World) -> None:
    world.tables["bidding"]["released_keys"][0]["released_at"] = DEADLINE + timedelta(minutes=1)


def the_key_was_taken_before_the_deadline(world: World) -> None:
    world.tables["bidding"]["released_keys"][0]["released_at"] = DEADLINE - timedelta(seconds=1)


def the_key_was_handed_in_before_the_deadline(world: World) -> None:
    world.replace(world.find("release-custodian-key"), appended_at=DEADLINE - timedelta(seconds=1))


def another_key_was_taken(world: World) -> None:
    world.tables["bidding"]["released_keys"][0]["private_key"] = private_key_b64(OTHER)


def the_request_names_no_custodian(world: World) -> None:
    world.replace(world.find("request-issued"), body={"custodian": None})


def the_box_was_opened_for_another_custodian(world: World) -> None:
    world.tables["opener"]["opened_boxes"][0]["custodian_key"] = public_key_b64(OTHER)


def an_opener_that_knows_of_none_opened_the_box(world: World) -> None:
    del world.tables["opener"]["opened_boxes"][0]["custodian_key"]


def the_private_key_stands_on_an_event(world: World) -> None:
    opened = world.find("replies-opened")
    world.replace(opened, body={"note": private_key_b64(KEY)})


def the_private_key_stands_in_a_log(world: World) -> None:
    world.logs["bidding.log"] = f"handled {private_key_b64(KEY)}".encode()


PLANTED = {
    nothing_was_released: "before its custodian's key was released",
    the_key_came_after_the_opening: "before its custodian's key was released",
    the_key_was_taken_before_the_deadline: "was taken before its deadline",
    the_key_was_handed_in_before_the_deadline: "was handed in before the deadline",
    another_key_was_taken: "another key",
    the_request_names_no_custodian: "names no custodian",
    the_box_was_opened_for_another_custodian: "for another custodian",
    an_opener_that_knows_of_none_opened_the_box: "for another custodian",
    the_private_key_stands_on_an_event: "holds the private key",
    the_private_key_stands_in_a_log: "holds the private key",
}


@pytest.mark.parametrize(("plant", "finding"), PLANTED.items(), ids=[one.__name__ for one in PLANTED])
def test_a_planted_violation_is_found(plant: Callable[[World], None], finding: str) -> None:
    world = sealed_twice()
    plant(world)
    verdict = check(world.history()).of("I5")
    assert verdict.outcome == "violated", str(verdict)
    assert any(finding in one for one in verdict.findings), str(verdict)


def test_a_box_that_waits_for_its_custodian_is_at_rest_and_one_that_waits_for_the_opener_is_not() -> None:
    world = sealed_twice()
    world.tables["bidding"]["boxes"][0] |= {"stage": "closed", "custodian_key": public_key_b64(KEY)}
    assert world.history().unsent == ["there are 1 boxes to close or compare"]
    world.tables["bidding"]["released_keys"].clear()
    assert world.history().unsent == []
    world.tables["bidding"]["boxes"][0] |= {"stage": "closing"}
    assert world.history().unsent == ["there are 1 boxes to close or compare"]
