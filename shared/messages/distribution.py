"""What the distribution service says, and what it puts before providers."""

from typing import ClassVar, Literal
from uuid import UUID

from shared.messages.base import AboutPurchase, Digest, Document, DocumentPart, Number, ProviderId, Time
from shared.messages.rfp import Mode


class DistributionEvent(AboutPurchase):
    """A fact of the distribution service."""

    stream: ClassVar[str] = "distribution.events"


class ProviderInvited(DistributionEvent):
    """A listed provider was presented a version of the request: the ledger's entry, as a fact."""

    request_version: Number
    provider_id: ProviderId
    mode: Mode
    content_sha256: Digest
    qualification: Number


class RequestDistributed(DistributionEvent):
    """The gate opened: the version went to everyone on the list who was not suspended."""

    request_version: Number
    invited: int


AccessRefusalReason = Literal[
    "unknown_purchase", "suspended", "not_qualified", "deadline_passed", "cancelled", "superseded"
]
"""Why access was not granted; to whoever was offered none, always `unknown_purchase`."""


class AccessGranted(DistributionEvent):
    """A provider asked for access to a request that it was offered, and was shown it: the ledger's entry, as a fact."""

    request_id: UUID
    request_version: Number
    provider_id: ProviderId
    content_sha256: Digest
    qualification: Number
    granted_at: Time


class AccessRefused(DistributionEvent):
    """Somebody asked for access to a request, and was shown nothing."""

    request_id: UUID
    request_version: Number
    provider_id: ProviderId
    message_id: str
    """The `ce_id` that the provider gave."""
    reason: AccessRefusalReason
    detail: str


class PresentedMessage(AboutPurchase):
    """A message to one provider, on its own topic `invitations.<provider id>`."""

    stream: ClassVar[str] = "invitations."


class AccessOffered(PresentedMessage):
    """An invitation that offers access: the request itself follows when the provider asks for it (`AccessRequested`)."""

    request_version: Number
    title: str
    deadline: Time
    content_sha256: Digest
    """Of the content that will be shown."""


class RequestPresented(PresentedMessage):
    """The request: with `transmit` this is the invitation, with `grant` it follows when access was granted."""

    request_version: Number
    title: str
    deadline: Time
    mode: Mode
    seal: Literal["none", "hpke"]
    """How a reply must be sealed."""
    public_key: str | None = None
    """Base64 of the X25519 key to seal to, with `hpke`."""
    key_signature: str | None = None
    """Base64 of the opener's Ed25519 signature of that key; a provider checks it before it seals."""
    content: Document
    content_json: str | None
    """The content itself where it fits into the invitation; otherwise its parts follow on the same topic."""
    documents: tuple[Document, ...]
    """Further documents; their parts follow on the same topic."""


class PresentedDocumentPart(DocumentPart):
    """A part of a document of a request that was presented."""

    stream: ClassVar[str] = "invitations."


class AnswerPresented(PresentedMessage):
    """A question that somebody asked, and its answer; everyone who was shown the request gets it at the same time."""

    question_id: UUID
    request_version: Number
    question: str
    answer: str


class CancellationPresented(PresentedMessage):
    """The purchase is called off; no reply to it counts any more."""

    reason: str
