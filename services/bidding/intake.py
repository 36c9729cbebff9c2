"""Taking what providers said: load what matters, judge, save, answer. A batch of any size takes ten statements."""

from collections.abc import Container, Sequence
from uuid import UUID

import asyncpg

from services.bidding.domain.intake import REUSED, Answered, Arrival, Desk, Judgement, Revision, judge
from services.bidding.store import boxes as box_store
from services.bidding.store import held as held_store
from services.bidding.store import intake as store
from shared.envelope import derived_id
from shared.messages.bidding import TermsPresented
from shared.messages.providers import ReplySubmitted, TermsProposed
from shared.outbox import Outgoing, Publisher


async def take(tx: asyncpg.Connection, publish: Publisher, arrivals: Sequence[Arrival]) -> None:
    """Take new messages, and answer repeated ones as before; in the order of each provider's topic.

    A message that is held gets its answer later.
    """
    publish = publish.answering()
    terms_among = any(isinstance(one.word, TermsProposed) for one in arrivals)
    senders = {(one.purchase_id, one.provider_id) for one in arrivals if one.purchase_id is not None}
    ids = {one.id for one in arrivals}
    boxes = await box_store.lock_boxes(tx, [purchase for purchase, _ in senders], exclusively=terms_among)
    # Held before answered: in between a message may go from the one to the other, never back.
    held = await store.held(tx, ids, senders)
    known = await store.answered(tx, ids)
    new, notices = _sort_out(arrivals, held.sha256_by_id, known)
    revisions, highest = await store.revisions(tx, _revisions_of(new))
    awards = await store.standing_awards(tx, list(boxes)) if terms_among else {}
    desk = Desk(boxes, held.senders, revisions, highest, awards, _presented_before(publish, new))
    judgements = judge(new, desk)
    answers = await _save(tx, judgements)
    notices += [Outgoing(one.notice(), one.id, one.provider_id) for one in answers]
    await publish.many(notices)
    await _present_terms(publish, judgements)


async def judge_held(
    tx: asyncpg.Connection, publish: Publisher, arrivals: Sequence[Arrival], *, final: Container[UUID]
) -> int:
    """Judge those of these messages that are still held, in their order; return how many got their answer."""
    publish = publish.answering()
    boxes = await box_store.lock_boxes(
        tx, [one.purchase_id for one in arrivals if one.purchase_id], exclusively=True
    )
    still_held = await held_store.lock_held(tx, [one.id for one in arrivals])
    arrivals = [one for one in arrivals if one.id in still_held]
    revisions, highest = await store.revisions(tx, _revisions_of(arrivals))
    awards = await store.standing_awards(tx, list(boxes))
    presented = _presented_before(publish, arrivals)
    desk = Desk(boxes, replies=revisions, highest=highest, awards=awards, presented_before=presented)
    judgements = [one for one in judge(arrivals, desk, final=final) if one.answer is not None]
    await held_store.release(tx, [one.arrival.id for one in judgements])
    answers = await _save(tx, judgements)
    await publish.many([Outgoing(one.notice(), one.id, one.provider_id) for one in answers])
    await _present_terms(publish, judgements)
    return len(answers)


def _presented_before(publish: Publisher, arrivals: Sequence[Arrival]) -> set[UUID]:
    return {
        one.id
        for one in arrivals
        if isinstance(one.word, TermsProposed) and publish.deciding("terms", one.id).adopted_at is not None
    }


def _sort_out(
    arrivals: Sequence[Arrival], held: dict[UUID, str], known: dict[UUID, Answered]
) -> tuple[list[Arrival], list[Outgoing]]:
    """Return the messages to judge, and the notices of those that came before.

    The same bytes again get the same notice again; what is held, or comes twice in this batch, gets it once.
    """
    new: dict[UUID, Arrival] = {}
    again: dict[UUID, Outgoing] = {}
    for arrival in arrivals:
        before = known.get(arrival.id)
        first = new.get(arrival.id)
        sha256 = before.sha256 if before else held.get(arrival.id) or (first.sha256 if first else None)
        if sha256 is None:
            new[arrival.id] = arrival
        elif sha256 != arrival.sha256:
            cause = derived_id("reused", arrival.id, arrival.sha256)
            again[cause] = Outgoing(Answered.of(arrival, REUSED).notice(), cause, arrival.provider_id)
        elif before is not None:
            again[arrival.id] = Outgoing(before.notice(), arrival.id, arrival.provider_id)
    return list(new.values()), list(again.values())


def _revisions_of(arrivals: Sequence[Arrival]) -> list[Revision]:
    return [
        (one.word.purchase_id, one.provider_id, one.word.revision)
        for one in arrivals
        if isinstance(one.word, ReplySubmitted)
    ]


async def _save(tx: asyncpg.Connection, judgements: Sequence[Judgement]) -> list[Answered]:
    answers = [Answered.of(one.arrival, one.answer) for one in judgements if one.answer is not None]
    held = [one.arrival for one in judgements if one.answer is None]
    replies = [
        (one.arrival, one.arrival.word)
        for one in judgements
        if one.adds == "reply" and isinstance(one.arrival.word, ReplySubmitted)
    ]
    declines = [
        (one.arrival.id, one.arrival.purchase_id, one.arrival.provider_id)
        for one in judgements
        if one.adds == "decline" and one.arrival.purchase_id is not None
    ]
    if answers:
        await store.add_answers(tx, answers)
    if replies:
        await store.add_replies(tx, replies)
    if declines:
        await store.add_declines(tx, declines)
    if held:
        await held_store.hold(tx, held)
    for one in judgements:
        if one.adds == "terms" and isinstance(one.arrival.word, TermsProposed):
            await store.add_terms(tx, one.arrival.id, one.arrival.word)
    return answers


async def _present_terms(publish: Publisher, judgements: Sequence[Judgement]) -> None:
    presented = [
        (one.arrival, one.arrival.word)
        for one in judgements
        if one.adds == "terms" and isinstance(one.arrival.word, TermsProposed)
    ]
    for arrival, said in sorted(presented, key=lambda one: one[1].purchase_id):
        await publish.deciding("terms", arrival.id)(
            TermsPresented(
                purchase_id=said.purchase_id,
                award=said.award,
                provider_id=arrival.provider_id,
                title=said.title,
                text=said.text,
                terms_sha256=said.terms_sha256,
            )
        )
