"""Taking what providers said: load what matters, judge, save, answer. A batch of any size takes as many statements as one."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.bidding import terms
from services.bidding.adopting import answered_before, orders_to_come
from services.bidding.domain import chain
from services.bidding.domain.arrivals import Answered, Arrival, Revision, Sender
from services.bidding.domain.box import Seal
from services.bidding.domain.intake import Desk, Judgement, judge
from services.bidding.domain.rejections import REUSED
from services.bidding.receipt_key import receipt_key
from services.bidding.settings import Settings
from services.bidding.store import boxes as box_store
from services.bidding.store import chains as chain_store
from services.bidding.store import held as held_store
from services.bidding.store import intake as store
from shared.envelope import derived_id
from shared.messages.bidding import AccessRequestReceived, QuestionReceived
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsPartSent,
    TermsProposed,
)
from shared.outbox import Outgoing, Publisher
from shared.sealing import derive


@dataclass(frozen=True)
class Rules:
    """What intake is told by the service's settings."""

    seal: Seal
    """How replies to requests that are issued from now on must be sealed."""
    secret: bytes = field(repr=False)
    key: Ed25519PrivateKey = field(repr=False)
    """What answers are signed with."""
    terms_patience: timedelta
    """How long terms wait for their document."""

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """Take what matters here from the settings."""
        patience = timedelta(seconds=settings.terms_patience_s)
        return cls(settings.seal, settings.secret.get_secret_value(), receipt_key(settings), patience)

    def question_id(self, message: UUID) -> UUID:
        """Return a question's id: derived from the secret too, so that nobody can try out whose question it is."""
        return UUID(bytes=derive(self.secret, f"question {message}", 16), version=4)


async def take(tx: asyncpg.Connection, publish: Publisher, arrivals: Sequence[Arrival], rules: Rules) -> None:
    """Take new messages, and answer repeated ones as before; in the order of each provider's topic.

    A message that is held gets its answer later.
    """
    publish = publish.answering()
    terms_among = any(isinstance(one.word, TermsPartSent | TermsProposed) for one in arrivals)
    senders = {(one.purchase_id, one.provider_id) for one in arrivals if one.purchase_id is not None}
    ids = {one.id for one in arrivals}
    boxes = await box_store.lock_boxes(tx, [purchase for purchase, _ in senders], exclusively=terms_among)
    # Held before answered: in between a message may go from the one to the other, never back.
    held = await store.held(tx, ids, senders)
    known = await store.answered(tx, ids)
    new, reused, repeated = _sort_out(arrivals, held.sha256_by_id, known)
    reused, repeated_reuse = await _sort_out_reused(tx, reused)
    revisions, newest = await store.revisions(tx, _revisions_of(new), _withdrawing(new))
    before = answered_before(publish.adoptions, [*new, *reused])
    desk = Desk(
        boxes,
        held.senders,
        revisions,
        newest,
        asked=await _asked(tx, new),
        seal=rules.seal,
        awards=await store.standing_awards(tx, list(boxes)) if terms_among else {},
        presented_before=_presented_before(publish, new),
        answered_before=before,
        orders_to_come=await orders_to_come(tx, publish.adoptions, boxes) if terms_among else frozenset(),
    )
    judgements = [*judge(new, desk), *(Judgement(one, REUSED) for one in reused)]
    again = _notices([*repeated, *repeated_reuse], rules.key, again=True)
    await answer(tx, publish, judgements, rules, again=again)


async def judge_held(
    tx: asyncpg.Connection,
    publish: Publisher,
    arrivals: Sequence[Arrival],
    rules: Rules,
    *,
    final: Container[UUID],
) -> int:
    """Judge those of these messages that are still held, in their order; return how many got their answer."""
    publish = publish.answering()
    boxes = await box_store.lock_boxes(
        tx, [one.purchase_id for one in arrivals if one.purchase_id], exclusively=True
    )
    still_held = await held_store.lock_held(tx, [one.id for one in arrivals])
    arrivals = [one for one in arrivals if one.id in still_held]
    revisions, newest = await store.revisions(tx, _revisions_of(arrivals), _withdrawing(arrivals))
    before = answered_before(publish.adoptions, arrivals)
    desk = Desk(
        boxes,
        replies=revisions,
        newest=newest,
        asked=await _asked(tx, arrivals),
        seal=rules.seal,
        awards=await store.standing_awards(tx, list(boxes)),
        presented_before=_presented_before(publish, arrivals),
        answered_before=before,
        orders_to_come=await orders_to_come(tx, publish.adoptions, boxes),
    )
    judgements = [one for one in judge(arrivals, desk, final=final) if one.answer is not None]
    await held_store.release(tx, [one.arrival.id for one in judgements])
    await answer(tx, publish, judgements, rules)
    return len(judgements)


async def answer(
    tx: asyncpg.Connection,
    publish: Publisher,
    judgements: Sequence[Judgement],
    rules: Rules,
    *,
    again: Iterable[Outgoing] = (),
) -> None:
    """Save what messages lead to, tell each sender its answer after those that are told `again`, and say what others act on."""
    judgements = await terms.gather(tx, judgements, publish.now + rules.terms_patience)
    before = answered_before(publish.adoptions, [one.arrival for one in judgements])
    answers = await _save(tx, judgements, before)
    await publish.many([*again, *_notices(answers, rules.key, again=False)])
    await _pass_on(publish, judgements, rules)
    await terms.present(tx, publish, judgements)


def _presented_before(publish: Publisher, arrivals: Sequence[Arrival]) -> set[UUID]:
    return {
        one.id
        for one in arrivals
        if isinstance(one.word, TermsProposed) and publish.deciding("terms", one.id).adopted_at is not None
    }


