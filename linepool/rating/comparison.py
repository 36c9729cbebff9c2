"""The comparison of all replies, as plain values that JSON can carry and a hash can pin.

All amounts are money in the comparison's currency and tax basis, exact to the cent. Savings are positive
where the new price is lower; a negative saving is money that the buyer would pay more.
"""

from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from uuid import UUID

from shared.canonical import digest


@dataclass(frozen=True, slots=True)
class BuyerResult:
    """One buyer under one reply, over the term unless said otherwise.

    `alone_total` is the same tariff for this buyer as a group of one; `gain_from_group` is that minus
    `term_total`. `exit_fees` are in no total; `saving_after_exit_fees` deducts them.
    """

    buyer_id: UUID
    line_count: int
    term_total: Decimal
    period_total: Decimal
    one_time_total: Decimal
    charged_over_term: Decimal
    saving: Decimal
    exit_fees: Decimal
    saving_after_exit_fees: Decimal
    alone_total: Decimal
    gain_from_group: Decimal


@dataclass(frozen=True, slots=True)
class WorstOff:
    """The buyer that pays most above what it was charged, and how much over the term."""

    buyer_id: UUID
    pays_more: Decimal


@dataclass(frozen=True, slots=True)
class ComponentTotal:
    """What one component of the tariff comes to for all buyers, at the price that the group reaches.

    `kind` is recurring, one_time or usage; `subject` is line, buyer or group, or the service's code.
    """

    kind: str
    subject: str
    unit_price: Decimal
    period_total: Decimal
    term_total: Decimal


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The total over the term, and the rank among the replies, at another level of usage."""

    usage_percent: int
    term_total: Decimal
    rank: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One reply on the group's usage. Totals are over the term (`contract_months`) unless said otherwise.

    `period_total` is for the reported period without one-time prices. `charged_over_term` is what the buyers
    would go on paying now, recurring included. `buyers_paying_more` are those with a negative `saving`.
    """

    rank: int
    reply_id: UUID
    tariff_name: str
    contract_months: int
    term_total: Decimal
    period_total: Decimal
    one_time_total: Decimal
    charged_over_term: Decimal
    saving: Decimal
    exit_fees: Decimal
    saving_after_exit_fees: Decimal
    alone_total: Decimal
    gain_from_group: Decimal
    buyers_paying_more: tuple[UUID, ...]
    worst_off: WorstOff | None
    sensitivity: tuple[Sensitivity, ...]
    components: tuple[ComponentTotal, ...]
    buyers: tuple[BuyerResult, ...]


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """A reply that cannot be compared, and every reason as a sentence without its subject."""

    reply_id: UUID
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All replies on the same usage: the evaluated by rank, then the others by id."""

    currency: str
    tax_basis: str
    period_months: int
    line_count: int
    buyer_count: int
    charged_in_period: Decimal
    evaluations: tuple[Evaluation, ...]
    not_evaluated: tuple[NotEvaluated, ...]

    def to_json(self) -> dict[str, object]:
        """Return the comparison as JSON objects, lists, strings and integers; decimals and ids as strings."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def sha256(self) -> str:
        """Return the SHA-256, in hexadecimal, of the canonical JSON of this comparison."""
        return digest(self.to_json())


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value
