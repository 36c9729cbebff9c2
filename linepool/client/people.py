"""The people of a group, through the portal's login: the coordinator's and the members' orders.

Each method sends one order by the person named first and returns the order's id; `outcome` says what came of it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from linepool.client.connection import Connection
from linepool.client.journal import Journal
from linepool.client.orders import Orders, Outcome, open_orders
from linepool.usage.parts import parts_of
from shared import documents
from shared.documents import join
from shared.envelope import Actor
from shared.messages.aggregation import (
    AddBuyer,
    BillingPreferences,
    CloseGroup,
    Contact,
    Identifier,
    LineUsage,
    OpenGroup,
    Period,
    ReportUsage,
    SetBillingPreferences,
    TaxBasis,
)
from shared.messages.base import DOCUMENT_BYTES, Command
from shared.messages.bidding import (
    AcceptTerms,
    ReasonForOther,
    RejectTerms,
    SelectReply,
    TermsDocumentPart,
    TermsPresented,
)
from shared.messages.rfp import (
    AnswerQuestion,
    AttachDocument,
    BuyersShown,
    CancelRequest,
    DescribeNeed,
    IssueRequest,
    Mode,
    ProviderRule,
    ServiceNeed,
    SetProviderList,
)
from shared.terms_digest import terms_digest

READS = (
    "aggregation.events",
    "rfp.events",
    "distribution.events",
    "bidding.events",
    "bidding.comparisons",
    "notification.events",
)


@dataclass(frozen=True)
class People:
    """Gives the group's orders. Made by `open_people`."""

    orders: Orders

    @property
    def journal(self) -> Journal:
        """Every event so far."""
        return self.orders.journal

    async def give(self, order: Command, by: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        """Send any order; the methods below are this with their fields spelled out."""
        return await self.orders.give(order, by, id=id)

    async def outcome(self, order_id: UUID, *, within: float = 30) -> Outcome:
        """Wait for what an order led to; see `Orders.outcome`."""
        return await self.orders.outcome(order_id, within=within)

    async def open_group(
        self, by: Actor, purchase_id: UUID, *, name: str, currency: str, tax_basis: TaxBasis, contact: Contact
    ) -> UUID:
        """Open a group for one purchase; `by` becomes its coordinator, `contact` is theirs."""
        order = OpenGroup(
            purchase_id=purchase_id, name=name, currency=currency, tax_basis=tax_basis, contact=contact
        )
        return await self.give(order, by)

    async def add_buyer(
        self,
        by: Actor,
        purchase_id: UUID,
        *,
        buyer_id: UUID,
        legal_name: str,
        identifiers: Sequence[Identifier],
        contact: Contact,
    ) -> UUID:
        """Add an identified organisation to the group."""
        order = AddBuyer(
            purchase_id=purchase_id,
            buyer_id=buyer_id,
            legal_name=legal_name,
            identifiers=tuple(identifiers),
            contact=contact,
        )
        return await self.give(order, by)

    async def report_usage(
        self,
        by: Actor,
        purchase_id: UUID,
        *,
        buyer_id: UUID,
        period: Period,
        lines: Sequence[LineUsage],
        report_id: UUID | None = None,
    ) -> tuple[UUID, ...]:
        """Report all lines of a buyer, in as many parts as it takes; return the parts' ids. The last one taken has the event."""
        parts = list(parts_of(lines))
        report = report_id or uuid4()
        orders = [
            ReportUsage(
                purchase_id=purchase_id,
                buyer_id=buyer_id,
                report_id=report,
                period=period,
                part=number,
                parts=len(parts),
                lines=part,
            )
            for number, part in enumerate(parts, start=1)
        ]
        return tuple(await asyncio.gather(*(self.give(order, by) for order in orders)))

    async def set_billing_preferences(
        self, by: Actor, purchase_id: UUID, *, buyer_id: UUID, preferences: BillingPreferences
    ) -> UUID:
        """Say how a buyer wants to be billed."""
        order = SetBillingPreferences(purchase_id=purchase_id, buyer_id=buyer_id, preferences=preferences)
        return await self.give(order, by)

    async def close_group(self, by: Actor, purchase_id: UUID) -> UUID:
        """Freeze the membership and its usage."""
        return await self.give(CloseGroup(purchase_id=purchase_id), by)

    async def describe_need(
        self,
        by: Actor,
        purchase_id: UUID,
        *,
        title: str,
        description: str,
        services: Sequence[ServiceNeed],
        places: Sequence[str],
        deadline: datetime,
        contract_months: int,
        mode: Mode = "transmit",
        buyers_shown: BuyersShown = "named",
    ) -> UUID:
        """Say what the request asks for.

        With `transmit` the invitation is the whole request; with `grant` it offers access, and a listed provider is shown the
        request when it asks for it.
        """
        order = DescribeNeed(
            purchase_id=purchase_id,
            title=title,
            description=description,
            services=tuple(services),
            places=tuple(places),
            deadline=deadline,
            contract_months=contract_months,
            mode=mode,
            buyers_shown=buyers_shown,
        )
        return await self.give(order, by)

    async def set_provider_list(
        self,
        by: Actor,
        purchase_id: UUID,
        *,
        provider_ids: Sequence[str] = (),
        rule: ProviderRule | None = None,
    ) -> UUID:
        """Say who may see the request and reply, by ids or by a rule."""
        order = SetProviderList(purchase_id=purchase_id, provider_ids=tuple(provider_ids), rule=rule)
        return await self.give(order, by)

    async def attach_document(
        self, by: Actor, purchase_id: UUID, *, name: str, content: bytes
    ) -> tuple[UUID, ...]:
        """Add a document to the draft, in as many parts as it takes; return the parts' ids. The last one taken has the event.

        Raises:
            ValueError: it has more than `DOCUMENT_BYTES` bytes, or its name is none.
        """
        if len(content) > DOCUMENT_BYTES:
            raise ValueError(
                f"{name!r} has {len(content):,} bytes; a document has at most {DOCUMENT_BYTES:,}"
            )
        document = documents.manifest_of(name, content)
        orders = [
            AttachDocument(purchase_id=purchase_id, document=document, part=number, data=data)
            for number, data in documents.split(document, content)
        ]
        return tuple(await asyncio.gather(*(self.give(order, by) for order in orders)))

    async def issue_request(self, by: Actor, purchase_id: UUID) -> UUID:
        """Freeze the request and its list."""
        return await self.give(IssueRequest(purchase_id=purchase_id), by)

    async def answer_question(
        self, by: Actor, purchase_id: UUID, *, question_id: UUID, answer: str, restated: str | None = None
    ) -> UUID:
        """Answer a question to everyone who was shown the request; `restated` where the asker's words would tell who asked."""
        order = AnswerQuestion(
            purchase_id=purchase_id, question_id=question_id, answer=answer, restated=restated
        )
        return await self.give(order, by)

    async def cancel_request(self, by: Actor, purchase_id: UUID, *, reason: str) -> UUID:
        """Call the purchase off."""
        return await self.give(CancelRequest(purchase_id=purchase_id, reason=reason), by)

    async def select_reply(
        self,
        by: Actor,
        purchase_id: UUID,
        *,
        reply_id: UUID,
        reason_for_others: str,
        reasons: Sequence[ReasonForOther] = (),
    ) -> UUID:
        """Select one of the compared replies, and say why not the others."""
        order = SelectReply(
            purchase_id=purchase_id,
            reply_id=reply_id,
            reason_for_others=reason_for_others,
            reasons=tuple(reasons),
        )
        return await self.give(order, by)

    async def terms_document(self, presented: TermsPresented, *, within: float = 30) -> bytes:
        """Read the document that belongs to terms, and check it and the hash that an answer would cite.

        Raises:
            ValueError: the terms have none, it is not what its manifest says, or the cited hash is of other terms.
            TimeoutError: a part is missing.
        """
        document = presented.document
        if document is None:
            raise ValueError("no document belongs to these terms")
        if terms_digest(presented.text, document) != presented.terms_sha256:
            raise ValueError("the hash of the terms is not that of their text and document")

        def parts() -> dict[int, str]:
            return {
                one.part: one.data
                for one in self.journal.all_of(TermsDocumentPart, presented.purchase_id)
                if (one.award, one.document) == (presented.award, document)
            }

        await self.journal.wait_until(
            lambda: len(parts()) >= document.parts, within=within, what=f"the document {document.name}"
        )
        return join(document, [data for _, data in sorted(parts().items())])

    async def accept_terms(self, by: Actor, purchase_id: UUID, *, award: int, terms_sha256: str) -> UUID:
        """Accept exactly the terms with this hash."""
        return await self.give(
            AcceptTerms(purchase_id=purchase_id, award=award, terms_sha256=terms_sha256), by
        )

    async def reject_terms(
        self, by: Actor, purchase_id: UUID, *, award: int, terms_sha256: str, reason: str
    ) -> UUID:
        """Reject the terms with this hash."""
        order = RejectTerms(purchase_id=purchase_id, award=award, terms_sha256=terms_sha256, reason=reason)
        return await self.give(order, by)


def coordinator(person_id: UUID) -> Actor:
    """Return the actor for orders of a group's coordinator."""
    return Actor(person_id=person_id, role="coordinator")


def member(person_id: UUID) -> Actor:
    """Return the actor for orders of a buyer's contact person."""
    return Actor(person_id=person_id, role="member")


@asynccontextmanager
async def open_people(connection: Connection) -> AsyncIterator[People]:
    """Connect with the portal's login. Raises KafkaError when the broker is away or refuses it."""
    async with open_orders(connection, source="/linepool/portal", reads=READS) as orders:
        yield People(orders)
