"""The checker on terms with a document: what is right passes, and each planted violation is named."""

from base64 import b64encode
from collections.abc import Callable
from uuid import uuid4

import pytest

from linepool.checker.judge import check
from shared.messages.base import PART_BYTES
from shared.messages.bidding import TermsDocumentPart, TermsPresented
from tests.unit.checker.world import (
    SECOND,
    World,
    a_purchase,
    propose_terms,
)

Plant = Callable[[World], None]


def with_terms() -> World:
    world = a_purchase()
    propose_terms(world)
    return world


def passes(world: World) -> bool:
    report = check(world.history())
    assert report.ok, str(report)
    return report.of("I4").looked_at > 0


def the_second_part_is_missing(world: World) -> None:
    _, second = [one for one in world.records if one.type == "terms-document-part"]
    world.records.remove(second)
    world.tables["bidding"]["log"] = [
        row for row in world.tables["bidding"]["log"] if str(row["event_id"]) != second.id
    ]


def a_part_has_other_bytes(world: World) -> None:
    data = b64encode(b"\x01" * PART_BYTES).decode()
    world.replace(world.find("terms-document-part"), body={"data": data})


def a_part_is_no_base64(world: World) -> None:
    world.replace(world.find("terms-document-part"), body={"data": "%"})


def a_part_is_said_twice(world: World) -> None:
    said = TermsDocumentPart.model_validate(world.find("terms-document-part").body)
    world.say("bidding", said, id_=uuid4())


def the_document_is_another(world: World) -> None:
    for record in [one for one in world.records if one.type == "terms-presented"]:
        world.replace(record, body={"document": {**record.body["document"], "sha256": "a" * 64}})


def the_text_is_another(world: World) -> None:
    world.replace(world.find("terms-presented"), body={"text": "Payment in advance."})


def a_loser_is_told_a_part(world: World) -> None:
    said = TermsDocumentPart.model_validate(world.find("terms-document-part").body)
    world.append(f"notices.{SECOND}", said.to_bytes(), [("ce_id", b"x"), ("ce_type", said.type().encode())])


def the_terms_are_of_another_provider(world: World) -> None:
    world.replace(world.find("terms-presented"), body={"provider_id": SECOND})


def the_terms_are_presented_twice(world: World) -> None:
    world.say("bidding", TermsPresented.model_validate(world.find("terms-presented").body), id_=uuid4())


def the_terms_were_never_receipted(world: World) -> None:
    receipt = [one for one in world.records if one.body.get("message_id") == "terms 1"]
    world.replace(receipt[0], body={"message_id": "another"})


def receipted_terms_are_lost(world: World) -> None:
    world.records.remove(world.find("terms-presented"))
    for part in [one for one in world.records if one.type == "terms-document-part"]:
        world.records.remove(part)


def the_terms_are_lost_and_their_document_is_not(world: World) -> None:
    world.records.remove(world.find("terms-presented"))


PLANTS: list[tuple[Plant, str]] = [
    (the_second_part_is_missing, "1 parts are missing"),
    (a_part_has_other_bytes, "not what its manifest describes"),
    (a_part_is_no_base64, "not what its manifest describes"),
    (a_part_is_said_twice, "a part too many"),
    (the_document_is_another, "another hash than that of its text and document"),
    (the_text_is_another, "another hash than that of its text and document"),
    (a_loser_is_told_a_part, "belongs on bidding.comparisons alone"),
    (the_terms_are_of_another_provider, "which was not selected"),
    (the_terms_are_presented_twice, "more often than their provider has receipts for"),
    (the_terms_were_never_receipted, "more often than their provider has receipts for"),
    (receipted_terms_are_lost, "its terms never lay before the group"),
    (the_terms_are_lost_and_their_document_is_not, "belongs to no terms"),
]


def test_terms_with_a_document_pass() -> None:
    assert passes(with_terms())


def test_the_same_terms_proposed_again_after_a_rejection_pass() -> None:
    world = with_terms()
    propose_terms(world, attempt=2)
    assert passes(world)


@pytest.mark.parametrize(("plant", "finding"), PLANTS, ids=[plant.__name__ for plant, _ in PLANTS])
def test_what_is_wrong_with_terms_is_found(plant: Plant, finding: str) -> None:
    world = with_terms()
    plant(world)
    verdict = check(world.history()).of("I4")
    assert any(finding in one for one in verdict.findings), str(verdict)


def test_parts_under_way_are_not_missed_before_all_is_at_rest() -> None:
    world = with_terms()
    the_second_part_is_missing(world)
    assert not [one for one in check(world.history(at_rest=False)).of("I4").findings if "missing" in one]
