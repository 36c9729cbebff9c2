"""What providers say, on their own topic `replies.<provider id>`. The topic says who, never the payload."""

from base64 import b64decode
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from shared.messages.aggregation import TaxBasis
from shared.messages.base import (
    DOCUMENT_BYTES,
    PART_BYTES,
    AboutPurchase,
    Amount,
    Base64,
    Currency,
    Digest,
    Document,
    Name,
    Part,
    Price,
    Quantity,
    ServiceCode,
    Text,
    Unit,
)

SmallNumber = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
"""A version, revision or award; no provider makes us keep a number of any length."""

MESSAGE_BYTES = 900 * 1024
"""A larger message is rejected: what follows from it must fit under the broker's limit of 1 MiB."""


class ProviderMessage(AboutPurchase):
    """A message of a provider: hostile input until proven otherwise, so unknown fields are refused."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    stream: ClassVar[str] = "replies."


class Tier(Part):
    """From this volume of the group on, this price applies to the whole volume."""

    from_volume: Quantity
    price: Price


class RecurringPrice(Part):
    """A price per month (MRC)."""

    kind: Literal["recurring"]
    per: Literal["line", "buyer", "group"]
    price: Amount


class OneTimePrice(Part):
    """A price once, at the start (NRC)."""

    kind: Literal["one_time"]
    per: Literal["line", "buyer", "group"]
    price: Amount


class UsagePrice(Part):
    """A price per unit used: either one price, or tiers by the group's volume of that service in a month."""

    kind: Literal["usage"]
    service: ServiceCode
    unit: Unit
    price: Price | None = None
    tiers: Annotated[tuple[Tier, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _one_price_or_rising_tiers(self) -> Self:
        if (self.price is None) == (not self.tiers):
            raise ValueError("needs either a price or tiers")
        starts = [tier.from_volume for tier in self.tiers]
        if starts and (starts[0] != 0 or starts != sorted(set(starts))):
            raise ValueError("tiers must start at volume 0 and rise")
        return self


Component = Annotated[RecurringPrice | OneTimePrice | UsagePrice, Field(discriminator="kind")]


class Offer(Part):
    """A tariff: what the provider would charge."""

    name: Name
    currency: Currency
    tax_basis: TaxBasis
    contract_months: Annotated[int, Field(ge=1, le=120, strict=True)]
    components: Annotated[tuple[Component, ...], Field(min_length=1, max_length=200)]
    billing: Text
    """The answer to the group's billing preferences."""

    @model_validator(mode="after")
    def _each_service_priced_once(self) -> Self:
        services = [part.service for part in self.components if isinstance(part, UsagePrice)]
        if len(set(services)) != len(services):
            raise ValueError("prices a service twice")
        return self


class ReplySubmitted(ProviderMessage):
    """A reply to a version of the request. A higher revision replaces the lower ones.

    With `hpke` the offer is sealed to the key of the invitation, and nobody can read it before the box is closed.
    """

    request_version: SmallNumber
    revision: SmallNumber
    seal: Literal["none", "hpke"]
    offer: Offer | None = None
    sealed_offer: Annotated[Base64, Field(min_length=64)] | None = None
    """Base64 of the HPKE box (RFC 9180, base mode) around the offer's JSON; spaces may fill it up. See `shared.sealing`."""

    @model_validator(mode="after")
    def _open_or_sealed(self) -> Self:
        if (self.offer is not None) != (self.seal == "none") or (self.sealed_offer is not None) != (
            self.seal == "hpke"
        ):
            raise ValueError("needs an offer with seal 'none', or a sealed offer with seal 'hpke'")
        return self


class ReplyWithdrawn(ProviderMessage):
    """The provider takes back the reply that stands, and says which by its receipt; a higher revision may follow."""

    request_version: SmallNumber
    reply_id: UUID


class InvitationDeclined(ProviderMessage):
    """The provider will not reply."""

    request_version: SmallNumber
    reason: Text


class InvitationAcknowledged(ProviderMessage):
    """The provider has read the invitation; the hash says exactly what it read."""

    request_version: SmallNumber
    content_sha256: Digest


class AccessRequested(ProviderMessage):
    """The provider was offered access to a request, and asks to be shown it."""

    request_version: SmallNumber


class QuestionAsked(ProviderMessage):
    """A question about the request. The answer goes to everyone who was shown it; who asked is not told."""

    request_version: SmallNumber
    question: Text


class TermsDocument(Document):
    """The manifest of a document that belongs to terms: at most 10 MiB, cut into parts of 384 KiB."""

    media_type: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$", max_length=100)]
    """As in RFC 6838, for example `application/pdf`. Nobody checks that the document is one."""
    size: Annotated[int, Field(ge=1, le=DOCUMENT_BYTES, strict=True)]
    """In bytes."""
    parts: Annotated[int, Field(ge=1, le=-(-DOCUMENT_BYTES // PART_BYTES), strict=True)]

    @model_validator(mode="after")
    def _cut_as_all_are(self) -> Self:
        if self.parts != -(-self.size // PART_BYTES):
            raise ValueError(f"a document is cut into parts of {PART_BYTES} bytes, and no others")
        return self


class TermsPartSent(ProviderMessage):
    """A part of a document that belongs to the selected provider's terms; parts may come in any order."""

    award: SmallNumber
    document: TermsDocument
    part: SmallNumber
    data: Base64
    """Base64 of 384 KiB, the last part's of what is left."""

    @model_validator(mode="after")
    def _is_one_of_its_parts(self) -> Self:
        document = self.document
        if self.part > document.parts:
            raise ValueError("the document has fewer parts")
        left = document.size - PART_BYTES * (self.part - 1)
        if len(b64decode(self.data, validate=True)) != min(left, PART_BYTES):
            raise ValueError(f"this part has {min(left, PART_BYTES)} bytes")
        return self


class TermsProposed(ProviderMessage):
    """The selected provider's terms and conditions: a text, or a text and a document.

    With a document they are answered once all of it is here and has its hash.
    """

    award: SmallNumber
    title: Name
    text: Annotated[str, StringConstraints(min_length=1, max_length=200_000, pattern=r"^[^\x00]+$")]
    terms_sha256: Digest
    """Over text and manifest, as the provider computed it; see `shared.terms_digest`."""
    document: TermsDocument | None = None
