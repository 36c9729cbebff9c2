"""What the bidding service obeys and says: boxes, receipts, comparisons, the selection and its terms."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.messages.base import (
    AboutPurchase,
    Amount,
    Base64,
    Command,
    Count,
    Digest,
    DocumentPart,
    Key,
    Message,
    Number,
    ProviderId,
    Refused,
    SignedAmount,
    Text,
    Time,
)
from shared.messages.base import Part as MessagePart
from shared.messages.providers import TermsDocument

RejectionReason = Literal[
    "unreadable",
    "unknown_type",
    "invalid",
    "too_large",
    "unknown_purchase",
    "late",
    "cancelled",
    "id_reused",
    "revision_used",
    "not_sealed",
    "no_such_reply",
    "too_many",
    "not_selected",
    "terms_not_due",
    "hash_wrong",
    "document_incomplete",
]
"""Why a provider's message was not taken."""


class BiddingCommand(Command):
    """An order to the bidding service."""

    stream: ClassVar[str] = "bidding.commands"


class ReleaseCustodianKey(BiddingCommand):
    """Hand in what the request's custodian released: the private key for exactly this purchase, after its deadline."""

    private_key: Annotated[Key, Field(repr=False)]
    """Base64 of the X25519 key whose public half the request names."""


class ReasonForOther(MessagePart):
    """Why one of the other replies was not selected, told to its provider only."""

    reply_id: UUID
    reason: Text


class SelectReply(BiddingCommand):
    """Select one of the compared replies, and say why not the others."""

    reply_id: UUID
    reason_for_others: Text
    reasons: Annotated[tuple[ReasonForOther, ...], Field(max_length=1000)] = ()
    """Where a reply deserves a reason of its own."""


class AcceptTerms(BiddingCommand):
    """Accept the terms that were presented; the hash says exactly which."""

    award: Number
    terms_sha256: Digest


class RejectTerms(BiddingCommand):
    """Reject the terms that were presented."""

    award: Number
    terms_sha256: Digest
    reason: Text


class BiddingEvent(AboutPurchase):
    """A fact of the bidding service."""

    stream: ClassVar[str] = "bidding.events"


class BidBoxReady(BiddingEvent):
    """Replies to this version of the request can be taken."""

    request_version: Number
    seal: Literal["none", "hpke"]
    public_key: str | None = None
    """Base64 of the X25519 key to seal to, with `hpke`."""
    key_signature: str | None = None
    """Base64 of the opener's Ed25519 signature: nobody between it and the provider can put another key in its place."""


class CustodianKeyReleased(BiddingEvent):
    """The custodian's key was released: what is sealed twice can be opened. The private key stands on no event."""

    request_version: Number
    public_key: Key


class OpenedReply(MessagePart):
    """What became of one receipted reply when the box was opened."""

    reply_id: UUID
    provider_id: ProviderId
    revision: Number
    appended_at: Time
    standing: Literal["evaluated", "replaced", "withdrawn", "invalid"]
    reason: str | None = None


class Acknowledgement(MessagePart):
    """A provider said that it had read a version of the request, and when."""

    provider_id: ProviderId
    request_version: Number
    content_sha256: Digest
    """Of what it read."""
    acknowledged_at: Time


class RepliesOpened(BiddingEvent):
    """The box is closed and was opened; no reply can be added."""

    request_version: Number
    replies: tuple[OpenedReply, ...]
    """Every reply that was not replaced; of the replaced ones the newest, where there are thousands."""
    declined: tuple[ProviderId, ...]
    """Providers that declined and have no reply in the box."""
    acknowledged: tuple[Acknowledgement, ...] = ()
    """Each provider's first acknowledgement of each version."""


class QuestionReceived(BiddingEvent):
    """A provider that was shown the request asked something; who it was is told to nobody."""

    question_id: UUID
    request_version: Number
    question: str


class AccessRequestReceived(BiddingEvent):
    """Somebody asks to be shown a request. Distribution decides, whoever it is."""

    request_id: UUID
    provider_id: ProviderId
    request_version: Number
    message_id: str
    """The `ce_id` that the provider gave."""


class RankedReply(MessagePart):
    """Where a reply stands: rank 1 costs least over the term on the group's own usage."""

    reply_id: UUID
    provider_id: ProviderId
    rank: Number
    total: Amount
    saving: SignedAmount


class RepliesCompared(BiddingEvent):
    """Every valid reply was evaluated on every line of exactly the pinned usage."""

    request_version: Number
    usage_digest: Digest
    charged: Amount
    """What the group was charged, over the same time as the totals."""
    replies: tuple[RankedReply, ...]
    comparison_sha256: Digest
    """SHA-256 of the full comparison on `bidding.comparisons`."""


class ComparisonPart(DocumentPart):
    """A part of the full comparison: who would pay what under each reply."""

    stream: ClassVar[str] = "bidding.comparisons"


