"""A group's facts as aggregation says them, and the orders of its coordinator, the officer and the operator."""

from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from shared.documents import join, manifest_of, split
from shared.envelope import Actor
from shared.messages import Message
from shared.messages.aggregation import (
    BillingPreferences,
    BuyerJoined,
    GroupAggregated,
    GroupOpened,
    Identifier,
    LineUsage,
    Period,
    UsageLinesReported,
)
from shared.messages.base import Document
from shared.messages.bidding import QuestionReceived, TermsAccepted
from shared.messages.rfp import (
    AnswerQuestion,
    AttachDocument,
    CancelRequest,
    DescribeNeed,
    IssueRequest,
    RecordVerification,
    RegisterProvider,
    RequestDocumentPart,
    ServiceNeed,
    SetProviderList,
)
from shared.usage_digest import usage_digest
from tests.memory import MemoryKafka, Running

OPERATOR = Actor(person_id=uuid4(), role="operator")
MAY = Period(start=date(2026, 5, 1), end=date(2026, 5, 31), months=1)


def soon(**ahead: float) -> datetime:
    return datetime.now(UTC) + timedelta(**(ahead or {"days": 20}))


def a_line(line_id: str, minutes: str = "120.5") -> LineUsage:
    use = {"service": "voice.day", "quantity": minutes, "unit": "MIN", "charged": "77.77"}
    return LineUsage.model_validate(
        {"line_id": line_id, "services": [use], "recurring_charged": "10.00", "exit_fee": "55.55"}
    )