def _notices(answers: Iterable[Answered], key: Ed25519PrivateKey, *, again: bool) -> list[Outgoing]:
    return [Outgoing(chain.signed_notice(one, key), one.id, one.provider_id, again=again) for one in answers]


def _sort_out(
    arrivals: Sequence[Arrival], held: dict[UUID, str], known: dict[UUID, Answered]
) -> tuple[list[Arrival], list[Arrival], list[Answered]]:
    """Return the messages to judge, those that use another's id, and the answers of those that came before.

    The same bytes again get the same notice again; what is held, or comes twice in this batch, gets it once. Other bytes under
    a used id are a message of their own, whose id derives from both.
    """
    new: dict[UUID, Arrival] = {}
    reused: dict[UUID, Arrival] = {}
    again: dict[UUID, Answered] = {}
    for arrival in arrivals:
        before = known.get(arrival.id)
        first = new.get(arrival.id)
        sha256 = before.sha256 if before else held.get(arrival.id) or (first.sha256 if first else None)
        if sha256 is None:
            new[arrival.id] = arrival
        elif sha256 != arrival.sha256:
            id_ = derived_id("reused", arrival.id, arrival.sha256)
            reused.setdefault(id_, replace(arrival, id=id_))
        elif before is not None:
            again[arrival.id] = before
    return list(new.values()), list(reused.values()), list(again.values())


async def _sort_out_reused(
    tx: asyncpg.Connection, reused: list[Arrival]
) -> tuple[list[Arrival], list[Answered]]:
    """Return those that were not rejected yet, and the rejections of the others."""
    if not reused:
        return [], []
    known = await store.answered(tx, {one.id for one in reused})
    return [one for one in reused if one.id not in known], list(known.values())


def _revisions_of(arrivals: Sequence[Arrival]) -> list[Revision]:
    return [
        (one.word.purchase_id, one.provider_id, one.word.revision)
        for one in arrivals
        if isinstance(one.word, ReplySubmitted)
    ]


def _withdrawing(arrivals: Sequence[Arrival]) -> set[Sender]:
    return {
        (one.word.purchase_id, one.provider_id) for one in arrivals if isinstance(one.word, ReplyWithdrawn)
    }


async def _asked(tx: asyncpg.Connection, arrivals: Sequence[Arrival]) -> dict[Sender, int]:
    senders = {
        (one.word.purchase_id, one.provider_id) for one in arrivals if isinstance(one.word, QuestionAsked)
    }
    return await store.questions_asked(tx, senders) if senders else {}


async def _save(
    tx: asyncpg.Connection, judgements: Sequence[Judgement], before: dict[UUID, Answered]
) -> list[Answered]:
    answers = [
        before.get(one.arrival.id) or Answered.of(one.arrival, one.answer)
        for one in judgements
        if one.answer is not None
    ]
    held = [
        replace(one.arrival, body=b"") if one.without_content else one.arrival
        for one in judgements
        if one.answer is None
    ]
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
    if held:
        # Before the chains: whoever releases held messages has them locked when it comes to the chains.
        await held_store.hold(tx, held)
    if answers:
        answers = await _link(tx, answers)
        await store.add_answers(tx, answers)
    if replies:
        await store.add_replies(tx, replies)
    if declines:
        await store.add_declines(tx, declines)
    await _save_the_rest(tx, judgements)
    return answers


async def _link(tx: asyncpg.Connection, answers: Sequence[Answered]) -> list[Answered]:
    """Give each answer its place in its provider's chain."""
    heads = await chain_store.lock_chains(tx, {one.provider_id for one in answers})
    linked, ends = chain.link(answers, heads)
    await chain_store.move_chains(tx, ends)
    return linked


async def _save_the_rest(tx: asyncpg.Connection, judgements: Sequence[Judgement]) -> None:
    """Save what comes one by one: few of these are in a batch."""
    for one in judgements:
        match one.arrival.word:
            case ReplyWithdrawn() as word if one.adds == "withdrawal":
                await store.withdraw(tx, word.reply_id, one.arrival.id)
            case InvitationAcknowledged() as word if one.adds == "acknowledgement":
                await store.add_acknowledgement(tx, one.arrival, word)
            case QuestionAsked() as word if one.adds == "question":
                await store.add_question(tx, one.arrival.id, word.purchase_id, one.arrival.provider_id)
            case TermsProposed() as word if one.adds == "terms":
                await store.add_terms(tx, one.arrival.id, word)


async def _pass_on(publish: Publisher, judgements: Sequence[Judgement], rules: Rules) -> None:
    """Say on bidding's events what others must act on.

    In the order of the questions' ids, which tells nothing: that of the batch would tell the asker by its topic.
    """
    said: list[QuestionReceived | AccessRequestReceived] = []
    for one in judgements:
        match one.arrival.word:
            case QuestionAsked() as word if one.adds == "question":
                said.append(
                    QuestionReceived(
                        purchase_id=word.purchase_id,
                        question_id=rules.question_id(one.arrival.id),
                        request_version=word.request_version,
                        question=word.question,
                    )
                )
            case AccessRequested() as word if one.adds == "access":
                said.append(
                    AccessRequestReceived(
                        purchase_id=word.purchase_id,
                        request_id=derived_id("access", one.arrival.id),
                        provider_id=one.arrival.provider_id,
                        request_version=word.request_version,
                        message_id=one.arrival.message_id or "",
                    )
                )
    for fact in sorted(said, key=_place):
        await publish.deciding(*_place(fact))(fact)


def _place(fact: QuestionReceived | AccessRequestReceived) -> tuple[UUID, str, UUID]:
    if isinstance(fact, QuestionReceived):
        return fact.purchase_id, "question", fact.question_id
    return fact.purchase_id, "access", fact.request_id
