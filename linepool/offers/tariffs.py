"""An offer as it is rated."""

from linepool.rating.tariff import OneTime, Per, Recurring, Tariff, TaxBasis, Tier, UsagePrice
from shared.messages.providers import Offer, OneTimePrice, RecurringPrice

TAX_BASES = {"net": TaxBasis.NET, "gross": TaxBasis.GROSS}


def tariff_of(offer: Offer) -> Tariff:
    """Return the offer as it is rated. Its tiers begin at volume 0: the first is the price below all others."""
    components: list[Recurring | OneTime | UsagePrice] = []
    for part in offer.components:
        if isinstance(part, RecurringPrice):
            components.append(Recurring(Per(part.per), part.price))
        elif isinstance(part, OneTimePrice):
            components.append(OneTime(Per(part.per), part.price))
        else:
            price = part.tiers[0].price if part.price is None else part.price
            tiers = tuple(Tier(tier.from_volume, tier.price) for tier in part.tiers[1:])
            components.append(UsagePrice(part.service, part.unit, price, tiers))
    return Tariff(
        offer.name, offer.currency, TAX_BASES[offer.tax_basis], offer.contract_months, tuple(components)
    )
