"""What providers ask is kept, and answered by the coordinator."""

from services.rfp import domain, store
from services.rfp.handlers.coordinating import request_to_change
from services.rfp.handlers.streams import bidding_events, commands
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.bidding import QuestionReceived
from shared.messages.rfp import AnswerQuestion, QuestionAnswered
from shared.outcomes import NotYet, Refusal


@bidding_events.handle
async def keep_question(event: QuestionReceived, tx: Tx, publish: Publish) -> None:
    """Keep what somebody asked, for the coordinator to answer."""
    await store.lock_or_add_request(tx, event.purchase_id)
    await store.add_question(tx, event, cause_id=publish.cause)


@commands.handle
async def answer_question(
    command: AnswerQuestion, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Answer a question, in the asker's words or the coordinator's; distribution tells all at the same time."""
    request = await request_to_change(tx, publish, command, actor)
    if not isinstance(request, domain.Request):
        return request
    asked = await store.question(tx, command.purchase_id, command.question_id)
    question = domain.may_answer(request, asked, publish.now, answered_before=bool(publish.adopted_at))
    if isinstance(question, Refusal | NotYet):
        return question
    await store.answer_question(tx, command.purchase_id, command.question_id, answered_by=publish.cause)
    await publish(
        QuestionAnswered(
            purchase_id=command.purchase_id,
            question_id=command.question_id,
            request_version=question.request_version,
            question=command.restated or question.question,
            answer=command.answer,
        )
    )
    return None
