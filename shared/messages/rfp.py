"""What the rfp service obeys and says: the request is compiled, listed, issued, qualified, and its deadline passes."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.messages.aggregation import TaxBasis
from shared.messages.base import (
    AboutPurchase,
    Base64,
    Command,
    Currency,
    Digest,
    Document,
    DocumentPart,
    Key,
    Message,
    Name,
    Number,
    Order,
    OrderRefused,
    Part,
    ProviderId,
    Refused,
    Role,
    ServiceCode,
    Text,
    Time,
    Unit,
)

Level = Literal["address_confirmed", "registry_matched", "document_reviewed"]
"""How far a party's identity was looked into, weakest first; a well-formed register number alone is no level at all."""
Mode = Literal["transmit", "grant"]
"""How the request is presented: the invitation is the whole request, or offers access to it."""
BuyersShown = Literal["named", "pseudonymous"]
Categories = Annotated[tuple[ServiceCode, ...], Field(min_length=1, max_length=20)]
Regions = Annotated[tuple[Name, ...], Field(min_length=1, max_length=50)]


class ServiceNeed(Part):
    """A service that the group wants to buy, and the unit it is counted in."""

    service: ServiceCode
    unit: Unit
    description: Text


class Custodian(Part):
    """A second custodian: offers are sealed for its key too, and it releases the private half once the deadline has passed."""

    name: Name
    public_key: Key
    """Made by the custodian for this purchase and deadline; see `shared.sealing.custodian_key_purpose`."""


NamedCustodian = Annotated[Custodian | None, Field(exclude_if=lambda custodian: custodian is None)]
"""A message without a custodian has no such field, so its bytes are those from before there were custodians."""


class ProviderRule(Part):
    """A list by rule: every registered, unsuspended provider of the category in the region, when the request is issued."""

    category: ServiceCode
    region: Name


class RfpCommand(Command):
    """An order to the rfp service."""

    stream: ClassVar[str] = "rfp.commands"


class DescribeNeed(RfpCommand):
    """Say what the request asks for."""

    title: Name
    description: Text
    services: Annotated[tuple[ServiceNeed, ...], Field(min_length=1, max_length=40)]
    places: Annotated[tuple[Name, ...], Field(min_length=1, max_length=200)]
    deadline: Time
    contract_months: Annotated[int, Field(ge=1, le=120, strict=True)]
    mode: Mode
    buyers_shown: BuyersShown
    custodian: NamedCustodian = None
    """Whose seal offers need beside the opener's; providers read it in the request's content."""


class SetProviderList(RfpCommand):
    """Say who may see the request and reply: by ids, or by a rule. Exactly one of the two."""

    provider_ids: Annotated[tuple[ProviderId, ...], Field(max_length=1000)] = ()
    rule: ProviderRule | None = None


class AttachDocument(RfpCommand):
    """Add a part of a document to the draft; it is attached once all its parts are there and have its hash."""

    document: Document
    part: Number
    data: Base64
    """Base64 of at most 384 KiB."""


class IssueRequest(RfpCommand):
    """Freeze the request and its list; it leaves only once the group is qualified."""


class CancelRequest(RfpCommand):
    """Call the purchase off; everyone who was shown anything is told."""

    reason: Text


class AnswerQuestion(RfpCommand):
    """Answer a provider's question; everyone who was shown the request is told at the same time."""

    question_id: UUID
    answer: Text
    restated: Text | None = None
    """The question in other words, where the asker's own would tell who asked."""


class RecordVerification(Command):
    """The officer's finding about one party of the group, for exactly the snapshot that was looked at."""

    stream: ClassVar[str] = "rfp.verifications"
    roles: ClassVar[frozenset[Role]] = frozenset({"officer"})

    snapshot: Digest
    party: Literal["coordinator", "buyer"]
    party_id: UUID
    """The coordinator's person id, or the buyer's id."""
    outcome: Literal["verified", "refused"]
    method: Literal["address", "register", "document", "visit"]
    """What was looked at: that the party's mail address is confirmed, a public register, a document, or the party itself."""
    reference: Name
    """Where the evidence is kept, for example a register extract's number."""
    evidence: Annotated[tuple[Digest, ...], Field(max_length=20)] = ()
    """The documents on `aggregation.evidence` that were looked at."""
    valid_until: Time
    reason: Text | None = None


class AboutProvider(Message):
    """A message about one provider; keyed by it."""

    provider_id: ProviderId

    @property
    def subject(self) -> str:
        """The provider's id."""
        return self.provider_id


class RegistrationCommand(AboutProvider, Order):
    """An order of the operator about a provider; the refusal is `ProviderOrderRefused`."""

    stream: ClassVar[str] = "rfp.registrations"
    roles: ClassVar[frozenset[Role]] = frozenset({"operator"})


class RegisterProvider(RegistrationCommand):
    """Make a provider known, or change what is known of it."""

    name: Name
    categories: Categories
    regions: Regions


class SuspendProvider(RegistrationCommand):
    """Present nothing more to a provider until it is reinstated."""

    reason: Text


class ReinstateProvider(RegistrationCommand):
    """Lift a suspension."""


