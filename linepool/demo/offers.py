"""Invented tariffs for the demonstration: no provider has offered them, and their names say so.

Their prices are chosen for usage like the public data set's, so that what is learned from comparing them is
worth a look: the lowest price per minute need not be the cheapest offer, an offer that saves money for the
group may cost some of its buyers more, and a tariff can be good in the group and poor for a buyer alone. What
they come to is always computed.
"""

from decimal import Decimal

from linepool.rating.tariff import OneTime, Per, Recurring, Tariff, TaxBasis, Tier, UsagePrice

CONTRACT_MONTHS = 24


def invented_tariffs(currency: str, tax_basis: TaxBasis) -> tuple[Tariff, Tariff, Tariff]:
    """Return a flat tariff, one with a low minute price and a line fee, and one tiered by the group's volume.

    They price voice.day, voice.evening, voice.night and voice.international in MIN for 24 months.
    """
    return (
        flat_minutes(currency, tax_basis),
        low_minutes_with_line_fee(currency, tax_basis),
        tiered_by_group_volume(currency, tax_basis),
    )


def flat_minutes(currency: str, tax_basis: TaxBasis) -> Tariff:
    """Return one price for every minute at any time, and nothing else."""
    minute = Decimal("0.093")
    return Tariff(
        name="Invented offer: every minute at one price",
        currency=currency,
        tax_basis=tax_basis,
        contract_months=CONTRACT_MONTHS,
        components=(
            UsagePrice("voice.day", "MIN", minute),
            UsagePrice("voice.evening", "MIN", minute),
            UsagePrice("voice.night", "MIN", minute),
            UsagePrice("voice.international", "MIN", minute),
        ),
    )


def low_minutes_with_line_fee(currency: str, tax_basis: TaxBasis) -> Tariff:
    """Return the lowest price per minute of the three, paid for with a fee for each line and month."""
    minute = Decimal("0.042")
    return Tariff(
        name="Invented offer: low minute price with a line fee",
        currency=currency,
        tax_basis=tax_basis,
        contract_months=CONTRACT_MONTHS,
        components=(
            Recurring(Per.LINE, Decimal("31.00")),
            OneTime(Per.LINE, Decimal("9.00")),
            UsagePrice("voice.day", "MIN", minute),
            UsagePrice("voice.evening", "MIN", minute),
            UsagePrice("voice.night", "MIN", minute),
            UsagePrice("voice.international", "MIN", Decimal("0.080")),
        ),
    )


def tiered_by_group_volume(currency: str, tax_basis: TaxBasis) -> Tariff:
    """Return prices that fall with the whole group's minutes per month, with one fee for the group."""
    return Tariff(
        name="Invented offer: prices by the group's volume",
        currency=currency,
        tax_basis=tax_basis,
        contract_months=CONTRACT_MONTHS,
        components=(
            Recurring(Per.GROUP, Decimal("450.00")),
            OneTime(Per.GROUP, Decimal("2500.00")),
            _tiered("voice.day", "0.180", "0.155", "0.130"),
            _tiered("voice.evening", "0.095", "0.085", "0.075"),
            _tiered("voice.night", "0.060", "0.050", "0.045"),
            UsagePrice(
                "voice.international",
                "MIN",
                Decimal("0.280"),
                (Tier(Decimal(5000), Decimal("0.240")), Tier(Decimal(40000), Decimal("0.200"))),
            ),
        ),
    )


def _tiered(service: str, price: str, from_100_000: str, from_750_000: str) -> UsagePrice:
    tiers = Tier(Decimal(100_000), Decimal(from_100_000)), Tier(Decimal(750_000), Decimal(from_750_000))
    return UsagePrice(service, "MIN", Decimal(price), tiers)
