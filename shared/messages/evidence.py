"""Letters of agency and evidence of identity: documents that only the aggregation service and the officer read.

The events say that a document is there, by its kind, size and hash; its name, its signer and its bytes stand on
`aggregation.evidence` alone.
"""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from shared.messages.aggregation import AggregationCommand, AggregationEvent, AggregationRefusal
from shared.messages.base import (
    AboutPurchase,
    Base64,
    Count,
    Digest,
    Document,
    Name,
    Number,
    Part,
    Role,
    ServiceCode,
)

Party = Literal["coordinator", "buyer"]
EvidenceKind = Literal["register_extract", "identity_document", "authorisation", "other"]


class Agency(Part):
    """What a buyer lets the coordinator do for it, and for how long (after the letter of agency of the E-Rate consortia)."""

    services: Annotated[tuple[ServiceCode, ...], Field(min_length=1, max_length=40)]
    valid_from: date
    valid_until: date
    """Both dates included."""
    signed_on: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.valid_until < self.valid_from:
            raise ValueError("ends before it starts")
        return self


class FileLetter(AggregationCommand):
    """File a part of a buyer's letter of agency; it counts once all its parts are there and have its hash."""

    roles: ClassVar[frozenset[Role]] = frozenset({"coordinator", "member"})

    buyer_id: UUID
    agency: Agency
    signer: Name
    document: Document
    part: Number
    data: Base64
    """Base64 of at most 384 KiB."""


class FileEvidence(AggregationCommand):
    """File a part of a document about who a party is; it is evidence once all its parts are there and have its hash."""

    roles: ClassVar[frozenset[Role]] = frozenset({"coordinator", "member"})

    party: Party
    party_id: UUID
    """The coordinator's person id, or the buyer's id."""
    kind: EvidenceKind
    document: Document
    part: Number
    data: Base64
    """Base64 of at most 384 KiB."""


class LetterFiled(AggregationEvent):
    """A buyer's letter of agency is there; a newer one takes its place."""

    buyer_id: UUID
    agency: Agency
    sha256: Digest
    size: Count


class EvidenceFiled(AggregationEvent):
    """A document about who a party is is there, for the officer to look at."""

    party: Party
    party_id: UUID
    kind: EvidenceKind
    sha256: Digest
    size: Count


class EvidencePart(AboutPurchase):
    """A part of a letter of agency or of evidence."""

    stream: ClassVar[str] = "aggregation.evidence"

    kind: EvidenceKind | Literal["letter_of_agency"]
    party: Party
    party_id: UUID
    signer: Name | None = None
    """Of a letter."""
    document: Document
    part: Number
    data: Base64


class FileLetterRefused(AggregationRefusal):
    """`FileLetter` was not obeyed."""


class FileEvidenceRefused(AggregationRefusal):
    """`FileEvidence` was not obeyed."""
