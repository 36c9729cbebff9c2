"""One purchase, said message by message, in any world that takes orders and shows what was said.

The same script runs in memory (`tests.flow.system`) and on the real stack (`tests.integration.system`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

from stdnum.iso7064 import mod_97_10

from linepool.custodian.keys import key_for
from shared import documents
from shared.documents import manifest_of, split
from shared.envelope import Actor
from shared.messages import Message
from shared.messages.aggregation import (
    AddBuyer,
    BillingPreferences,
    CloseGroup,
    Contact,
    GroupAggregated,
    Identifier,
    LineUsage,
    OpenGroup,
    Period,
    ReportUsage,
    SetBillingPreferences,
)
from shared.messages.bidding import (
    AcceptTerms,
    ReleaseCustodianKey,
    RepliesCompared,
    SelectReply,
    TermsAccepted,
    TermsPresented,
)
from shared.messages.distribution import RequestPresented
from shared.messages.notification import AcceptanceNotified, AwardNotified
from shared.messages.providers import (
    InvitationDeclined,
    Offer,
    ProviderMessage,
    ReplySubmitted,
    TermsDocument,
    TermsPartSent,
    TermsProposed,
)
from shared.messages.rfp import (
    AttachDocument,
    CancelRequest,
    Custodian,
    DeadlinePassed,
    DescribeNeed,
    IssueRequest,
    Mode,
    RecordVerification,
    RegisterProvider,
    ServiceNeed,
    SetProviderList,
)
from shared.sealing import private_key_b64, public_key_b64, seal_offer
from shared.terms_digest import terms_digest

M = TypeVar("M", bound=Message)
_sealed = cache(seal_offer)
"""Sealing is never twice the same; where two worlds are compared, their providers must say the same bytes."""
OPERATOR = Actor(person_id=uuid4(), role="operator")
OFFICER = Actor(person_id=uuid4(), role="officer")
MAY = Period(start=date(2026, 5, 1), end=date(2026, 5, 31), months=1)
TERMS = "Payment in 30 days."


class World(Protocol):
    """Where a purchase happens."""

    async def order(self, order: Message, by: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        """Give an order as a person would."""

    async def word(self, provider_id: str, message: ProviderMessage, *, id: str | None = None) -> str:  # noqa: A002 # as above
        """Say something as a provider would."""

    async def until(self, type_: type[M], about: UUID, *, provider_id: str = "", within: float = 60) -> M:
        """Wait for a message of this type about this purchase; on this provider's topic, where one is named."""


def an_offer(price: str, *, line_fee: str | None = None) -> Offer:
    components: list[object] = [{"kind": "usage", "service": "voice.day", "unit": "MIN", "price": price}]
    if line_fee is not None:
        components.append({"kind": "recurring", "per": "line", "price": line_fee})
    return Offer.model_validate(
        {
            "name": "Offer",
            "currency": "EUR",
            "tax_basis": "net",
            "contract_months": 24,
            "components": components,
            "billing": "One UBL invoice a month.",
        }
    )


def a_line(line_id: str, minutes: str = "120.5", charged: str = "20.49") -> LineUsage:
    use = {"service": "voice.day", "quantity": minutes, "unit": "MIN", "charged": charged}
    return LineUsage.model_validate(
        {"line_id": line_id, "services": [use], "recurring_charged": "10.00", "exit_fee": "0.00"}
    )


def registering(provider_id: str) -> RegisterProvider:
    return RegisterProvider(
        provider_id=provider_id, name="Tel", categories=("voice.day",), regions=("DE-NI",)
    )


