"""Facts of one purchase, as the streams bring them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from services.distribution import handlers
from shared.documents import manifest_of, split
from shared.messages.base import PART_BYTES, Document, Message
from shared.messages.bidding import AccessRequestReceived, BidBoxReady
from shared.messages.rfp import (
    DeadlinePassed,
    GroupQualified,
    Mode,
    ProviderRegistered,
    ProviderReinstated,
    ProviderRemoved,
    ProviderSuspended,
    QualificationLapsed,
    QuestionAnswered,
    RequestCancelled,
    RequestDocumentPart,
    RequestIssued,
    ServiceNeed,
)

HANDLERS: dict[type[Message], Callable[..., Awaitable[Any]]] = {
    RequestIssued: handlers.keep_request,
    RequestDocumentPart: handlers.keep_document_part,
    BidBoxReady: handlers.keep_bid_box,
    GroupQualified: handlers.keep_qualification,
    QualificationLapsed: handlers.drop_qualification,
    DeadlinePassed: handlers.shut_at_deadline,
    RequestCancelled: handlers.call_off,
    ProviderSuspended: handlers.suspend_provider,
    ProviderReinstated: handlers.reinstate_provider,
    ProviderRemoved: handlers.strike_off_provider,
    ProviderRegistered: handlers.admit_provider,
    QuestionAnswered: handlers.present_answer,
    AccessRequestReceived: handlers.decide_on_access,
}
LISTED = ("listed000001", "listed000002", "listed000003")
SUSPENDED = "suspended001"
SNAPSHOT = "a" * 64
CONTENT = b'{"title":"Lines","text":"' + b"x" * (PART_BYTES - 20) + b'"}'
"""Two parts, and still inside the invitation."""
USAGE = b"line_id,buyer\n"


@dataclass(frozen=True)
class Purchase:
    """A purchase with what its facts differ by."""

    purchase_id: UUID = field(default_factory=uuid4)
    deadline: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(days=7))
    valid_until: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(days=30))
    qualified_snapshot: str = SNAPSHOT
    listed: tuple[str, ...] = (*LISTED, SUSPENDED)
    content: bytes = CONTENT
    usage: bytes = USAGE
    mode: Mode = "transmit"
    seal: Literal["none", "hpke"] = "none"

    @property
    def manifest(self) -> Document:
        return manifest_of("request.json", self.content)

    @property
    def request(self) -> RequestIssued:
        return RequestIssued(
            purchase_id=self.purchase_id,
            request_version=1,
            title="Lines for the north",
            content=self.manifest,
            documents=(manifest_of("usage.csv", self.usage),),
            snapshot=SNAPSHOT,
            usage_digest="b" * 64,
            provider_ids=self.listed,
            services=(ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),),
            deadline=self.deadline,
            contract_months=24,
            mode=self.mode,
            buyers_shown="named",
            currency="EUR",
            tax_basis="net",
        )

    @property
    def parts(self) -> list[RequestDocumentPart]:
        return [
            self.part(document, number, data)
            for document, content in (
                (self.manifest, self.content),
                (manifest_of("usage.csv", self.usage), self.usage),
            )
            for number, data in split(document, content)
        ]

    def part(self, document: Document, number: int, data: str) -> RequestDocumentPart:
        return RequestDocumentPart(
            purchase_id=self.purchase_id, document=document, request_version=1, part=number, data=data
        )

    @property
    def box(self) -> BidBoxReady:
        if self.seal == "none":
            return BidBoxReady(purchase_id=self.purchase_id, request_version=1, seal="none")
        return BidBoxReady(
            purchase_id=self.purchase_id,
            request_version=1,
            seal="hpke",
            public_key="cHVibGlj",
            key_signature="c2lnbmVk",
        )

    @property
    def qualified(self) -> GroupQualified:
        return GroupQualified(
            purchase_id=self.purchase_id,
            number=1,
            snapshot=self.qualified_snapshot,
            valid_until=self.valid_until,
        )

    @property
    def lapsed(self) -> QualificationLapsed:
        return QualificationLapsed(purchase_id=self.purchase_id, number=1, reason="withdrawn")

    @property
    def cancelled(self) -> RequestCancelled:
        return RequestCancelled(purchase_id=self.purchase_id, reason="no need any more")

    @property
    def deadline_passed(self) -> DeadlinePassed:
        return DeadlinePassed(purchase_id=self.purchase_id, request_version=1, deadline=self.deadline)

    def asks(self, provider_id: str, version: int = 1) -> AccessRequestReceived:
        return AccessRequestReceived(
            purchase_id=self.purchase_id,
            request_id=uuid4(),
            provider_id=provider_id,
            request_version=version,
            message_id=f"{provider_id}-asks",
        )

    def answered(self, question: str = "Which floors?") -> QuestionAnswered:
        return QuestionAnswered(
            purchase_id=self.purchase_id,
            question_id=uuid4(),
            request_version=1,
            question=question,
            answer="The second and the third.",
        )

    @property
    def needed(self) -> list[Message]:
        """Everything that must arrive before the gate opens: six facts."""
        return [self.request, *self.parts, self.box, self.qualified]