@dataclass
class Purchase:
    """One purchase with two buyers; the first has two lines, in two parts."""

    kafka: MemoryKafka
    service: Running
    purchase_id: UUID = field(default_factory=uuid4)
    coordinator: Actor = field(default_factory=lambda: Actor(person_id=uuid4(), role="coordinator"))
    officer: Actor = field(default_factory=lambda: Actor(person_id=uuid4(), role="officer"))
    buyer_ids: tuple[UUID, UUID] = field(default_factory=lambda: (uuid4(), uuid4()))
    contact_ids: tuple[UUID, UUID] = field(default_factory=lambda: (uuid4(), uuid4()))
    report_ids: tuple[UUID, UUID] = field(default_factory=lambda: (uuid4(), uuid4()))
    snapshot: str = "5" * 64

    async def say(self, message: Message, actor: Actor | None = None, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        id_ = self.kafka.command(message, actor or self.coordinator, id=id)
        await self.kafka.settle()
        await self.try_what_waits()
        return id_

    async def try_what_waits(self) -> None:
        """Let the pause of waiting commands be over, until each is obeyed or refused."""
        for _ in range(20):
            if not await self.service.pool.fetchval("SELECT true FROM parked"):
                return
            await self.service.pool.execute("UPDATE parked SET retry_at = clock_timestamp()")
            await self.kafka.settle()
        raise AssertionError("a command waits for ever")

    def opened(self) -> GroupOpened:
        return GroupOpened(
            purchase_id=self.purchase_id,
            name="Harbour towns",
            currency="EUR",
            tax_basis="net",
            coordinator_id=self.coordinator.person_id,
        )

    def joined(self) -> list[BuyerJoined]:
        return [
            BuyerJoined(
                purchase_id=self.purchase_id,
                buyer_id=buyer_id,
                legal_name=name,
                identifiers=(Identifier(scheme="XI-LEI", id="529900T8BM49AURSDO55"),),
                contact_id=contact_id,
            )
            for buyer_id, contact_id, name in zip(
                self.buyer_ids, self.contact_ids, ("Town of Aal", "Town of Bel"), strict=True
            )
        ]

    def usage(self) -> list[UsageLinesReported]:
        first, second = self.buyer_ids
        return [
            self._part(first, self.report_ids[0], 1, 2, a_line("+4930111")),
            self._part(first, self.report_ids[0], 2, 2, a_line("+4930112", "0.25")),
            self._part(second, self.report_ids[1], 1, 1, a_line("+4930221", "7")),
            self._part(second, uuid4(), 1, 1, a_line("+4930999", "999")),
        ]

    def _part(
        self, buyer_id: UUID, report_id: UUID, part: int, parts: int, *lines: LineUsage
    ) -> UsageLinesReported:
        return UsageLinesReported(
            purchase_id=self.purchase_id,
            buyer_id=buyer_id,
            report_id=report_id,
            part=part,
            parts=parts,
            lines=lines,
        )

    def aggregated(self) -> GroupAggregated:
        reports = dict(zip(self.buyer_ids, self.report_ids, strict=True))
        lines = [(one.buyer_id, line) for one in self.usage()[:3] for line in one.lines]
        preferences = BillingPreferences(format="ubl", frequency="monthly", payment_days=30, medium="peppol")
        return GroupAggregated(
            purchase_id=self.purchase_id,
            name="Harbour towns",
            currency="EUR",
            tax_basis="net",
            coordinator_id=self.coordinator.person_id,
            buyer_ids=tuple(sorted(self.buyer_ids, key=str)),
            reports=reports,
            period=MAY,
            lines=3,
            usage_digest=usage_digest(lines),
            snapshot=self.snapshot,
            billing_preferences={self.buyer_ids[0]: preferences},
        )

    def facts(self) -> list[Message]:
        """All that aggregation says, in its order."""
        return [self.opened(), *self.joined(), *self.usage(), self.aggregated()]

    def registering(self, provider_id: str, **other: Any) -> RegisterProvider:
        fields = {"provider_id": provider_id, "name": "Tel", "categories": ("voice",), "regions": ("DE-NI",)}
        return RegisterProvider(**{**fields, **other})

    def describing(self, **other: Any) -> DescribeNeed:
        fields = {
            "purchase_id": self.purchase_id,
            "title": "Lines for two towns",
            "description": "All fixed lines.",
            "services": (ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),),
            "places": ("Aal", "Bel"),
            "deadline": soon(),
            "contract_months": 24,
            "mode": "transmit",
            "buyers_shown": "named",
        }
        return DescribeNeed(**{**fields, **other})

    def listing(self, *provider_ids: str, **other: Any) -> SetProviderList:
        return SetProviderList(purchase_id=self.purchase_id, provider_ids=provider_ids, **other)

    def issuing(self) -> IssueRequest:
        return IssueRequest(purchase_id=self.purchase_id)

    def cancelling(self) -> CancelRequest:
        return CancelRequest(purchase_id=self.purchase_id, reason="The budget fell through.")

    def attaching(self, name: str, content: bytes, document: Document | None = None) -> list[AttachDocument]:
        """Return the orders that attach a document; `document` is another manifest than the content's own."""
        manifest = manifest_of(name, content)
        return [
            AttachDocument(
                purchase_id=self.purchase_id, document=document or manifest, part=number, data=data
            )
            for number, data in split(manifest, content)
        ]

    def asked(self, question_id: UUID) -> QuestionReceived:
        return QuestionReceived(
            purchase_id=self.purchase_id,
            question_id=question_id,
            request_version=1,
            question="Which floors does the tower have?",
        )

    def answering(self, question_id: UUID, **other: Any) -> AnswerQuestion:
        fields = {"purchase_id": self.purchase_id, "question_id": question_id, "answer": "Four."}
        return AnswerQuestion(**{**fields, **other})

    def accepted(self) -> TermsAccepted:
        return TermsAccepted(
            purchase_id=self.purchase_id,
            award=1,
            provider_id="aaaaaaaaaaa1",
            terms_sha256="7" * 64,
            accepted_by=self.coordinator.person_id,
        )

    def finding(self, party_id: UUID | None = None, **other: Any) -> RecordVerification:
        """Find the coordinator (no id) or a buyer verified for twenty days."""
        fields = {
            "purchase_id": self.purchase_id,
            "snapshot": self.snapshot,
            "party": "buyer" if party_id else "coordinator",
            "party_id": party_id or self.coordinator.person_id,
            "outcome": "verified",
            "method": "register",
            "reference": "HRB 1234",
            "valid_until": soon(),
        }
        return RecordVerification(**{**fields, **other})

    async def ready(self, **need: Any) -> None:
        """Let everything be there that an issue needs."""
        for fact in self.facts():
            self.kafka.event(fact)
        await self.say(self.registering("aaaaaaaaaaa1"), OPERATOR)
        await self.say(self.registering("aaaaaaaaaaa2"), OPERATOR)
        await self.say(self.describing(**need))
        await self.say(self.listing("aaaaaaaaaaa1"))

    def events(self, *types: type[Message]) -> list[Any]:
        """Return what stands on `rfp.events`, of these types."""
        return [message for message in self.kafka.messages("rfp.events") if isinstance(message, types)]

    def refusals(self) -> list[str]:
        return [
            message.reason
            for message in self.kafka.messages("rfp.events")
            if type(message).__name__.endswith("Refused") and hasattr(message, "reason")
        ]

    def document(self, name: str) -> Any:
        """Return a document as a provider would put it together."""
        parts = [one for one in self.kafka.messages("rfp.documents") if isinstance(one, RequestDocumentPart)]
        parts = sorted((one for one in parts if one.document.name == name), key=lambda one: one.part)
        assert all(len(b64decode(one.data)) <= 384 * 1024 for one in parts)
        return orjson.loads(join(parts[0].document, [one.data for one in parts]))


@pytest.fixture
async def purchase(rfp: Running, kafka: MemoryKafka) -> Purchase:
    return Purchase(kafka, rfp)