@dataclass(frozen=True)
class Purchase:
    """A group of a few buyers, and the providers on its list: the last one declines, the others reply."""

    providers: tuple[str, ...]
    buyers: int = 2
    mode: Mode = "transmit"
    purchase_id: UUID = field(default_factory=uuid4)
    seed: UUID = field(default_factory=uuid4)
    document: bytes | None = field(default=None, repr=False)
    """What belongs to the winner's terms."""
    custodian_secret: bytes | None = field(default=None, repr=False)
    """A second custodian's; without it replies are sealed for the opener alone."""

    def person(self, number: int) -> UUID:
        """Return a person's id: 0 the coordinator, from 1 the buyers' contacts."""
        return UUID(int=self.seed.int ^ (number + 1))

    def buyer(self, number: int) -> UUID:
        return UUID(int=self.purchase_id.int ^ number)

    @property
    def coordinator(self) -> Actor:
        return Actor(person_id=self.person(0), role="coordinator")

    @property
    def subjects(self) -> frozenset[str]:
        """What its messages may be about: the purchase, one of its people, or a password of theirs for it."""
        people = [str(self.person(one)) for one in range(self.buyers + 1)]
        return frozenset({str(self.purchase_id), *people, *(f"{one}/{self.purchase_id}" for one in people)})

    @property
    def bidders(self) -> tuple[str, ...]:
        return self.providers[:-1]

    def contact(self, number: int) -> Contact:
        person = self.person(number)
        return Contact(person_id=person, name="Ann Example", email=f"p{person.hex[-12:]}@example.org")

    def opening(self) -> OpenGroup:
        return OpenGroup(
            purchase_id=self.purchase_id,
            name="Harbour towns",
            currency="EUR",
            tax_basis="net",
            contact=self.contact(0),
        )

    def joining(self, number: int) -> AddBuyer:
        stem = self.buyer(number).hex[-18:].upper()
        return AddBuyer(
            purchase_id=self.purchase_id,
            buyer_id=self.buyer(number),
            legal_name=f"Town {number}",
            identifiers=(Identifier(scheme="XI-LEI", id=stem + mod_97_10.calc_check_digits(stem)),),
            contact=self.contact(number),
        )

    def reporting(self, number: int, part: int) -> ReportUsage:
        return ReportUsage(
            purchase_id=self.purchase_id,
            buyer_id=self.buyer(number),
            report_id=UUID(int=self.seed.int ^ (1000 + number)),
            period=MAY,
            part=part,
            parts=2,
            lines=(a_line(f"L{number}.{part}"),),
        )

    def preferring(self, number: int) -> SetBillingPreferences:
        return SetBillingPreferences(
            purchase_id=self.purchase_id,
            buyer_id=self.buyer(number),
            preferences=BillingPreferences(
                format="ubl", frequency="monthly", payment_days=30, medium="peppol"
            ),
        )

    def describing(self, deadline: datetime) -> DescribeNeed:
        return DescribeNeed(
            purchase_id=self.purchase_id,
            title="Lines for two towns",
            description="All fixed lines.",
            services=(ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),),
            places=("Aal", "Bel"),
            deadline=deadline,
            contract_months=24,
            mode=self.mode,
            buyers_shown="named",
            custodian=self.custodian(deadline),
        )

    def custodian(self, deadline: datetime) -> Custodian | None:
        if self.custodian_secret is None:
            return None
        key = key_for(self.custodian_secret, self.purchase_id, deadline)
        return Custodian(name="Meier & Partners", public_key=public_key_b64(key))

    def releasing(self, deadline: datetime) -> ReleaseCustodianKey:
        """Hand in the custodian's key for a request with this deadline."""
        assert self.custodian_secret is not None
        key = key_for(self.custodian_secret, self.purchase_id, deadline)
        return ReleaseCustodianKey(purchase_id=self.purchase_id, private_key=private_key_b64(key))

    def finding(self, number: int, snapshot: str, *, refused: bool = False) -> RecordVerification:
        """Find the coordinator (0) or a buyer (from 1) verified, or not."""
        return RecordVerification(
            purchase_id=self.purchase_id,
            snapshot=snapshot,
            party="buyer" if number else "coordinator",
            party_id=self.buyer(number) if number else self.person(0),
            outcome="refused" if refused else "verified",
            method="register",
            reference="HRB 1234",
            valid_until=datetime.now(UTC) + timedelta(days=20),
            reason="Not in the register." if refused else None,
        )

    def reply(self, number: int, *, revision: int = 1) -> ReplySubmitted:
        """A bidder's reply; the first one's costs least."""
        return ReplySubmitted(
            purchase_id=self.purchase_id,
            request_version=1,
            revision=revision,
            seal="none",
            offer=an_offer(f"0.1{number}"),
        )

    def sealed_reply(self, number: int, presented: RequestPresented, *, revision: int = 1) -> ReplySubmitted:
        """A bidder's reply, sealed once or twice where its invitation asks for that."""
        reply, offer = self.reply(number, revision=revision), an_offer(f"0.1{number}")
        if presented.public_key is None:
            return reply
        custodian = json.loads(presented.content_json or "{}").get("need", {}).get("custodian")
        sealed = _sealed(
            offer.model_dump_json().encode(),
            purchase_id=self.purchase_id,
            request_version=1,
            provider_id=self.providers[number],
            revision=reply.revision,
            opener_key=presented.public_key,
            custodian_key=custodian["public_key"] if custodian else None,
        )
        return reply.model_copy(update={"seal": "hpke", "offer": None, "sealed_offer": sealed})

    def declining(self) -> InvitationDeclined:
        return InvitationDeclined(purchase_id=self.purchase_id, request_version=1, reason="No network there.")

    def terms(self) -> TermsProposed:
        return TermsProposed(
            purchase_id=self.purchase_id,
            award=1,
            title="Terms",
            text=TERMS,
            terms_sha256=terms_digest(TERMS, self.manifest),
            document=self.manifest,
        )

    @property
    def manifest(self) -> TermsDocument | None:
        if self.document is None:
            return None
        described = manifest_of("terms.pdf", self.document).model_dump()
        return TermsDocument(**described, media_type="application/pdf")

    def terms_parts(self) -> list[TermsPartSent]:
        """The parts of the document, if there is one; the last one first."""
        manifest = self.manifest
        if manifest is None or self.document is None:
            return []
        parts = [
            TermsPartSent(purchase_id=self.purchase_id, award=1, document=manifest, part=number, data=data)
            for number, data in split(manifest, self.document)
        ]
        return parts[::-1]


