"""How each message of a provider is judged: one receipt or one rejection, decided once and then kept."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from services.bidding.domain.arrivals import (
    Answer,
    Answered,
    Arrival,
    ProviderWord,
    Receipt,
    Rejection,
    Revision,
    Sender,
    WithoutContent,
)
from services.bidding.domain.box import Box, Request, Seal, is_in_time
from services.bidding.domain.rejections import (
    CANCELLED,
    DOCUMENTS,
    LATE,
    NO_SEAL,
    NO_SUCH_REPLY,
    NO_SUCH_VERSION,
    NOT_DUE,
    NOT_SEALED,
    NOT_SELECTED,
    OTHER_TERMS,
    QUESTIONS,
    REVISION_FELL,
    REVISION_USED,
    TOO_MANY_DOCUMENTS,
    TOO_MANY_QUESTIONS,
    UNKNOWN,
)
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsDocument,
    TermsPartSent,
    TermsProposed,
)
from shared.terms_digest import terms_digest

AwardOf = tuple[UUID, int, str]
"""A purchase, an award's number and its provider."""


@dataclass(frozen=True)
class KnownReply:
    """A receipted reply's id, and the SHA-256 of its message."""

    reply_id: UUID
    sha256: str


@dataclass(frozen=True)
class NewestReply:
    """A sender's reply with the highest revision."""

    reply_id: UUID
    revision: int
    withdrawn: bool = False


@dataclass(frozen=True)
class StandingAward:
    """The award that stands, and whether terms lie before the group or were accepted."""

    number: int
    provider_id: str
    has_terms: bool
    waits: bool = False
    """Whether terms wait for their document."""
    documents: frozenset[TermsDocument] = frozenset()
    """Of which parts are here."""


@dataclass(frozen=True)
class Desk:
    """What bidding knows when it judges some messages."""

    boxes: Mapping[UUID, Box]
    waiting: Container[Sender] = frozenset()
    """Senders of whom an earlier message about the same purchase is held."""
    replies: Mapping[Revision, KnownReply] = field(default_factory=dict)
    newest: Mapping[Sender, NewestReply] = field(default_factory=dict)
    """Each sender's receipted reply with the highest revision."""
    asked: Mapping[Sender, int] = field(default_factory=dict)
    """How many questions each sender has asked."""
    seal: Seal = "none"
    """How replies to requests that are yet to come must be sealed."""
    awards: Mapping[UUID, StandingAward] = field(default_factory=dict)
    presented_before: Container[UUID] = frozenset()
    """Terms that lay before the group already, before the database was restored."""
    answered_before: Mapping[UUID, Answered] = field(default_factory=dict)
    """Messages that were answered before the database was restored."""
    orders_to_come: Container[AwardOf] = frozenset()
    """Awards of which an order that made room for terms was obeyed before the database was restored, and will be again."""


@dataclass(frozen=True)
class Judgement:
    """What becomes of one message: its answer, or None while it is held; and what it adds to its purchase."""

    arrival: Arrival
    answer: Answer | None
    adds: (
        Literal["reply", "withdrawal", "decline", "acknowledgement", "question", "access", "part", "terms"]
        | None
    ) = None
    without_content: bool = False
    """Held, but nothing of what it says may be kept."""


def judge(
    arrivals: Sequence[Arrival], desk: Desk, *, final: Container[UUID] = frozenset()
) -> list[Judgement]:
    """Judge messages in the order in which each provider's topic has them.

    A message whose sender is on no list that is known here is held, because the list may still come; so is whatever
    the sender says about that purchase afterwards. `final` are the messages for which it can no longer come: they are
    rejected, with the same words whether the purchase does not exist or the sender is not on its list.
    """
    judged = _Judging(desk)
    return [judged.as_before(arrival, final) for arrival in arrivals]


