"""What the aggregation service obeys and says: a group forms, its members report their past usage, it closes."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.messages.base import (
    AboutPerson,
    AboutPurchase,
    Amount,
    Command,
    Count,
    Currency,
    Digest,
    Name,
    Number,
    Part,
    Quantity,
    Refused,
    Role,
    ServiceCode,
    Text,
    Time,
    Unit,
)

TaxBasis = Literal["net", "gross"]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin")
    return name


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]
Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^[^@\s<>\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,189}$")
]
Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
"""E.164."""


class Contact(Part):
    """How a person is reached. Personal data: it stands on `aggregation.contacts` and nowhere else for longer."""

    person_id: UUID
    name: Name
    email: Email
    phone: Phone | None = None


class Identifier(Part):
    """An organisation's entry in a public register; `scheme` from org-id.guide, for example `GB-COH`, `XI-LEI`."""

    scheme: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[A-Z0-9]{2,10}$")]
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9./-]{2,40}$")]


class ServiceUsage(Part):
    """How much of one service a line used in the period, and what was charged for it."""

    service: ServiceCode
    quantity: Quantity
    unit: Unit
    charged: Amount


class LineUsage(Part):
    """One line's usage in the period."""

    line_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]{1,40}$")]
    services: Annotated[tuple[ServiceUsage, ...], Field(min_length=1, max_length=40)]
    recurring_charged: Amount
    """Charged for the line itself in the period; 0.00 where the bill has none."""
    contract_end: date | None = None
    exit_fee: Amount

    @model_validator(mode="after")
    def _each_service_once(self) -> Self:
        if len({use.service for use in self.services}) != len(self.services):
            raise ValueError("names a service twice")
        return self


class Period(Part):
    """The time that usage is reported for: whole months, both dates included."""

    start: date
    end: date
    months: Annotated[int, Field(ge=1, le=24, strict=True)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError("ends before it starts")
        return self


class BillingPreferences(Part):
    """How a buyer wants to be billed (after TMF666 `BillStructure`)."""

    format: Literal["pdf", "ubl", "csv"]
    frequency: Literal["monthly", "quarterly", "yearly"]
    payment_days: Annotated[int, Field(ge=0, le=120, strict=True)]
    medium: Literal["email", "post", "peppol"]


class AggregationCommand(Command):
    """An order to the aggregation service."""

    stream: ClassVar[str] = "aggregation.commands"


class OpenGroup(AggregationCommand):
    """Open a group for one purchase; the actor becomes its coordinator."""

    name: Name
    currency: Currency
    tax_basis: TaxBasis
    contact: Contact
    """The coordinator's own; `person_id` is the actor's."""
    letters_required: bool = False
    """Whether every buyer must have given the coordinator a letter of agency before the group is closed."""
    time_zone: TimeZone = "UTC"
    """In which the group's people read times; every time in a message is UTC all the same."""


class AddBuyer(AggregationCommand):
    """Add an identified organisation to the group."""

    buyer_id: UUID
    legal_name: Name
    identifiers: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=5)]
    contact: Contact


class RemoveBuyer(AggregationCommand):
    """Take a buyer out of the group again."""

    buyer_id: UUID


