"""Rating: what a group is charged under one tariff.

The usage covers a reported period of `period_months`; a tariff binds for its `contract_months`, the term.

- Usage: every quantity of every line is priced and rounded to the cent by itself. The sum is the charge of
  the period. Over the term that charge repeats: charge x contract_months / period_months, rounded to the
  cent per buyer and component (nothing is rounded where the period divides the term).
- Recurring: price x months, per line, per buyer, or once for the group.
- One-time: once in the term; it is no part of the period's charge.

A price for the whole group is shared among the buyers by their numbers of lines, to the cent. Every total is
the sum of its buyers' amounts.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from linepool.rating.lines import BuyerUsage, GroupUsage
from linepool.rating.money import EXACT, ZERO, over_months, rated, shared_out, total
from linepool.rating.tariff import Component, Per, Recurring, Tariff, UsagePrice

AS_REPORTED = 100


class Charge(NamedTuple):
    """What one component comes to for one buyer: in the reported period, and over the term."""

    period: Decimal
    term: Decimal


Rating = Mapping[UUID, tuple[Charge, ...]]
"""Per buyer one charge for each component, in the order of the tariff."""


def rate(
    tariff: Tariff, buyers: Sequence[BuyerUsage], *, period_months: int, usage_percent: int = AS_REPORTED
) -> Rating:
    """Rate the buyers as one group: tiers by their common volume, prices for the group shared among them.

    `usage_percent` scales every quantity: 120 rates a fifth more usage than was reported. One buyer passed
    alone is rated as a group of one. Services without a price are left out; see `unpriced_usage`.
    """
    by_component = [
        _charges(part, buyers, tariff, period_months, usage_percent) for part in tariff.components
    ]
    return {buyer.buyer_id: tuple(charges[buyer.buyer_id] for charges in by_component) for buyer in buyers}


def unpriced_usage(tariff: Tariff, group: GroupUsage) -> tuple[str, ...]:
    """Return a sentence for each service in use that the tariff does not price, or prices in another unit."""
    prices = tariff.usage_prices
    sentences: list[str] = []
    for service, unit in group.units.items():
        if service not in prices:
            sentences.append(f"does not price {service}")
        elif prices[service].unit != unit:
            sentences.append(f"prices {service} per {prices[service].unit}, the usage is in {unit}")
    return tuple(sentences)


def group_price(
    price: UsagePrice, buyers: Sequence[BuyerUsage], *, period_months: int, usage_percent: int
) -> Decimal:
    """Return the price per unit that the buyers' common volume reaches."""
    volume = total(buyer.volumes.get(price.service, ZERO) for buyer in buyers)
    return price.price_at(_scaled(volume, usage_percent), months=period_months)


def _charges(
    component: Component, buyers: Sequence[BuyerUsage], tariff: Tariff, period_months: int, usage_percent: int
) -> dict[UUID, Charge]:
    if isinstance(component, UsagePrice):
        price = group_price(component, buyers, period_months=period_months, usage_percent=usage_percent)
        charges: dict[UUID, Charge] = {}
        for buyer in buyers:
            quantities = buyer.quantities.get(component.service, ())
            period = total(rated(_scaled(quantity, usage_percent), price) for quantity in quantities)
            charges[buyer.buyer_id] = Charge(
                period, over_months(period, tariff.contract_months, period_months)
            )
        return charges
    price_by_buyer = _fixed(component.per, component.price, buyers)
    if isinstance(component, Recurring):
        return {
            buyer_id: Charge(_times(price, period_months), _times(price, tariff.contract_months))
            for buyer_id, price in price_by_buyer.items()
        }
    return {buyer_id: Charge(ZERO, price) for buyer_id, price in price_by_buyer.items()}


def _fixed(per: Per, price: Decimal, buyers: Sequence[BuyerUsage]) -> dict[UUID, Decimal]:
    match per:
        case Per.LINE:
            return {buyer.buyer_id: _times(price, buyer.line_count) for buyer in buyers}
        case Per.BUYER:
            return {buyer.buyer_id: _times(price, 1) for buyer in buyers}
        case Per.GROUP:
            return shared_out(price, {buyer.buyer_id: buyer.line_count for buyer in buyers})


def _times(price: Decimal, count: int) -> Decimal:
    return EXACT.add(EXACT.multiply(price, Decimal(count)), ZERO)


def _scaled(quantity: Decimal, usage_percent: int) -> Decimal:
    if usage_percent == AS_REPORTED:
        return quantity
    return EXACT.multiply(quantity, Decimal(usage_percent).scaleb(-2, EXACT))
