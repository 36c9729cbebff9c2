"""The checker on what providers say that is no reply: one thing is made wrong at a time, and found."""

from collections.abc import Callable
from uuid import NAMESPACE_URL, uuid5

import pytest

from shared.messages.bidding import QuestionReceived
from shared.messages.providers import AccessRequested, InvitationAcknowledged, QuestionAsked
from tests.unit.checker.test_checker_finds_violations import judged, violated
from tests.unit.checker.world import (
    FIRST,
    PURCHASE,
    SECOND,
    STRANGER,
    World,
    a_purchase,
    named,
    only_offer,
    refuse_a_stranger,
    withdraw_and_acknowledge,
)

Plant = Callable[[World], None]
PLANTS: list[tuple[str, Plant]] = []


def plants(finding: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        PLANTS.append((finding, plant))
        return plant

    return register


def a_purchase_with_words() -> World:
    world = a_purchase()
    only_offer(world)
    refuse_a_stranger(world)
    withdraw_and_acknowledge(world)
    return world


def change_opening(world: World, **changes: object) -> None:
    world.replace(world.find("replies-opened"), body=changes)
    world.restamp("bidding")


@plants("withdrawn, which its provider never asked for")
def a_reply_is_withdrawn_for_its_provider(world: World) -> None:
    replies = world.find("replies-opened").body["replies"]
    change_opening(world, replies=[replies[0], {**replies[1], "standing": "withdrawn"}, replies[2]])


@plants("was receipted, and its reply is evaluated")
def a_withdrawn_reply_is_evaluated(world: World) -> None:
    replies = world.find("replies-opened").body["replies"]
    change_opening(world, replies=[*replies[:2], {**replies[2], "standing": "evaluated"}])


@plants("second000001 acknowledged the request, which it never did")
def somebody_else_is_said_to_have_acknowledged(world: World) -> None:
    (read,) = world.find("replies-opened").body["acknowledged"]
    change_opening(world, acknowledged=[read, {**read, "provider_id": SECOND}])


@plants("acknowledge other content")
def other_content_is_said_to_be_acknowledged(world: World) -> None:
    (read,) = world.find("replies-opened").body["acknowledged"]
    change_opening(world, acknowledged=[{**read, "content_sha256": "0" * 64}])


@plants("another time than")
def an_acknowledgement_has_another_time(world: World) -> None:
    (read,) = world.find("replies-opened").body["acknowledged"]
    change_opening(world, acknowledged=[{**read, "acknowledged_at": "2026-05-01T08:00:00Z"}])


@plants("and no opening names it")
def an_acknowledgement_is_lost(world: World) -> None:
    change_opening(world, acknowledged=[])


@plants("says that first0000001 declined, which it never did")
def somebody_is_said_to_have_declined(world: World) -> None:
    change_opening(world, declined=[FIRST])


@plants("does not say that second000001 declined")
def a_decline_is_lost(world: World) -> None:
    change_opening(world, replies=world.find("replies-opened").body["replies"][:2])


@plants("passed on that nobody asked, or twice")
def a_question_is_passed_on_twice(world: World) -> None:
    received = QuestionReceived.model_validate(world.find("question-received").body)
    world.say("bidding", received.model_copy(update={"question_id": named("again")}))


@plants("receipted and never passed on: 'When?'")
def a_question_is_never_passed_on(world: World) -> None:
    world.take(FIRST, QuestionAsked(purchase_id=PURCHASE, request_version=1, question="When?"), "when")


@plants("answers a question that was never passed on")
def a_question_that_nobody_asked_is_answered(world: World) -> None:
    world.replace(world.find("question-answered"), body={"question_id": str(named("invented"))})
    world.restamp("rfp")


@plants("passes on more than the question: provider_id")
def a_question_names_its_asker(world: World) -> None:
    world.replace(world.find("question-received"), body={"provider_id": SECOND})
    world.restamp("bidding")


@plants("tells that second000001 asked")
def a_header_of_a_question_names_its_asker(world: World) -> None:
    received = world.find("question-received")
    headers = (*received.headers, ("asker", SECOND.encode()))
    world.replace(received, headers=headers, value=received.value)


@plants("who asked can be tried out")
def a_question_has_an_id_that_anybody_can_compute(world: World) -> None:
    id_ = uuid5(NAMESPACE_URL, f"linepool:inbox/replies.{SECOND}/id/question")
    world.replace(world.find("question-received"), body={"question_id": str(id_)})
    world.restamp("bidding")


@plants("has second000001 ask for access, which it never did")
def somebody_is_made_to_ask_for_access(world: World) -> None:
    asked = world.find("access-request-received")
    world.replace(asked, body={"provider_id": SECOND})
    world.restamp("bidding")


@plants("passes on a second time")
def a_request_for_access_is_passed_on_twice(world: World) -> None:
    asked = world.find("access-request-received")
    headers = [(name, b"again" if name == "ce_id" else value or b"") for name, value in asked.headers]
    world.append(asked.topic, asked.value, headers, asked.key)


@plants("and that was never passed on")
def a_request_for_access_is_lost(world: World) -> None:
    world.take(SECOND, AccessRequested(purchase_id=PURCHASE, request_version=1), "lost")


@plants("was never decided")
def a_request_for_access_is_never_decided(world: World) -> None:
    del world.tables["distribution"]["access_requests"][1]


@plants("that the purchase exists")
def a_stranger_learns_of_the_purchase(world: World) -> None:
    world.replace(world.find("access-refused"), body={"reason": "cancelled"})
    world.restamp("distribution")


@plants("that distribution did not decide so")
def a_stranger_is_told_another_reason(world: World) -> None:
    world.replace(world.find("access-refusal-notified"), body={"reason": "cancelled"})


@plants("a second time of one refusal")
def a_refusal_is_told_twice(world: World) -> None:
    told = world.find("access-refusal-notified")
    headers = [(name, b"again" if name == "ce_id" else value or b"") for name, value in told.headers]
    world.append(told.topic, told.value, headers, told.key)


@plants("and never told")
def a_refusal_is_never_told(world: World) -> None:
    world.records.remove(world.find("access-refusal-notified"))


@pytest.mark.parametrize(("finding", "plant"), PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
def test_a_planted_violation_is_found(finding: str, plant: Plant) -> None:
    world = a_purchase_with_words()
    plant(world)
    assert finding in "\n".join(judged(world).of("I2").findings)


def test_a_purchase_with_all_kinds_of_words_passes() -> None:
    assert judged(a_purchase_with_words()).of("I2").findings == ()


def test_what_is_under_way_is_not_held_against_anybody() -> None:
    world = a_purchase_with_words()
    world.take(SECOND, AccessRequested(purchase_id=PURCHASE, request_version=1), "lately")
    world.take(FIRST, QuestionAsked(purchase_id=PURCHASE, request_version=1, question="When?"), "when")
    world.records.remove(world.find("access-refusal-notified", f"notices.{STRANGER}"))
    assert "I2" not in violated(judged(world, at_rest=False))


def test_a_second_acknowledgement_changes_nothing() -> None:
    world = a_purchase_with_words()
    again = InvitationAcknowledged(purchase_id=PURCHASE, request_version=1, content_sha256="0" * 64)
    world.take(FIRST, again, "again")
    assert judged(world).of("I2").findings == ()
