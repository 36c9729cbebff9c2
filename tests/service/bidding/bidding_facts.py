"""A purchase as the streams bring it to bidding: its facts, its usage, and what its providers say."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from linepool.custodian.keys import key_for
from shared.documents import manifest_of, split
from shared.envelope import Actor
from shared.messages.aggregation import GroupAggregated, LineUsage, Period, ServiceUsage, UsageLinesReported
from shared.messages.bidding import (
    AcceptTerms,
    BidBoxReady,
    RejectTerms,
    ReleaseCustodianKey,
    SelectReply,
)
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    Offer,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsDocument,
    TermsPartSent,
    TermsProposed,
)
from shared.messages.rfp import (
    Custodian,
    DeadlinePassed,
    GroupQualified,
    RequestCancelled,
    RequestIssued,
    ServiceNeed,
)
from shared.sealing import private_key_b64, public_key_b64, seal_offer
from shared.terms_digest import terms_digest
from shared.usage_digest import usage_digest

AIKO, BRIO, CORA = "aikoaikoaiko", "briobriobrio", "coracoracora"
LISTED = (AIKO, BRIO, CORA)
UNLISTED = "nobodynobody"
JUST_BEFORE = timedelta(milliseconds=-1)


def an_offer(price: str = "0.10", **changes: Any) -> Offer:
    return Offer.model_validate_json(
        Offer.model_validate(
            {
                "name": "Flat",
                "currency": "EUR",
                "tax_basis": "net",
                "contract_months": 24,
                "components": [{"kind": "usage", "service": "voice.day", "unit": "MIN", "price": price}],
                "billing": "One UBL invoice a month.",
                **changes,
            }
        ).model_dump_json()
    )


def a_terms_document(content: bytes) -> TermsDocument:
    described = manifest_of("terms.pdf", content)
    return TermsDocument(**described.model_dump(), media_type="application/pdf")


@dataclass(frozen=True)
class Purchase:
    """Its deadline has passed already, so that nothing has to be waited for: append times are what counts."""

    purchase_id: UUID = field(default_factory=uuid4)
    coordinator: UUID = field(default_factory=uuid4)
    deadline: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    )
    listed: tuple[str, ...] = LISTED
    buyers: tuple[UUID, ...] = field(default_factory=lambda: (uuid4(), uuid4()))
    minutes: Decimal = Decimal(100)
    custodian_secret: bytes | None = None
    """A second custodian's, for whom replies are sealed too."""

    @property
    def custodian(self) -> Custodian | None:
        if self.custodian_secret is None:
            return None
        return Custodian(name="Meier & Partners", public_key=public_key_b64(self.custodian_key))

    @property
    def custodian_key(self) -> X25519PrivateKey:
        assert self.custodian_secret is not None
        return key_for(self.custodian_secret, self.purchase_id, self.deadline)

    @property
    def release(self) -> ReleaseCustodianKey:
        return ReleaseCustodianKey(
            purchase_id=self.purchase_id, private_key=private_key_b64(self.custodian_key)
        )

    @property
    def in_time(self) -> datetime:
        return self.deadline + JUST_BEFORE

    @property
    def lines(self) -> dict[UUID, tuple[LineUsage, ...]]:
        return {
            buyer: tuple(
                LineUsage(
                    line_id=f"L{number}",
                    services=(
                        ServiceUsage(
                            service="voice.day", quantity=self.minutes, unit="MIN", charged=Decimal("17.00")
                        ),
                    ),
                    recurring_charged=Decimal("1.00"),
                    contract_end=date(2030, 1, 1),
                    exit_fee=Decimal("5.00"),
                )
                for number in range(2)
            )
            for buyer in self.buyers
        }

    @property
    def usage_digest(self) -> str:
        return usage_digest((buyer, line) for buyer, lines in self.lines.items() for line in lines)

    @property
    def usage(self) -> list[UsageLinesReported]:
        """Two parts for each buyer."""
        return [
            UsageLinesReported(
                purchase_id=self.purchase_id,
                buyer_id=buyer,
                report_id=UUID(int=buyer.int ^ 1),
                part=part,
                parts=2,
                lines=lines[part - 1 : part],
            )
            for buyer, lines in self.lines.items()
            for part in (1, 2)
        ]

    @property
    def group(self) -> GroupAggregated:
        return GroupAggregated(
            purchase_id=self.purchase_id,
            name="Northern schools",
            currency="EUR",
            tax_basis="net",
            coordinator_id=self.coordinator,
            buyer_ids=self.buyers,
            reports={buyer: UUID(int=buyer.int ^ 1) for buyer in self.buyers},
            period=Period(start=date(2026, 1, 1), end=date(2026, 1, 31), months=1),
            lines=4,
            usage_digest=self.usage_digest,
            snapshot="a" * 64,
        )

    @property
    def request(self) -> RequestIssued:
        return RequestIssued(
            purchase_id=self.purchase_id,
            request_version=1,
            title="Lines for the north",
            content=manifest_of("request.json", b"{}"),
            documents=(),
            snapshot="a" * 64,
            usage_digest=self.usage_digest,
            provider_ids=self.listed,
            services=(ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),),
            deadline=self.deadline,
            contract_months=24,
            mode="transmit",
            buyers_shown="named",
            currency="EUR",
            tax_basis="net",
            custodian=self.custodian,
        )

    @property
    def qualified(self) -> GroupQualified:
        return GroupQualified(
            purchase_id=self.purchase_id,
            number=1,
            snapshot="a" * 64,
            valid_until=self.deadline + timedelta(days=30),
        )

    @property
    def deadline_passed(self) -> DeadlinePassed:
        return DeadlinePassed(purchase_id=self.purchase_id, request_version=1, deadline=self.deadline)

    @property
    def cancelled(self) -> RequestCancelled:
        return RequestCancelled(purchase_id=self.purchase_id, reason="No need any more.")

    def reply(self, *, revision: int = 1, version: int = 1, offer: Offer | None = None) -> ReplySubmitted:
        return ReplySubmitted(
            purchase_id=self.purchase_id,
            request_version=version,
            revision=revision,
            seal="none",
            offer=offer or an_offer(),
        )

    def sealed(
        self,
        ready: BidBoxReady,
        provider_id: str,
        *,
        revision: int = 1,
        content: bytes | None = None,
        claimed_revision: int | None = None,
    ) -> ReplySubmitted:
        """Seal an offer, or any content, to the box that is ready; the reply may claim another revision than its seal."""
        return ReplySubmitted(
            purchase_id=self.purchase_id,
            request_version=ready.request_version,
            revision=claimed_revision or revision,
            seal="hpke",
            sealed_offer=seal_offer(
                content or an_offer().model_dump_json().encode(),
                purchase_id=self.purchase_id,
                request_version=ready.request_version,
                provider_id=provider_id,
                revision=revision,
                opener_key=ready.public_key or "",
                custodian_key=self.custodian.public_key if self.custodian else None,
            ),
        )

    def withdraw(self, reply_id: UUID) -> ReplyWithdrawn:
        return ReplyWithdrawn(purchase_id=self.purchase_id, request_version=1, reply_id=reply_id)

    def acknowledge(self, *, version: int = 1, content_sha256: str = "a" * 64) -> InvitationAcknowledged:
        return InvitationAcknowledged(
            purchase_id=self.purchase_id, request_version=version, content_sha256=content_sha256
        )

    def ask(self, question: str = "Where?", *, version: int = 1) -> QuestionAsked:
        return QuestionAsked(purchase_id=self.purchase_id, request_version=version, question=question)

    def ask_access(self) -> AccessRequested:
        return AccessRequested(purchase_id=self.purchase_id, request_version=1)

    def decline(self) -> InvitationDeclined:
        return InvitationDeclined(
            purchase_id=self.purchase_id, request_version=1, reason="No network in that region."
        )

    def terms(self, text: str = "Payment in 30 days.", *, award: int = 1) -> TermsProposed:
        return TermsProposed(
            purchase_id=self.purchase_id,
            award=award,
            title="Terms",
            text=text,
            terms_sha256=sha256(text.encode()).hexdigest(),
        )

    def terms_with(self, content: bytes, text: str = "See the document.") -> TermsProposed:
        """Terms to which a document belongs."""
        document = a_terms_document(content)
        return self.terms(text).model_copy(
            update={"document": document, "terms_sha256": terms_digest(text, document)}
        )

    def terms_parts(self, content: bytes, *, award: int = 1) -> list[TermsPartSent]:
        document = a_terms_document(content)
        return [
            TermsPartSent(
                purchase_id=self.purchase_id, award=award, document=document, part=number, data=data
            )
            for number, data in split(document, content)
        ]

    def accepting(self, terms: TermsProposed) -> AcceptTerms:
        return AcceptTerms(purchase_id=self.purchase_id, award=terms.award, terms_sha256=terms.terms_sha256)

    @property
    def by_coordinator(self) -> Actor:
        return Actor(person_id=self.coordinator, role="coordinator")

    def select(self, reply_id: UUID) -> SelectReply:
        return SelectReply(
            purchase_id=self.purchase_id, reply_id=reply_id, reason_for_others="Another costs less."
        )

    def accept(self, text: str = "Payment in 30 days.") -> AcceptTerms:
        return AcceptTerms(
            purchase_id=self.purchase_id, award=1, terms_sha256=sha256(text.encode()).hexdigest()
        )

    def reject(self, text: str = "Payment in 30 days.") -> RejectTerms:
        return RejectTerms(
            purchase_id=self.purchase_id,
            award=1,
            terms_sha256=sha256(text.encode()).hexdigest(),
            reason="Too short.",
        )