async def register(world: World, *provider_ids: str) -> None:
    """Make providers known."""
    for provider_id in provider_ids:
        await world.order(registering(provider_id), OPERATOR)


async def form(world: World, purchase: Purchase) -> None:
    """Open the group, let its buyers join and report, and close it."""
    await world.order(purchase.opening(), purchase.coordinator)
    for number in range(1, purchase.buyers + 1):
        await world.order(purchase.joining(number), purchase.coordinator)
        for part in (1, 2):
            await world.order(purchase.reporting(number, part), purchase.coordinator)
        await world.order(purchase.preferring(number), purchase.coordinator)
    await world.order(CloseGroup(purchase_id=purchase.purchase_id), purchase.coordinator)


def attaching(purchase: Purchase, name: str, content: bytes) -> list[AttachDocument]:
    """The orders that add a document to the draft, one for each part."""
    document = documents.manifest_of(name, content)
    return [
        AttachDocument(purchase_id=purchase.purchase_id, document=document, part=number, data=data)
        for number, data in documents.split(document, content)
    ]


async def issue(
    world: World, purchase: Purchase, deadline: datetime, attached: Mapping[str, bytes] | None = None
) -> str:
    """Describe the need, attach documents, set the list and issue the request; return the group's snapshot."""
    await world.order(purchase.describing(deadline), purchase.coordinator)
    for name, content in (attached or {}).items():
        for part in attaching(purchase, name, content):
            await world.order(part, purchase.coordinator)
    listing = SetProviderList(purchase_id=purchase.purchase_id, provider_ids=purchase.providers)
    await world.order(listing, purchase.coordinator)
    group = await world.until(GroupAggregated, purchase.purchase_id)
    await world.order(IssueRequest(purchase_id=purchase.purchase_id), purchase.coordinator)
    return group.snapshot


async def verify(world: World, purchase: Purchase, snapshot: str) -> None:
    """Verify the coordinator and each buyer: one more than a qualification needs."""
    for number in range(purchase.buyers + 1):
        await world.order(purchase.finding(number, snapshot), OFFICER)


async def bid(world: World, purchase: Purchase) -> None:
    """Let each provider answer its invitation: all but the last reply."""
    for number, provider_id in enumerate(purchase.providers):
        presented = await world.until(RequestPresented, purchase.purchase_id, provider_id=provider_id)
        last = provider_id == purchase.providers[-1]
        await world.word(
            provider_id, purchase.declining() if last else purchase.sealed_reply(number, presented)
        )


