"""What all messages have in common: a type, a stream, a key, and the shapes of money, quantities and ids.

A message is one frozen pydantic model. Its class name is its name everywhere: `GroupOpened` travels as CloudEvents type
`linepool.group-opened.v1` on the stream that its class names. Fields are data; a message has no behaviour.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from shared.messages.currencies import TWO_DECIMALS


class Body(BaseModel):
    """What travels as one piece of JSON: its rule about unknown fields holds at every depth, whatever its parts say.

    A reader that passes over new fields must do so in the innermost part too, or it would refuse the whole message.
    """

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **how: Any) -> Self:
        """Read JSON; see `BaseModel.model_validate_json`."""
        return super().model_validate_json(json_data, **{"extra": cls.model_config.get("extra"), **how})

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """Read values; see `BaseModel.model_validate`."""
        return super().model_validate(obj, **{"extra": cls.model_config.get("extra"), **how})

    @classmethod
    def model_json_schema(cls, *how: Any, **more: Any) -> dict[str, Any]:
        """Return the JSON Schema; its parts are as open to new fields as the whole is."""
        schema = super().model_json_schema(*how, **more)
        if cls.model_config.get("extra") == "ignore":
            for part in schema.get("$defs", {}).values():
                part.pop("additionalProperties", None)
        return schema


class Message(Body):
    """A message of the contract. Subclasses say on which stream it travels, and who is its subject."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    stream: ClassVar[str]
    """Topic without prefix; for provider-facing streams the part before the provider's id, ending in a dot."""
    version: ClassVar[int] = 1
    compacted: ClassVar[bool] = False
    """Whether its topic keeps only the newest message of each key, so that versions may be missing."""
    tombstone: ClassVar[bool] = False
    """Whether it travels without a body, so that Kafka forgets what stood under its key; its one field is its subject."""

    @classmethod
    @cache
    def type(cls) -> str:
        """Return the CloudEvents type, for example `linepool.group-opened.v1`."""
        kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        return f"linepool.{kebab}.v{cls.version}"

    @property
    def subject(self) -> str:
        """The id of what the message is about; also its Kafka key, so that order holds per subject."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Return the body: one JSON object, amounts as decimal strings, times RFC 3339 in UTC."""
        return self.model_dump_json().encode()

    def to_body(self) -> bytes | None:
        """Return what travels: the body, or None for a tombstone."""
        return None if self.tombstone else self.to_bytes()

    @classmethod
    def from_record(cls, key: bytes | None, body: bytes | None) -> Self:
        """Read a record: its body, or of a tombstone its key.

        Raises:
            ValueError: it is not what the type demands, or it has a body where it should have none, or the other way round.
        """
        if cls.tombstone:
            if body is not None:
                raise ValueError("a message that erases has no body")
            (field,) = cls.model_fields
            return cls.model_validate({field: (key or b"").decode("utf-8", "replace")})
        if body is None:
            raise ValueError("the message has no body")
        return cls.model_validate_json(body)


class AboutPurchase(Message):
    """A message about one purchase; keyed by it."""

    purchase_id: UUID

    @property
    def subject(self) -> str:
        """The purchase's id."""
        return str(self.purchase_id)


class AboutPerson(Message):
    """A message about one person; keyed by them."""

    person_id: UUID

    @property
    def subject(self) -> str:
        """The person's id."""
        return str(self.person_id)


class Order(Message):
    """Something that exactly one service obeys, or refuses with a fact that says why. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    roles: ClassVar[frozenset["Role"]] = frozenset({"coordinator"})
    """Who may give this order."""


class Command(AboutPurchase, Order):
    """An order about one purchase; the refusal is `<Command>Refused`."""


class OrderRefused(Message):
    """The answer to an order that cannot be obeyed: a fact on the obeying service's own event stream."""

    command_id: UUID | None
    reason: str
    """A fixed word, such as `not_coordinator`, that programs may compare."""
    detail: str
    """One sentence for people. It never quotes the refused data."""


class Refused(OrderRefused):
    """The answer to an order about a purchase."""

    purchase_id: UUID | None
    """None where the command was too broken to name one."""

    @property
    def subject(self) -> str:
        """The purchase's id, or `none`."""
        return str(self.purchase_id) if self.purchase_id else "none"


Role = Literal["coordinator", "member", "officer", "operator", "auditor"]


_DECIMAL = re.compile(r"-?\d{1,12}(\.\d{1,6})?", re.ASCII)


def _decimal_from_string(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError(
            "must be a decimal string such as '12.50', with at most 12 digits before and 6 after the point"
        )
    return Decimal(value)


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _whole_cents(value: Decimal) -> Decimal:
    if value != value.quantize(Decimal("0.01")):
        raise ValueError("must have at most two digits after the point")
    return value


def _currency(value: str) -> str:
    if value not in TWO_DECIMALS:
        raise ValueError("must be a currency of ISO 4217 that has two decimals, such as EUR")
    return value


def _aware_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must carry its offset, such as 2026-05-01T12:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999 of UTC too") from None


# A float would already have lost digits before we see it, so JSON numbers are refused everywhere.
SignedDecimal = Annotated[
    Decimal,
    BeforeValidator(_decimal_from_string, json_schema_input_type=str),
    PlainSerializer(lambda d: format(d, "f"), return_type=str),
]
Quantity = Annotated[SignedDecimal, AfterValidator(_not_negative)]
"""A quantity in the unit beside it, not negative, at most six digits after the point."""
Price = Annotated[SignedDecimal, AfterValidator(_not_negative)]
"""A price per unit in the purchase's currency, not negative, at most six digits after the point."""
Amount = Annotated[SignedDecimal, AfterValidator(_not_negative), AfterValidator(_whole_cents)]
"""An amount of money in the purchase's currency, not negative, whole cents."""
SignedAmount = Annotated[SignedDecimal, AfterValidator(_whole_cents)]
"""An amount of money that may be negative, such as a saving that is none."""
Time = Annotated[datetime, AfterValidator(_aware_utc)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hex."""
PROVIDER_ID = r"^[a-z0-9]{12}$"
ProviderId = Annotated[str, StringConstraints(pattern=PROVIDER_ID)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_currency)]
"""A currency of ISO 4217 that has two decimals."""
ServiceCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(\.[a-z0-9]+)*$", max_length=40)]
"""What is used and priced, for example `voice.day`."""
Unit = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,3}$")]
"""A code of UN/ECE Recommendation 20: MIN minute, MON month, 4L megabyte, E34 gigabyte, C62 one."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00]+$")]
Count = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
"""Counts from 1, and fits into four bytes, as tables keep it."""


Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]
"""An X25519 key: its 32 bytes in base64, in their one spelling."""


class Part(BaseModel):
    """A value inside a message: frozen, and strict about unknown fields unless the body that it is read in is not."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")


class Document(Part):
    """A manifest: what a document that travels in numbered parts must come out as."""

    name: Name
    sha256: Digest
    size: Count
    """In bytes."""
    parts: Number


DOCUMENT_BYTES = 10 * 1024 * 1024
"""A document that people or providers send has at most so many bytes."""
PART_BYTES = 384 * 1024
"""So that a part in base64, with its envelope, stays under a limit of 1 MiB with room to spare."""


class DocumentPart(AboutPurchase):
    """One of the numbered parts of a document. Subclasses say on which stream."""

    document: Document
    request_version: Number
    part: Number
    data: str
    """Base64 of at most 384 KiB."""
