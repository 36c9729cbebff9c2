"""What the demonstration's providers offer: invented tariffs, as replies carry them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from linepool.demo.offers import CONTRACT_MONTHS, invented_tariffs
from linepool.rating import tariff as tariffs
from linepool.rating.lines import UsageLine
from linepool.rating.money import ZERO, rounded
from shared.messages.providers import Offer, OneTimePrice, RecurringPrice, Tier, UsagePrice

PRICED_SERVICES = frozenset({"voice.day", "voice.evening", "voice.night", "voice.international"})
"""What the tariffs made for the public data set price."""
_PRICE = Decimal("0.0001")


def invented_offers(
    lines: Sequence[UsageLine], *, currency: str, tax_basis: str, number: int
) -> tuple[Offer, ...]:
    """Return as many offers as asked for: three kinds of tariff, and from the fourth on the same ones a little dearer.

    Where the usage is of other services than the public data set's, prices follow from what the lines were charged per unit.
    """
    basis = tariffs.TaxBasis(tax_basis)
    units = {use.service: use.unit for line in lines for use in line.services}
    if units.keys() <= PRICED_SERVICES and set(units.values()) <= {"MIN"}:
        kinds: Sequence[tariffs.Tariff] = invented_tariffs(currency, basis)
    else:
        kinds = _tariffs_for(lines, units, currency, basis)
    return tuple(_offer(_dearer(kinds[place % 3], place // 3)) for place in range(number))


def revised(offer: Offer) -> Offer:
    """Return the same offer at lower prices, as a provider might send it when it is too late."""
    components = tuple(
        part.model_copy(update={"price": (part.price * Decimal("0.9")).quantize(_PRICE)})
        if isinstance(part, UsagePrice) and part.price is not None
        else part
        for part in offer.components
    )
    return offer.model_copy(update={"name": f"{offer.name}, revised", "components": components})


def _tariffs_for(
    lines: Sequence[UsageLine], units: Mapping[str, str], currency: str, basis: tariffs.TaxBasis
) -> tuple[tariffs.Tariff, ...]:
    now: dict[str, Decimal] = {}
    volume: dict[str, Decimal] = {}
    for service in units:
        used = [use for line in lines for use in line.services if use.service == service]
        volume[service] = sum((use.quantity for use in used), Decimal(0))
        charged = sum((use.charged for use in used), ZERO)
        now[service] = charged / volume[service] if volume[service] else Decimal("0.10")
    charge_per_line = sum((line.charged for line in lines), ZERO) / len(lines)

    def priced(part: str) -> tuple[tariffs.UsagePrice, ...]:
        return tuple(
            tariffs.UsagePrice(service, unit, (now[service] * Decimal(part)).quantize(_PRICE))
            for service, unit in units.items()
        )

    tiered = tuple(
        replace(
            price,
            tiers=(
                tariffs.Tier(
                    (volume[price.service] / 2).quantize(Decimal(1)),
                    (now[price.service] * Decimal("0.8")).quantize(_PRICE),
                ),
            ),
        )
        if volume[price.service] >= 2  # noqa: PLR2004 # half of it must be more than nothing
        else price
        for price in priced("1.05")
    )
    line_fee = tariffs.Recurring(tariffs.Per.LINE, rounded(charge_per_line * Decimal("0.5")))
    kinds: dict[str, tuple[tariffs.Component, ...]] = {
        "Invented offer: one price for each service": priced("0.92"),
        "Invented offer: low prices with a line fee": (line_fee, *priced("0.45")),
        "Invented offer: prices by the group's volume": tiered,
    }
    return tuple(
        tariffs.Tariff(name, currency, basis, CONTRACT_MONTHS, components)
        for name, components in kinds.items()
    )


def _dearer(tariff: tariffs.Tariff, steps: int) -> tariffs.Tariff:
    if not steps:
        return tariff
    factor = 1 + Decimal("0.03") * steps

    def raised(part: tariffs.Component) -> tariffs.Component:
        if not isinstance(part, tariffs.UsagePrice):
            return replace(part, price=rounded(part.price * factor))
        tiers = tuple(replace(tier, price=(tier.price * factor).quantize(_PRICE)) for tier in part.tiers)
        return replace(part, price=(part.price * factor).quantize(_PRICE), tiers=tiers)

    components = tuple(raised(part) for part in tariff.components)
    return replace(tariff, name=f"{tariff.name} ({steps + 1})", components=components)


def _offer(tariff: tariffs.Tariff) -> Offer:
    return Offer(
        name=tariff.name,
        currency=tariff.currency,
        tax_basis=tariff.tax_basis.value,
        contract_months=tariff.contract_months,
        components=tuple(_component(part) for part in tariff.components),
        billing="Invented answer: every member is billed as it prefers.",
    )


def _component(part: tariffs.Component) -> RecurringPrice | OneTimePrice | UsagePrice:
    match part:
        case tariffs.Recurring():
            return RecurringPrice(kind="recurring", per=part.per.value, price=part.price)
        case tariffs.OneTime():
            return OneTimePrice(kind="one_time", per=part.per.value, price=part.price)
        case tariffs.UsagePrice(tiers=()):
            return UsagePrice(kind="usage", service=part.service, unit=part.unit, price=part.price)
        case tariffs.UsagePrice():
            first = Tier(from_volume=Decimal(0), price=part.price)
            rising = [Tier(from_volume=tier.from_volume, price=tier.price) for tier in part.tiers]
            return UsagePrice(kind="usage", service=part.service, unit=part.unit, tiers=(first, *rising))