class ReportUsage(AggregationCommand):
    """Report a buyer's past usage, in parts of at most 500 lines; a newer complete report replaces the older one."""

    roles: ClassVar[frozenset[Role]] = frozenset({"coordinator", "member"})

    buyer_id: UUID
    report_id: UUID
    period: Period
    part: Number
    parts: Annotated[int, Field(ge=1, le=200, strict=True)]
    lines: Annotated[tuple[LineUsage, ...], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _part_within_parts(self) -> Self:
        if self.part > self.parts:
            raise ValueError("part is greater than parts")
        return self


class SetBillingPreferences(AggregationCommand):
    """Say how a buyer wants to be billed."""

    roles: ClassVar[frozenset[Role]] = frozenset({"coordinator", "member"})

    buyer_id: UUID
    preferences: BillingPreferences


class CloseGroup(AggregationCommand):
    """Freeze the membership and its usage."""


class LeaveGroup(AggregationCommand):
    """Take the actor's own organisation out of the group again, as long as the group is open."""

    roles: ClassVar[frozenset[Role]] = frozenset({"member"})

    buyer_id: UUID


class SetMinimum(AggregationCommand):
    """Say how large the group must become, until when, and what follows if it does not; it replaces what was said before."""

    buyers: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 0
    lines: Annotated[int, Field(ge=0, le=100_000_000, strict=True)] = 0
    """Of all usage reports that count."""
    decide_by: Time
    otherwise: Literal["coordinator_decides", "dissolve"]
    """Who decides when the time is over and the group is too small: the coordinator, or this rule."""


class DissolveGroup(AggregationCommand):
    """Give the group up before it is closed; everyone in it is told."""

    reason: Text


class AggregationEvent(AboutPurchase):
    """A fact of the aggregation service."""

    stream: ClassVar[str] = "aggregation.events"


class GroupOpened(AggregationEvent):
    """A group exists, and has a coordinator."""

    name: str
    currency: Currency
    tax_basis: TaxBasis
    coordinator_id: UUID
    letters_required: bool = False
    time_zone: str = "UTC"


class BuyerJoined(AggregationEvent):
    """An organisation is a member of the group."""

    buyer_id: UUID
    legal_name: str
    identifiers: tuple[Identifier, ...]
    contact_id: UUID


class BuyerLeft(AggregationEvent):
    """An organisation is no longer a member."""

    buyer_id: UUID


class UsageReported(AggregationEvent):
    """A buyer's report is complete and counts; its lines stand on `aggregation.usage`."""

    buyer_id: UUID
    report_id: UUID
    period: Period
    lines: Number
    parts: Number


class BillingPreferencesSet(AggregationEvent):
    """A buyer has said how it wants to be billed."""

    buyer_id: UUID
    preferences: BillingPreferences


class MinimumSet(AggregationEvent):
    """The group must become so large until then."""

    buyers: Count
    lines: Count
    decide_by: Time
    otherwise: Literal["coordinator_decides", "dissolve"]


class MinimumMissed(AggregationEvent):
    """The time is over, and the group is smaller than it had to become; said once for each time that was set."""

    buyers: Count
    lines: Count
    """How large it was."""
    otherwise: Literal["coordinator_decides", "dissolve"]


class GroupDissolved(AggregationEvent):
    """The group is given up; nothing more is taken for it."""

    reason: str


class GroupAggregated(AggregationEvent):
    """The membership and its usage are frozen."""

    name: str
    currency: Currency
    tax_basis: TaxBasis
    coordinator_id: UUID
    buyer_ids: tuple[UUID, ...]
    reports: dict[UUID, UUID]
    """The report that counts, by buyer."""
    period: Period
    lines: Number
    usage_digest: Digest
    """SHA-256 over the canonical JSON of all usage, sorted by buyer and line (`shared.usage_digest`)."""
    snapshot: Digest
    """SHA-256 over the canonical JSON of the membership, its identities and the usage digest."""
    billing_preferences: dict[UUID, BillingPreferences] = Field(default_factory=dict)
    """How each buyer wants to be billed, by buyer; those who have not said it are missing."""


class UsageLinesReported(AboutPurchase):
    """Some of the lines of a report that counts."""

    stream: ClassVar[str] = "aggregation.usage"

    buyer_id: UUID
    report_id: UUID
    part: Number
    parts: Number
    lines: tuple[LineUsage, ...]


class ContactRecorded(AboutPerson):
    """How a person is reached now."""

    stream: ClassVar[str] = "aggregation.contacts"
    compacted: ClassVar[bool] = True

    name: Name
    email: Email
    phone: Phone | None = None
    unconfirmed_email: Email | None = None
    """Where the person wants to be reached; it takes the place of `email` once a code sent there has come back."""


class CredentialAssigned(AboutPerson):
    """A person has an initial password for a group: here its verifier, and the password sealed for notification."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    purchase_id: UUID
    number: Number
    """Counts the passwords assigned to this person for this purchase; a higher one makes the lower ones void."""
    state: Literal["assigned"]
    verifier: str
    """An argon2id string; the password cannot be read from it."""
    sealed_password: str
    """Base64 of an HPKE box addressed to the notification service; `info` is `linepool password <purchase> <person>`."""
    expires_at: Time
    contact_version: Number | None = None
    """The `ce_sequence` of the `ContactRecorded` that says where it is mailed to, or of a newer one."""

    @property
    def subject(self) -> str:
        """The person's id and the purchase's, so that a further purchase does not replace the first one's."""
        return f"{self.person_id}/{self.purchase_id}"


class AggregationRefusal(Refused):
    """An order to the aggregation service that was not obeyed."""

    stream: ClassVar[str] = "aggregation.events"


class AggregationCommandRefused(AggregationRefusal):
    """An order that could not be read, or of a type that nobody knows, was not obeyed."""


class OpenGroupRefused(AggregationRefusal):
    """`OpenGroup` was not obeyed."""


class AddBuyerRefused(AggregationRefusal):
    """`AddBuyer` was not obeyed."""


class RemoveBuyerRefused(AggregationRefusal):
    """`RemoveBuyer` was not obeyed."""


class ReportUsageRefused(AggregationRefusal):
    """`ReportUsage` was not obeyed. Where a line is the reason, it is named and the whole report counts for nothing."""


class SetBillingPreferencesRefused(AggregationRefusal):
    """`SetBillingPreferences` was not obeyed."""


class CloseGroupRefused(AggregationRefusal):
    """`CloseGroup` was not obeyed."""


class LeaveGroupRefused(AggregationRefusal):
    """`LeaveGroup` was not obeyed."""


class SetMinimumRefused(AggregationRefusal):
    """`SetMinimum` was not obeyed."""


class DissolveGroupRefused(AggregationRefusal):
    """`DissolveGroup` was not obeyed."""
