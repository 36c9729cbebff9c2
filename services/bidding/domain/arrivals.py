"""What providers said, as far as it could be read, and how each message was answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from linepool.receipts.chain import Head
from shared.messages.bidding import MessageRejected, ReceiptIssued, RejectionReason
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsPartSent,
    TermsProposed,
)

ProviderWord = (
    ReplySubmitted
    | ReplyWithdrawn
    | InvitationDeclined
    | InvitationAcknowledged
    | AccessRequested
    | QuestionAsked
    | TermsPartSent
    | TermsProposed
)
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

    @classmethod
    def as_said(
        cls, message: UUID, provider_id: str, type_: str | None, said: Mapping[str, Any], head: Head | None
    ) -> "Answered":
        """Take up an answer that was given: `said` has at least its notice's fields; a reason makes it a rejection."""
        answer = (
            Receipt(said.get("reply_id"))
            if said.get("reason") is None
            else Rejection(said["reason"], said["detail"])
        )
        return cls(
            message,
            provider_id,
            said["purchase_id"],
            type_,
            said["message_id"],
            said["sha256"],
            said["appended_at"],
            answer,
            head,
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
