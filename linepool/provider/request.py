"""A request as a provider reads it: its content, its documents, and what it asks of an offer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, ValidationError

from linepool.provider.errors import RequestError
from shared.messages.aggregation import BillingPreferences, Identifier, Period, TaxBasis
from shared.messages.base import Body, Currency, Document, Quantity, ServiceCode, Time, Unit
from shared.messages.distribution import RequestPresented
from shared.messages.rfp import Custodian, ServiceNeed

USAGE_LINES = "usage-lines"
"""The name of the document that holds the usage by line."""


class _Read(Body):
    """Part of a request. Fields that are not known here are passed over: a later version may have more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class UsageTotal(_Read):
    """How much of one service a buyer or a line used in the reported period."""

    service: ServiceCode
    unit: Unit
    quantity: Quantity


class RequestBuyer(_Read):
    """A member of the group; with `pseudonymous` only its label is told."""

    buyer: str
    """The label, such as `B1`."""
    buyer_id: UUID | None = None
    legal_name: str | None = None
    identifiers: tuple[Identifier, ...] = ()
    billing_preferences: BillingPreferences | None = None
    lines: int
    usage: tuple[UsageTotal, ...]


class Need(_Read):
    """What the group wants to buy."""

    title: str
    description: str
    services: tuple[ServiceNeed, ...]
    places: tuple[str, ...]
    deadline: Time
    contract_months: int
    mode: Literal["transmit", "grant"]
    buyers_shown: Literal["named", "pseudonymous"]
    custodian: Custodian | None = None
    """For whom offers are sealed beside the opener."""


class RequestContent(_Read):
    """The content of a request: canonical JSON, whose SHA-256 stands in its manifest."""

    purchase_id: UUID
    request_version: int
    group: str | None
    """The group's name; None with `pseudonymous`."""
    currency: Currency
    tax_basis: TaxBasis
    need: Need
    usage_period: Period
    usage_digest: str
    buyers: tuple[RequestBuyer, ...]

    @property
    def services(self) -> tuple[ServiceNeed, ...]:
        """What must be priced."""
        return self.need.services

    @property
    def contract_months(self) -> int:
        """How long the contract must bind."""
        return self.need.contract_months

    @property
    def totals(self) -> dict[tuple[str, str], Decimal]:
        """The whole group's usage in the reported period, by service and unit."""
        found: dict[tuple[str, str], Decimal] = {}
        for buyer in self.buyers:
            for use in buyer.usage:
                place = use.service, use.unit
                found[place] = found.get(place, Decimal(0)) + use.quantity
        return found

    @property
    def line_count(self) -> int:
        """How many lines the group has."""
        return sum(buyer.lines for buyer in self.buyers)


class LineInUse(_Read):
    """One line of a buyer, with its usage in the reported period."""

    buyer: str
    line: str
    services: tuple[UsageTotal, ...]
    contract_end: date | None = None


class UsageLines(_Read):
    """The document `usage-lines`."""

    lines: tuple[LineInUse, ...]


@dataclass(frozen=True)
class Request:
    """A version of a request with its documents, each checked against its manifest."""

    presented: RequestPresented
    content_json: bytes
    """Exactly the bytes whose hash is in the manifest."""
    content: RequestContent
    documents: Mapping[str, bytes]
    """The further documents by name."""

    @classmethod
    def of(cls, presented: RequestPresented, content: bytes, documents: Mapping[str, bytes]) -> "Request":
        """Check and read what was presented.

        Raises:
            RequestError: content or a document is not what its manifest says, or is of another purchase.
        """
        _check(presented.content, content)
        for manifest in presented.documents:
            if manifest.name not in documents:
                raise RequestError(f"the document {manifest.name!r} is missing")
            _check(manifest, documents[manifest.name])
        try:
            read = RequestContent.model_validate_json(content)
        except ValidationError as error:
            raise RequestError("the request's content cannot be read by this version of the kit") from error
        if (read.purchase_id, read.request_version) != (presented.purchase_id, presented.request_version):
            raise RequestError("the content is of another request than the invitation")
        return cls(presented, content, read, dict(documents))

    @property
    def purchase_id(self) -> UUID:
        """What every message about it names."""
        return self.presented.purchase_id

    @property
    def version(self) -> int:
        """The version of the request that a reply answers."""
        return self.presented.request_version

    def usage_lines(self) -> UsageLines:
        """Return the usage by line. Raises RequestError where the request has none."""
        try:
            return UsageLines.model_validate(json.loads(self.documents[USAGE_LINES]))
        except KeyError:
            raise RequestError("the request has no usage by line") from None
        except ValueError as error:
            raise RequestError("the usage by line cannot be read by this version of the kit") from error


def _check(manifest: Document, content: bytes) -> None:
    if len(content) != manifest.size or sha256(content).hexdigest() != manifest.sha256:
        raise RequestError(f"the document {manifest.name!r} is not what its manifest says")