async def release(world: World, purchase: Purchase) -> None:
    """Hand in the custodian's key once the deadline has passed."""
    passed = await world.until(DeadlinePassed, purchase.purchase_id)
    await world.order(purchase.releasing(passed.deadline), purchase.coordinator)


async def conclude(world: World, purchase: Purchase) -> None:
    """Select the cheapest reply, and accept its provider's terms."""
    about = purchase.purchase_id
    compared = await world.until(RepliesCompared, about)
    best = compared.replies[0]
    selecting = SelectReply(
        purchase_id=about, reply_id=best.reply_id, reason_for_others="Another costs less."
    )
    await world.order(selecting, purchase.coordinator)
    await world.until(AwardNotified, about, provider_id=best.provider_id)
    for word in (purchase.terms(), *purchase.terms_parts()):
        await world.word(best.provider_id, word)
    presented = await world.until(TermsPresented, about)
    accepting = AcceptTerms(purchase_id=about, award=1, terms_sha256=presented.terms_sha256)
    await world.order(accepting, purchase.coordinator)
    await world.until(TermsAccepted, about)
    await world.until(AcceptanceNotified, about, provider_id=best.provider_id)


async def buy(
    world: World,
    purchase: Purchase,
    *,
    seconds: float | Callable[[], float],
) -> None:
    """Run the whole purchase; its deadline is so many seconds after the group is closed and the need is described."""
    await form(world, purchase)
    await world.until(GroupAggregated, purchase.purchase_id)
    ahead = seconds if isinstance(seconds, int | float) else seconds()
    snapshot = await issue(world, purchase, datetime.now(UTC) + timedelta(seconds=ahead))
    await verify(world, purchase, snapshot)
    await bid(world, purchase)
    if purchase.custodian_secret is not None:
        await release(world, purchase)
    await conclude(world, purchase)


def cancelling(purchase: Purchase) -> CancelRequest:
    return CancelRequest(purchase_id=purchase.purchase_id, reason="The budget fell through.")


def expected_of(purchase: Purchase) -> dict[str, int]:
    """Return how many different messages of each type one whole purchase leads to, orders and words left out."""
    buyers, invited, bidders = purchase.buyers, len(purchase.providers), len(purchase.bidders)
    parts = len(purchase.terms_parts())
    return {
        **({"TermsDocumentPart": parts} if parts else {}),
        **({"CustodianKeyReleased": 1} if purchase.custodian_secret else {}),
        "GroupOpened": 1,
        "ContactRecorded": 1 + buyers,
        "CredentialAssigned": 1 + buyers,
        "BuyerJoined": buyers,
        "UsageReported": buyers,
        "UsageLinesReported": 2 * buyers,
        "BillingPreferencesSet": buyers,
        "GroupAggregated": 1,
        "RequestDrafted": 1,
        "NeedDescribed": 1,
        "ProviderListSet": 1,
        "RequestIssued": 1,
        "RequestDocumentPart": 2,
        "BuyerVerified": 1 + buyers,
        "GroupQualified": 1,
        "DeadlinePassed": 1,
        "BidBoxReady": 1,
        "ProviderInvited": invited,
        "RequestDistributed": 1,
        "RequestPresented": invited,
        "PresentedDocumentPart": invited,
        "ReceiptIssued": invited + 1 + parts,
        "RepliesOpened": 1,
        "CheckpointPublished": invited,
        "InclusionProved": invited,
        "RepliesCompared": 1,
        "ComparisonPart": 1,
        "ProviderSelected": 1,
        "AwardNotified": 1,
        "UnsuccessfulNotified": bidders - 1,
        "TermsPresented": 1,
        "TermsAccepted": 1,
        "AcceptanceNotified": 1,
        "MailDelivered": len(mails_of(purchase)),
    }


def mails_of(purchase: Purchase) -> list[tuple[UUID, str]]:
    """Return who gets which mail in one whole purchase."""
    people = [purchase.person(number) for number in range(purchase.buyers + 1)]
    for_all = ("verified", "providers_invited", "replies_compared", "done")
    mails = [(person, kind) for person in people for kind in for_all]
    mails += [(person, "joined") for person in people[1:]]
    mails += [(person, "initial_password") for person in people]
    if purchase.custodian_secret is not None:
        mails.append((people[0], "key_awaited"))
    return [*mails, (people[0], "terms_to_accept")]