class RemoveProvider(RegistrationCommand):
    """Strike a provider off the register; refused while a purchase that lists it is open."""

    reason: Text


class QualificationPolicy(Part):
    """What the operator asks for before a group is qualified."""

    coordinator_level: Level
    buyer_level: Level
    buyers: Number | Literal["all"]
    """How many buyers must be verified at that level or above."""


class RfpEvent(AboutPurchase):
    """A fact of the rfp service about a purchase."""

    stream: ClassVar[str] = "rfp.events"


class ProviderEvent(AboutProvider):
    """A fact of the rfp service about a provider."""

    stream: ClassVar[str] = "rfp.events"


class ProviderRegistered(ProviderEvent):
    """A provider is known."""

    name: str
    categories: tuple[ServiceCode, ...]
    regions: tuple[Name, ...]


class ProviderSuspended(ProviderEvent):
    """A provider is presented nothing more."""

    reason: str


class ProviderReinstated(ProviderEvent):
    """A provider's suspension is lifted."""


class ProviderRemoved(ProviderEvent):
    """A provider is no longer known."""

    reason: str


class ProviderOrderRefused(ProviderEvent, OrderRefused):
    """An order about a provider was not obeyed."""


class RequestDrafted(RfpEvent):
    """A draft exists, made from exactly this snapshot of the group."""

    snapshot: Digest
    usage_digest: Digest
    policy: QualificationPolicy | None = None
    """What is asked for before the group is qualified; it stays the same for this purchase."""


class NeedDescribed(RfpEvent):
    """The coordinator has said what the request asks for; the newest description counts until the request is issued."""

    title: str
    description: str
    services: tuple[ServiceNeed, ...]
    places: tuple[Name, ...]
    deadline: Time
    contract_months: int
    mode: Mode
    buyers_shown: BuyersShown
    custodian: NamedCustodian = None


class ProviderListSet(RfpEvent):
    """The coordinator has said who may see the request; the newest list counts until the request is issued."""

    provider_ids: tuple[ProviderId, ...]
    rule: ProviderRule | None


class RequestIssued(RfpEvent):
    """A version of the request is frozen, with its content and the list of those who may see it."""

    request_version: Number
    title: str
    content: Document
    """The manifest of the content; its parts stand on `rfp.documents`."""
    documents: tuple[Document, ...]
    """Further documents of the request, such as the usage by line."""
    snapshot: Digest
    usage_digest: Digest
    provider_ids: tuple[ProviderId, ...]
    services: tuple[ServiceNeed, ...]
    deadline: Time
    contract_months: int
    mode: Mode
    buyers_shown: BuyersShown
    currency: Currency
    tax_basis: TaxBasis
    custodian: NamedCustodian = None
    """For whom offers are sealed beside the opener."""


class DocumentAttached(RfpEvent):
    """A document belongs to the draft; it is issued with the request."""

    document: Document


class QuestionAnswered(RfpEvent):
    """The coordinator answered a question; distribution tells everyone who was shown the request."""

    question_id: UUID
    request_version: Number
    question: str
    answer: str


class BuyerVerified(RfpEvent):
    """The officer found a party of the group to be who it says."""

    snapshot: Digest
    party: Literal["coordinator", "buyer"]
    party_id: UUID
    valid_until: Time
    level: Level = "registry_matched"


class GroupQualified(RfpEvent):
    """The coordinator and as many buyers as the operator's policy asks for are verified, for exactly this snapshot."""

    number: Number
    snapshot: Digest
    valid_until: Time
    policy: QualificationPolicy | None = None
    """What was asked for when this was decided."""


class GroupNotQualified(RfpEvent):
    """The officer refused a party of the group."""

    snapshot: Digest
    party: Literal["coordinator", "buyer"]
    party_id: UUID
    reason: str


class QualificationLapsed(RfpEvent):
    """A qualification no longer holds."""

    number: Number
    reason: str


class RequestCancelled(RfpEvent):
    """The purchase is called off."""

    reason: str


class DeadlinePassed(RfpEvent):
    """No reply appended from this deadline on is in time, and no later version of the request can exist."""

    request_version: Number
    deadline: Time


class RequestDocumentPart(DocumentPart):
    """A part of the request's content or of a further document of it."""

    stream: ClassVar[str] = "rfp.documents"


class RfpRefusal(Refused):
    """An order to the rfp service that was not obeyed."""

    stream: ClassVar[str] = "rfp.events"


class RfpCommandRefused(RfpRefusal):
    """An order that could not be read, or of a type that nobody knows, was not obeyed."""


class DescribeNeedRefused(RfpRefusal):
    """`DescribeNeed` was not obeyed."""


class SetProviderListRefused(RfpRefusal):
    """`SetProviderList` was not obeyed."""


class IssueRequestRefused(RfpRefusal):
    """`IssueRequest` was not obeyed."""


class AttachDocumentRefused(RfpRefusal):
    """`AttachDocument` was not obeyed."""


class AnswerQuestionRefused(RfpRefusal):
    """`AnswerQuestion` was not obeyed."""


class CancelRequestRefused(RfpRefusal):
    """`CancelRequest` was not obeyed."""


class RecordVerificationRefused(RfpRefusal):
    """`RecordVerification` was not obeyed."""
