"""Questions are answered once, in time, to all; who asked is not known here."""

from uuid import uuid4

import pytest

from shared.envelope import Actor
from shared.messages.rfp import QuestionAnswered
from tests.memory import MemoryKafka, Running
from tests.service.rfp.conftest import Purchase, soon


@pytest.fixture
async def issued(purchase: Purchase) -> Purchase:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    return purchase


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_question_is_answered_in_its_own_or_in_other_words(
    issued: Purchase, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    first, second = uuid4(), uuid4()
    kafka.event(issued.asked(first))
    kafka.event(issued.asked(second))
    await issued.say(issued.answering(first))
    await issued.say(issued.answering(second, restated="How many floors?", answer="Four floors."))
    found = [(one.question_id, one.question, one.answer) for one in issued.events(QuestionAnswered)]
    assert found == [
        (first, "Which floors does the tower have?", "Four."),
        (second, "How many floors?", "Four floors."),
    ]
    assert issued.refusals() == []


async def test_a_question_is_answered_once_and_only_by_the_coordinator(
    issued: Purchase, kafka: MemoryKafka
) -> None:
    question = uuid4()
    kafka.event(issued.asked(question))
    await issued.say(issued.answering(question), Actor(person_id=uuid4(), role="coordinator"))
    await issued.say(issued.answering(question), Actor(person_id=uuid4(), role="member"))
    await issued.say(issued.answering(uuid4()))
    await issued.say(issued.answering(question))
    await issued.say(issued.answering(question, answer="Five."))
    assert issued.refusals() == [
        "not_coordinator",
        "role_not_allowed",
        "question_unknown",
        "answered_already",
    ]
    assert [one.answer for one in issued.events(QuestionAnswered)] == ["Four."]


@pytest.mark.parametrize("over", ["cancelled", "closed"])
async def test_nothing_is_answered_after_the_deadline_or_a_cancellation(
    rfp: Running, issued: Purchase, kafka: MemoryKafka, over: str
) -> None:
    question = uuid4()
    kafka.event(issued.asked(question))
    if over == "cancelled":
        await issued.say(issued.cancelling())
    else:
        await rfp.pool.execute("UPDATE timers SET due_at = clock_timestamp(), try_at = clock_timestamp()")
    await kafka.settle()
    await issued.say(issued.answering(question))
    assert issued.refusals() == ["request_cancelled" if over == "cancelled" else "deadline_passed"]
    assert not issued.events(QuestionAnswered)


async def test_an_answer_after_the_deadline_is_refused_although_the_timer_is_late(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka
) -> None:
    deadline = soon(seconds=1.5)
    await purchase.ready(deadline=deadline)
    await purchase.say(purchase.issuing())
    await rfp.pool.execute("UPDATE timers SET try_at = clock_timestamp() + interval '1 hour'")
    kafka.event(purchase.asked(question := uuid4()))
    await rfp.pool.execute("SELECT pg_sleep_until($1)", deadline)
    await purchase.say(purchase.answering(question))
    assert purchase.refusals() == ["deadline_passed"]


async def test_a_draft_has_no_questions_to_answer(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.answering(uuid4()))
    assert purchase.refusals() == ["not_issued"]