class _Judging:
    """One pass over some messages: what the earlier ones add counts for the later ones."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.held: set[Sender] = set()
        self.replies = dict(desk.replies)
        self.newest = dict(desk.newest)
        self.asked = dict(desk.asked)
        self.terms: set[UUID] = set()
        self.documents = {id_: set(award.documents) for id_, award in desk.awards.items()}

    def as_before(self, arrival: Arrival, final: Container[UUID]) -> Judgement:
        """Judge, but for what was answered before a restore: that answer stands, whatever is known by now."""
        before = self.desk.answered_before.get(arrival.id)
        if before is None:
            return self.one(arrival, final)
        if isinstance(before.answer, Rejection):
            return Judgement(arrival, before.answer)
        judgement = self.one(arrival, final)
        if judgement.answer is None:
            return judgement
        return Judgement(
            arrival, before.answer, judgement.adds if isinstance(judgement.answer, Receipt) else None
        )

    def one(self, arrival: Arrival, final: Container[UUID]) -> Judgement:
        word = arrival.word
        if isinstance(word, Rejection):
            return Judgement(arrival, word)
        if isinstance(word, AccessRequested):
            # Whoever asks gets the same answer; whether anything is shown to it is decided elsewhere.
            return Judgement(arrival, Receipt(), "access")
        sender = (word.purchase_id, arrival.provider_id)
        box = self.desk.boxes.get(word.purchase_id)
        if box is None or box.request is None or not box.lists(arrival.provider_id):
            if arrival.id in final or self._is_new_part(arrival):
                return Judgement(arrival, UNKNOWN)
            self.held.add(sender)
            return self._hold(arrival, box)
        if (sender in self.held or sender in self.desk.waiting) and not self._is_new_part(arrival):
            return self._hold(arrival, box)
        return self._from_listed(arrival, word, box, box.request)

    def _is_new_part(self, arrival: Arrival) -> bool:
        """Whether it is never held: only for an award that is known here, or was, can a part be taken."""
        word = arrival.word
        return (
            isinstance(word, TermsPartSent)
            and arrival.id not in self.desk.answered_before
            and not self._has_room_again(arrival, word)
        )

    def _has_room_again(self, arrival: Arrival, word: TermsPartSent | TermsProposed) -> bool:
        return (word.purchase_id, word.award, arrival.provider_id) in self.desk.orders_to_come

    def _hold(self, arrival: Arrival, box: Box | None) -> Judgement:
        seal = box.request.seal if box is not None and box.request is not None else self.desk.seal
        return Judgement(arrival, None, without_content=seal == "hpke" and _is_unsealed(arrival.word))

    def _from_listed(
        self, arrival: Arrival, word: ProviderWord | WithoutContent, box: Box, request: Request
    ) -> Judgement:
        if box.stage == "cancelled":
            return Judgement(arrival, CANCELLED)
        if isinstance(word, TermsPartSent):
            return self._part(arrival, word)
        if isinstance(word, TermsProposed):
            return self._terms(arrival, word)
        # A closed box takes nothing more, not even should a clock have gone backwards.
        if not is_in_time(arrival.appended_at, request.deadline) or box.closed_at is not None:
            return Judgement(arrival, LATE)
        return self._in_time(arrival, word, request)

    def _in_time(self, arrival: Arrival, word: ProviderWord | WithoutContent, request: Request) -> Judgement:
        sender = (word.purchase_id, arrival.provider_id)
        match word:
            case InvitationDeclined():
                return Judgement(arrival, Receipt(), "decline")
            case ReplyWithdrawn():
                return self._withdrawal(arrival, word, sender)
            case InvitationAcknowledged() if word.request_version <= request.version:
                return Judgement(arrival, Receipt(), "acknowledgement")
            case QuestionAsked() if word.request_version <= request.version:
                return self._question(arrival, sender)
            case ReplySubmitted() | WithoutContent():
                return self._reply(arrival, word, sender, request.seal)
            case _:
                return Judgement(arrival, NO_SUCH_VERSION)

    def _question(self, arrival: Arrival, sender: Sender) -> Judgement:
        self.asked[sender] = self.asked.get(sender, 0) + 1
        if self.asked[sender] > QUESTIONS:
            return Judgement(arrival, TOO_MANY_QUESTIONS)
        return Judgement(arrival, Receipt(), "question")

    def _withdrawal(self, arrival: Arrival, word: ReplyWithdrawn, sender: Sender) -> Judgement:
        newest = self.newest.get(sender)
        if newest is None or newest.withdrawn or newest.reply_id != word.reply_id:
            return Judgement(arrival, NO_SUCH_REPLY)
        self.newest[sender] = replace(newest, withdrawn=True)
        return Judgement(arrival, Receipt(), "withdrawal")

    def _reply(
        self, arrival: Arrival, word: ReplySubmitted | WithoutContent, sender: Sender, seal: Seal
    ) -> Judgement:
        if isinstance(word, WithoutContent):
            return Judgement(arrival, NOT_SEALED)
        if word.seal != seal:
            return Judgement(arrival, NOT_SEALED if seal == "hpke" else NO_SEAL)
        revision = (*sender, word.revision)
        known = self.replies.get(revision)
        if known is not None:
            same = known.sha256 == arrival.sha256
            return Judgement(arrival, Receipt(known.reply_id) if same else REVISION_USED)
        newest = self.newest.get(sender)
        if newest is not None and word.revision < newest.revision:
            return Judgement(arrival, REVISION_FELL)
        self.replies[revision] = KnownReply(arrival.id, arrival.sha256)
        self.newest[sender] = NewestReply(arrival.id, word.revision)
        return Judgement(arrival, Receipt(arrival.id), "reply")

    def _part(self, arrival: Arrival, word: TermsPartSent) -> Judgement:
        award = self.desk.awards.get(word.purchase_id)
        # What was taken before a restore is taken again, once the selection that made room for it has come again.
        is_new = self._is_new_part(arrival)
        if award is None or award.provider_id != arrival.provider_id or award.number != word.award:
            return Judgement(arrival, NOT_SELECTED if is_new else None)
        begun = self.documents.setdefault(word.purchase_id, set())
        if is_new and award.has_terms:
            return Judgement(arrival, NOT_DUE)
        was_taken = arrival.id in self.desk.answered_before
        if not was_taken and word.document not in begun and len(begun) >= DOCUMENTS:
            return Judgement(arrival, TOO_MANY_DOCUMENTS)
        begun.add(word.document)
        return Judgement(arrival, Receipt(), "part")

    def _terms(self, arrival: Arrival, word: TermsProposed) -> Judgement:
        award = self.desk.awards.get(word.purchase_id)
        # After a restore, terms wait for an order that made room for them; that order will come again.
        comes_again = arrival.id in self.desk.presented_before or self._has_room_again(arrival, word)
        waits = Judgement(arrival, None) if comes_again else None
        if award is None or award.provider_id != arrival.provider_id or award.number != word.award:
            return waits or Judgement(arrival, NOT_SELECTED)
        if terms_digest(word.text, word.document) != word.terms_sha256:
            return Judgement(arrival, OTHER_TERMS)
        if award.has_terms or award.waits or word.purchase_id in self.terms:
            return waits or Judgement(arrival, NOT_DUE)
        self.terms.add(word.purchase_id)
        return Judgement(arrival, Receipt(), "terms")


def _is_unsealed(word: ProviderWord | WithoutContent | Rejection) -> bool:
    return isinstance(word, ReplySubmitted) and word.seal == "none"
