"""A tariff: the prices that one reply offers."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from linepool.rating.money import EXACT


class Per(StrEnum):
    """What a fixed price is charged for: each line, each buyer, or the group once."""

    LINE = "line"
    BUYER = "buyer"
    GROUP = "group"


class TaxBasis(StrEnum):
    """Whether prices and charges contain tax."""

    NET = "net"
    GROSS = "gross"


@dataclass(frozen=True, slots=True)
class Recurring:
    """A price per month (unit MON), in whole cents."""

    per: Per
    price: Decimal


@dataclass(frozen=True, slots=True)
class OneTime:
    """A price charged once in the term, in whole cents."""

    per: Per
    price: Decimal


@dataclass(frozen=True, slots=True)
class Tier:
    """From this volume per month on, the price that then holds."""

    from_volume: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class UsagePrice:
    """A price per unit of one service.

    `tiers` rise by volume. The volume that decides is the whole group's of this service per month, and the
    price of the highest tier reached applies to all of it, from the first unit on; below the first tier
    `price` applies.
    """

    service: str
    unit: str
    price: Decimal
    tiers: tuple[Tier, ...] = ()

    def price_at(self, volume: Decimal, *, months: int) -> Decimal:
        """Return the price per unit when the group uses `volume` units in `months` months."""
        price = self.price
        for tier in self.tiers:
            if EXACT.multiply(tier.from_volume, Decimal(months)) > volume:
                break
            price = tier.price
        return price


Component = Recurring | OneTime | UsagePrice


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices in one currency (ISO 4217) that hold for `contract_months`; a service has one usage price."""

    name: str
    currency: str
    tax_basis: TaxBasis
    contract_months: int
    components: tuple[Component, ...]

    @property
    def usage_prices(self) -> dict[str, UsagePrice]:
        """The usage prices by service code."""
        return {part.service: part for part in self.components if isinstance(part, UsagePrice)}
