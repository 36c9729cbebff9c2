"""How each message of a provider is answered: one receipt or one rejection, decided once and then kept."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from linepool.receipts.chain import Head
from services.bidding.domain.box import Box, Request, Seal, is_in_time
from shared.messages.bidding import MessageRejected, ReceiptIssued, RejectionReason
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsProposed,
)

ProviderWord = (
    ReplySubmitted
    | ReplyWithdrawn
    | InvitationDeclined
    | InvitationAcknowledged
    | AccessRequested
    | QuestionAsked
    | TermsProposed
)
QUESTIONS = 20
"""So many questions about a purchase may one provider ask."""
Sender = tuple[UUID, str]
"""A purchase and a provider: what order holds for."""
Revision = tuple[UUID, str, int]
"""A purchase, a provider and a revision of its reply."""


@dataclass(frozen=True)
class Receipt:
    """The message was taken; `reply_id` is set where it is a reply."""

    reply_id: UUID | None = None


@dataclass(frozen=True)
class Rejection:
    """The message was not taken."""

    reason: RejectionReason
    detail: str


Answer = Receipt | Rejection


@dataclass(frozen=True)
class WithoutContent:
    """An unsealed reply that came ahead of its request: that it came is kept, and nothing of what it says."""

    purchase_id: UUID


@dataclass(frozen=True)
class Arrival:
    """A message of a provider, as far as it could be read; `id` is its inbox id, and its reply's id if it is one."""

    id: UUID
    provider_id: str
    message_id: str | None
    type: str | None
    sha256: str
    appended_at: datetime
    body: bytes
    word: ProviderWord | WithoutContent | Rejection
    """What it says, or why nobody can tell."""

    @property
    def purchase_id(self) -> UUID | None:
        """The purchase that it is about, where it could be read."""
        return None if isinstance(self.word, Rejection) else self.word.purchase_id


@dataclass(frozen=True)
class Answered:
    """A message and its answer, as both are kept: a notice is made of nothing else, so a repeated one is equal."""

    id: UUID
    provider_id: str
    purchase_id: UUID | None
    type: str | None
    message_id: str | None
    sha256: str
    appended_at: datetime
    answer: Answer
    head: Head | None = None
    """Its place in the provider's chain; None before it has one, and on answers from before there were chains."""

    @classmethod
    def of(cls, arrival: Arrival, answer: Answer) -> "Answered":
        """Join a message and its answer."""
        return cls(
            arrival.id,
            arrival.provider_id,
            arrival.purchase_id,
            arrival.type,
            arrival.message_id,
            arrival.sha256,
            arrival.appended_at,
            answer,
        )

    def notice(self) -> ReceiptIssued | MessageRejected:
        """Return what the provider is told, still without its place in the chain."""
        if isinstance(self.answer, Rejection):
            return MessageRejected(
                purchase_id=self.purchase_id,
                message_id=self.message_id,
                sha256=self.sha256,
                appended_at=self.appended_at,
                reason=self.answer.reason,
                detail=self.answer.detail,
            )
        if self.purchase_id is None or self.type is None or self.message_id is None:
            raise ValueError("a receipt names its purchase, its type and its message")
        return ReceiptIssued(
            purchase_id=self.purchase_id,
            message_id=self.message_id,
            message_type=self.type,
            sha256=self.sha256,
            appended_at=self.appended_at,
            reply_id=self.answer.reply_id,
        )


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


@dataclass(frozen=True)
class Judgement:
    """What becomes of one message: its answer, or None while it is held; and what it adds to its purchase."""

    arrival: Arrival
    answer: Answer | None
    adds: (
        Literal["reply", "withdrawal", "decline", "acknowledgement", "question", "access", "terms"] | None
    ) = None
    without_content: bool = False
    """Held, but nothing of what it says may be kept."""


UNKNOWN = Rejection("unknown_purchase", "There is no such purchase.")
REUSED = Rejection("id_reused", "Another message came under this id before.")
LATE = Rejection("late", "It was appended at the deadline or after it.")
CANCELLED = Rejection("cancelled", "The purchase was called off.")
NOT_SELECTED = Rejection(
    "not_selected", "Terms are taken from the provider of the award that stands, for that award."
)
NOT_DUE = Rejection("terms_not_due", "Terms lie before the group already, or were accepted.")
OTHER_TEXT = Rejection("invalid", "terms_sha256: is not the hash of the text")
NOT_SEALED = Rejection(
    "not_sealed", "Replies must be sealed with the key of the invitation; nothing of it was kept."
)
NO_SEAL = Rejection("invalid", "seal: replies to this request are not sealed")
NO_SUCH_REPLY = Rejection("no_such_reply", "reply_id: is not the reply of this sender that stands")
NO_SUCH_VERSION = Rejection("invalid", "request_version: there is no such version of the request")
TOO_MANY_QUESTIONS = Rejection("too_many", f"A provider asks at most {QUESTIONS} questions about a purchase.")
REVISION_USED = Rejection("revision_used", "Another reply came under this revision before.")
REVISION_FELL = Rejection("revision_used", "The revision must be higher than that of every reply before.")


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
            if arrival.id in final:
                return Judgement(arrival, UNKNOWN)
            self.held.add(sender)
            return self._hold(arrival, box)
        if sender in self.held or sender in self.desk.waiting:
            return self._hold(arrival, box)
        return self._from_listed(arrival, word, box, box.request)

    def _hold(self, arrival: Arrival, box: Box | None) -> Judgement:
        seal = box.request.seal if box is not None and box.request is not None else self.desk.seal
        return Judgement(arrival, None, without_content=seal == "hpke" and _is_unsealed(arrival.word))

    def _from_listed(
        self, arrival: Arrival, word: ProviderWord | WithoutContent, box: Box, request: Request
    ) -> Judgement:
        if box.stage == "cancelled":
            return Judgement(arrival, CANCELLED)
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

    def _terms(self, arrival: Arrival, word: TermsProposed) -> Judgement:
        award = self.desk.awards.get(word.purchase_id)
        # What was presented before a restore waits for the order that makes room for it; that order will come again.
        waits = Judgement(arrival, None) if arrival.id in self.desk.presented_before else None
        if award is None or award.provider_id != arrival.provider_id or award.number != word.award:
            return waits or Judgement(arrival, NOT_SELECTED)
        if sha256(word.text.encode()).hexdigest() != word.terms_sha256:
            return Judgement(arrival, OTHER_TEXT)
        if award.has_terms or word.purchase_id in self.terms:
            return waits or Judgement(arrival, NOT_DUE)
        self.terms.add(word.purchase_id)
        return Judgement(arrival, Receipt(), "terms")


def _is_unsealed(word: ProviderWord | WithoutContent | Rejection) -> bool:
    return isinstance(word, ReplySubmitted) and word.seal == "none"
