"""Usage as it is rated: lines of buyers, and the same by buyer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from linepool.rating.money import EXACT, MONEY_DECIMALS, QUANTITY_DECIMALS, ZERO, require_amount, total

SERVICE_CODE = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*", re.ASCII)
UNIT_CODE = re.compile(r"[A-Z0-9]{2,3}", re.ASCII)
MAXIMUM_LINE_ID = 64


class UsageError(ValueError):
    """The usage cannot be rated: a line is invalid, given twice, or disagrees with the others."""


class ServiceUsage(NamedTuple):
    """What one line used of one service in the reported period, and was charged for it.

    `service` is a code such as `voice.day`; the set of codes is open. `unit` is a UN/ECE Rec 20 code (MIN,
    4L, E34). `quantity` counts units, `charged` is money of the usage charge alone.
    """

    service: str
    quantity: Decimal
    unit: str
    charged: Decimal


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One line of one buyer with its usage and charges of the whole reported period.

    `recurring_charged` is what was charged in that period whatever the usage. `contract_end` is the last day
    of the present contract, None when it is not known; `exit_fee` is due for leaving before it.

    Raises:
        UsageError: a code, quantity or amount is not acceptable, or a service stands twice.
    """

    buyer_id: UUID
    line_id: str
    services: tuple[ServiceUsage, ...]
    recurring_charged: Decimal = ZERO
    contract_end: date | None = None
    exit_fee: Decimal = ZERO

    def __post_init__(self) -> None:
        if not is_line_id(self.line_id):
            raise UsageError(f"a line id must have 1 to {MAXIMUM_LINE_ID} printable characters")
        seen: set[str] = set()
        for used in self.services:
            if SERVICE_CODE.fullmatch(used.service) is None or UNIT_CODE.fullmatch(used.unit) is None:
                raise UsageError(f"line {self.line_id} has a service or unit code that is not well-formed")
            if used.service in seen:
                raise UsageError(f"line {self.line_id} has the service {used.service} twice")
            seen.add(used.service)
            self._require(used.quantity, f"{used.service} quantity", QUANTITY_DECIMALS)
            self._require(used.charged, f"{used.service} charge", MONEY_DECIMALS)
        self._require(self.recurring_charged, "recurring charge", MONEY_DECIMALS)
        self._require(self.exit_fee, "exit fee", MONEY_DECIMALS)

    def _require(self, value: Decimal, field: str, decimals: int) -> None:
        try:
            require_amount(value, decimals=decimals)
        except ValueError as error:
            raise UsageError(f"line {self.line_id}: {field} {error}") from None

    @property
    def charged(self) -> Decimal:
        """What this line was charged in the period, recurring and usage."""
        return EXACT.add(self.recurring_charged, total(used.charged for used in self.services))


@dataclass(frozen=True, slots=True)
class BuyerUsage:
    """One buyer's lines, ready to be rated: `quantities` by service, one entry per line that used it."""

    buyer_id: UUID
    line_count: int
    quantities: Mapping[str, tuple[Decimal, ...]]
    volumes: Mapping[str, Decimal]
    charged: Decimal
    exit_fees: Decimal


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """The usage of all buyers, sorted by buyer id, and the unit of every service that was used at all."""

    buyers: tuple[BuyerUsage, ...]
    units: Mapping[str, str]


def is_line_id(text: str) -> bool:
    """Tell whether the text may identify a line: 1 to 64 printable characters, no space at either end."""
    return 0 < len(text) <= MAXIMUM_LINE_ID and text.isprintable() and text == text.strip()


def group_usage(lines: Iterable[UsageLine], *, starts_on: date | None) -> GroupUsage:
    """Collect lines by buyer; their order does not matter.

    An exit fee is counted when the present contract still runs on `starts_on`, the first day of the new one,
    and whenever either date is not known. A quantity of zero is no use of the service.

    Raises:
        UsageError: no line at all, a line given twice, or one service counted in two units.
    """
    by_buyer: dict[UUID, dict[str, UsageLine]] = {}
    units: dict[str, str] = {}
    for line in lines:
        lines_of_buyer = by_buyer.setdefault(line.buyer_id, {})
        if line.line_id in lines_of_buyer:
            raise UsageError(f"line {line.line_id} of buyer {line.buyer_id} is given twice")
        lines_of_buyer[line.line_id] = line
        for used in line.services:
            if used.quantity and units.setdefault(used.service, used.unit) != used.unit:
                raise UsageError(f"{used.service} is counted in {units[used.service]} and in {used.unit}")
    if not by_buyer:
        raise UsageError("there is no line to rate")
    buyers = (_buyer_usage(buyer_id, by_buyer[buyer_id].values(), starts_on) for buyer_id in sorted(by_buyer))
    return GroupUsage(tuple(buyers), dict(sorted(units.items())))


def _buyer_usage(buyer_id: UUID, lines: Iterable[UsageLine], starts_on: date | None) -> BuyerUsage:
    quantities: dict[str, list[Decimal]] = {}
    charged = exit_fees = ZERO
    line_count = 0
    for line in lines:
        line_count += 1
        charged = EXACT.add(charged, line.charged)
        if starts_on is None or line.contract_end is None or line.contract_end >= starts_on:
            exit_fees = EXACT.add(exit_fees, line.exit_fee)
        for used in line.services:
            if used.quantity:
                quantities.setdefault(used.service, []).append(used.quantity)
    return BuyerUsage(
        buyer_id=buyer_id,
        line_count=line_count,
        quantities={service: tuple(used) for service, used in quantities.items()},
        volumes={service: total(used) for service, used in quantities.items()},
        charged=charged,
        exit_fees=exit_fees,
    )
