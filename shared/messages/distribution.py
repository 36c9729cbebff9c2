"""What the distribution service says, and what it puts before providers."""

from typing import ClassVar, Literal

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


class PresentedMessage(AboutPurchase):
    """A message to one provider, on its own topic `invitations.<provider id>`."""

    stream: ClassVar[str] = "invitations."


class RequestPresented(PresentedMessage):
    """An invitation. With `transmit` it is the whole request."""

    request_version: Number
    title: str
    deadline: Time
    mode: Mode
    seal: Literal["none"]
    """How a reply must be sealed."""
    public_key: str | None = None
    """Base64 of the key to seal to, where `seal` asks for one."""
    content: Document
    content_json: str | None
    """The content itself where it fits into the invitation; otherwise its parts follow on the same topic."""
    documents: tuple[Document, ...]
    """Further documents; their parts follow on the same topic."""


class PresentedDocumentPart(DocumentPart):
    """A part of a document of a request that was presented."""

    stream: ClassVar[str] = "invitations."


class CancellationPresented(PresentedMessage):
    """The purchase is called off; no reply to it counts any more."""

    reason: str
