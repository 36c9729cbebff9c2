"""One whole purchase, as large as one likes, through the logins of the portal, the officer and the providers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import TypeVar
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from linepool.client.authorities import Officer
from linepool.client.journal import Journal
from linepool.client.orders import Outcome
from linepool.client.people import People, coordinator
from shared.messages.aggregation import (
    BillingPreferences,
    Contact,
    GroupAggregated,
    Identifier,
    LineUsage,
    Period,
    ServiceUsage,
)
from shared.messages.bidding import RepliesCompared, TermsAccepted, TermsPresented
from shared.messages.distribution import RequestPresented
from shared.messages.notification import AwardNotified
from shared.messages.providers import Offer, ProviderMessage, ReplySubmitted, TermsProposed
from shared.messages.rfp import RequestIssued, ServiceNeed
from shared.sealing import offer_info, seal_for
from shared.terms_digest import terms_digest

M = TypeVar("M")
LINES, PROVIDERS, REPLIES = 20, 3, 3
TERMS = "Payment in 30 days."
BLOCK = 4096


@dataclass(frozen=True)
class Kind:
    """How large a purchase is: its buyer's lines, the providers on its list, and how many of them reply."""

    lines: int = LINES
    listed: int = PROVIDERS
    replies: int = REPLIES


@dataclass(frozen=True)
class Providers:
    """Speaks for all providers, with the login of the one who runs the broker."""

    told: Journal
    kafka: AIOKafkaProducer
    prefix: str

    async def reply(self, pid: str, purchase: UUID) -> None:
        """Reply to the invitation once it is there, sealed and filled up as the kit does."""
        shown = await self.told.wait_for(
            lambda one: one.says(RequestPresented, purchase) if one.topic == f"invitations.{pid}" else None,
            within=120,
        )
        price = {"kind": "usage", "service": "voice.day", "unit": "MIN", "price": "0.15"}
        offer = Offer.model_validate(
            {
                "name": "Offer",
                "currency": "EUR",
                "tax_basis": "net",
                "contract_months": 12,
                "components": [price],
                "billing": "One invoice a month.",
            }
        )
        content = offer.model_dump_json().encode()
        content += b" " * (-len(content) % BLOCK)
        sealed = seal_for(shown.public_key or "", content, offer_info(purchase, 1, pid, 1))
        await self._say(
            pid,
            ReplySubmitted(
                purchase_id=purchase, request_version=1, revision=1, seal="hpke", sealed_offer=sealed
            ),
        )

    async def propose_terms(self, pid: str, purchase: UUID) -> None:
        """Propose terms once the award is there."""
        await self.told.wait_for(
            lambda one: one.says(AwardNotified, purchase) if one.topic == f"notices.{pid}" else None,
            within=120,
        )
        digest = terms_digest(TERMS, None)
        await self._say(
            pid, TermsProposed(purchase_id=purchase, award=1, title="Terms", text=TERMS, terms_sha256=digest)
        )

    async def _say(self, pid: str, message: ProviderMessage) -> None:
        headers = [("ce_id", str(uuid4()).encode()), ("ce_type", message.type().encode())]
        await self.kafka.send_and_wait(f"{self.prefix}replies.{pid}", message.to_bytes(), headers=headers)


async def buy(
    kind: Kind,
    pids: Sequence[str],
    people: People,
    officer: Officer,
    providers: Providers,
    ahead: timedelta,
) -> float:
    """Run one purchase from its group to the acceptance of terms; return the seconds that it took to the last reply.

    Raises:
        RuntimeError: not all replied before the deadline, which is so long after the beginning.
    """
    begun, deadline = monotonic(), datetime.now(UTC) + ahead
    purchase, person, buyer = uuid4(), uuid4(), uuid4()
    by = coordinator(person)
    contact = Contact(person_id=person, name="Bench", email="bench@linepool.invalid")
    await people.open_group(by, purchase, name="Bench", currency="EUR", tax_basis="net", contact=contact)
    identifiers = [Identifier(scheme="XI-LEI", id="5493001KJTIIGC8Y1R12")]
    await people.add_buyer(
        by, purchase, buyer_id=buyer, legal_name="Bench", identifiers=identifiers, contact=contact
    )
    use = ServiceUsage(service="voice.day", quantity=Decimal("120.5"), unit="MIN", charged=Decimal("20.49"))
    lines = [
        LineUsage(
            line_id=f"L{number}",
            services=(use,),
            recurring_charged=Decimal("10.00"),
            exit_fee=Decimal("0.00"),
        )
        for number in range(kind.lines)
    ]
    today = datetime.now(UTC).date()
    period = Period(start=today - timedelta(days=30), end=today, months=1)
    await people.report_usage(by, purchase, buyer_id=buyer, period=period, lines=lines)
    preferences = BillingPreferences(format="pdf", frequency="monthly", payment_days=30, medium="email")
    await people.set_billing_preferences(by, purchase, buyer_id=buyer, preferences=preferences)
    closed = await people.close_group(by, purchase)
    snapshot = _only(await people.outcome(closed, within=120), GroupAggregated).snapshot
    await people.describe_need(
        by,
        purchase,
        title="Bench",
        description="Bench",
        services=[ServiceNeed(service="voice.day", unit="MIN", description="Calls by day")],
        places=["Everywhere"],
        deadline=deadline,
        contract_months=12,
    )
    await people.set_provider_list(by, purchase, provider_ids=pids[: kind.listed])
    issued = await people.issue_request(by, purchase)
    _only(await people.outcome(issued, within=120), RequestIssued)
    until = datetime.now(UTC) + timedelta(days=30)
    for party, party_id in (("coordinator", person), ("buyer", buyer)):
        await officer.verify(
            purchase,
            snapshot=snapshot,
            party=party,
            party_id=party_id,
            valid_until=until,
            reference="bench",
        )
    for pid in pids[: kind.replies]:
        await providers.reply(pid, purchase)
    took = monotonic() - begun
    journal = people.journal
    compared = await journal.wait_for(lambda one: one.says(RepliesCompared, purchase), within=300)
    if len(compared.replies) != kind.replies:
        raise RuntimeError(f"{kind.replies} replied in time, and {len(compared.replies)} were compared")
    best = compared.replies[0]
    await people.select_reply(by, purchase, reply_id=best.reply_id, reason_for_others="It costs less.")
    await providers.propose_terms(best.provider_id, purchase)
    shown = await journal.wait_for(lambda one: one.says(TermsPresented, purchase), within=120)
    await people.accept_terms(by, purchase, award=1, terms_sha256=shown.terms_sha256)
    await journal.wait_for(lambda one: one.says(TermsAccepted, purchase), within=120)
    return took


def _only(outcome: Outcome, kind: type[M]) -> M:
    found = [one for one in outcome.events if isinstance(one, kind)]
    if len(found) != 1:
        raise RuntimeError(f"no {kind.__name__}, but {outcome}")
    return found[0]