class Unsuccessful(MessagePart):
    """A reply that was not selected, with what its provider is told."""

    provider_id: ProviderId
    reply_id: UUID
    rank: Number
    reason: str


class TermsDocumentPart(AboutPurchase):
    """A part of the document that belongs to the terms of an award; all parts come before their `TermsPresented`."""

    stream: ClassVar[str] = "bidding.comparisons"

    award: Number
    terms_sha256: Digest
    document: TermsDocument
    part: Number
    data: str
    """Base64 of at most 384 KiB."""


class ProviderSelected(BiddingEvent):
    """The group selected a reply: a numbered, standing award. At most one stands at a time."""

    award: Number
    provider_id: ProviderId
    reply_id: UUID
    others: tuple[Unsuccessful, ...]


class TermsPresented(BiddingEvent):
    """The selected provider's terms lie before the group."""

    award: Number
    provider_id: ProviderId
    title: str
    text: str
    terms_sha256: Digest
    """Over text and manifest; see `shared.terms_digest`."""
    document: TermsDocument | None = None
    """Its bytes are on `bidding.comparisons`."""


class TermsAccepted(BiddingEvent):
    """The group accepted the terms: the purchase is complete."""

    award: Number
    provider_id: ProviderId
    terms_sha256: Digest
    accepted_by: UUID


class TermsRejected(BiddingEvent):
    """The group rejected the terms; the provider may propose others."""

    award: Number
    provider_id: ProviderId
    terms_sha256: Digest
    reason: str


class BiddingRefusal(Refused):
    """An order to the bidding service that was not obeyed."""

    stream: ClassVar[str] = "bidding.events"


class BiddingCommandRefused(BiddingRefusal):
    """An order that could not be read, or of a type that nobody knows, was not obeyed."""


class ReleaseCustodianKeyRefused(BiddingRefusal):
    """`ReleaseCustodianKey` was not obeyed."""


class SelectReplyRefused(BiddingRefusal):
    """`SelectReply` was not obeyed."""


class AcceptTermsRefused(BiddingRefusal):
    """`AcceptTerms` was not obeyed."""


class RejectTermsRefused(BiddingRefusal):
    """`RejectTerms` was not obeyed."""


class Notice(AboutPurchase):
    """A message to one provider, on its own topic `notices.<provider id>`."""

    stream: ClassVar[str] = "notices."


class ChainLink(MessagePart):
    """Where an answer stands in the chain of all answers to one provider. Who has them all can recompute each head."""

    number: Number
    """1 for the first answer that the provider ever got."""
    head: Digest
    """SHA-256 over the head before it and the canonical JSON of this answer without `chain`. See `linepool.receipts`."""
    signature: Base64
    """Bidding's Ed25519 signature of provider, number and head."""


class ReceiptIssued(Notice):
    """The provider's message was taken. A reply counts by its receipt, not by Kafka's acknowledgement."""

    message_id: str
    """The `ce_id` that the provider gave."""
    message_type: str
    sha256: Digest
    """Of the body's bytes as they arrived."""
    appended_at: Time
    """Kafka's append time: in time means before the deadline by this clock."""
    reply_id: UUID | None = None
    """Set on receipts of replies."""
    chain: ChainLink | None = None
    """None only on receipts from before there were chains."""


class MessageRejected(Message):
    """The provider's message was not taken."""

    stream: ClassVar[str] = "notices."

    purchase_id: UUID | None
    """None where the message was too broken to name one."""
    message_id: str | None
    sha256: Digest
    appended_at: Time
    reason: RejectionReason
    detail: str
    chain: ChainLink | None = None
    """None only on rejections from before there were chains."""

    @property
    def subject(self) -> str:
        """The purchase's id, or `none` where the message named none."""
        return str(self.purchase_id) if self.purchase_id else "none"


class CheckpointPublished(Notice):
    """On a fixed schedule, to every provider on the list alike: the signed root of a tree over all their chains.

    The tree is blinded with salts and always of one size, so it tells nothing about anybody, not even how many there are.
    """

    number: Number
    made_at: Time
    size: Number
    """How many leaves the tree has."""
    root: Digest
    signature: Base64
    """Bidding's Ed25519 signature of purchase, number, time, size and root."""


class InclusionProved(Notice):
    """After opening, to each provider its own: how its chain, as far as it went then, stands under a checkpoint's root."""

    checkpoint: Number
    chain_number: Count
    """How many answers the chain held then; 0 where the provider had none yet."""
    chain_head: Digest
    salt: Digest
    leaf: Count
    """The leaf's place, counted from 0."""
    path: tuple[Digest, ...]
    """The hashes beside the way up to the root, from below (RFC 9162)."""


class ReplyDisqualified(Notice):
    """A receipted reply turned out invalid when it was opened, and was not evaluated."""

    reply_id: UUID
    reason: str
