"""The billed charges of a public data set are an independent answer to check rating against."""

from collections import Counter
from decimal import ROUND_HALF_DOWN, Decimal
from uuid import UUID

import pytest

from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import UsageLine
from linepool.rating.money import CENT, rated, total
from linepool.rating.tariff import Tariff, TaxBasis, UsagePrice
from linepool.usage.public import BILLED_PRICES, public_lines


@pytest.fixture(scope="module")
def lines() -> tuple[UsageLine, ...]:
    return public_lines()


def test_rating_to_the_cent_gives_19944_of_20000_billed_amounts(lines: tuple[UsageLine, ...]) -> None:
    equal = [
        rated(used.quantity, BILLED_PRICES[used.service]) == used.charged
        for line in lines
        for used in line.services
    ]
    assert len(equal) == 20_000
    assert sum(equal) == 19_944


def test_every_other_amount_is_a_night_charge_whose_half_cent_was_dropped(
    lines: tuple[UsageLine, ...],
) -> None:
    services: Counter[str] = Counter()
    for line in lines:
        for used in line.services:
            exact = used.quantity * BILLED_PRICES[used.service]
            if rated(used.quantity, BILLED_PRICES[used.service]) != used.charged:
                services[used.service] += 1
                assert exact * 1000 % 10 == 5
                assert exact.quantize(CENT, ROUND_HALF_DOWN) == used.charged
    assert services == {"voice.night": 56}


def test_the_totals_are_those_of_the_data_set(lines: tuple[UsageLine, ...]) -> None:
    assert total(line.charged for line in lines) == Decimal("297464.59")
    assert total(
        rated(used.quantity, BILLED_PRICES[used.service]) for line in lines for used in line.services
    ) == Decimal("297465.15")


def test_binary_floats_miss_285_billed_amounts(lines: tuple[UsageLine, ...]) -> None:
    missed = sum(
        round(float(used.quantity) * float(BILLED_PRICES[used.service]), 2) != float(used.charged)
        for line in lines
        for used in line.services
    )
    assert missed == 285


def test_a_reply_with_the_billed_prices_costs_56_half_cents_more_than_was_charged(
    lines: tuple[UsageLine, ...],
) -> None:
    billed = Tariff(
        name="as billed",
        currency="USD",
        tax_basis=TaxBasis.NET,
        contract_months=1,
        components=tuple(UsagePrice(service, "MIN", price) for service, price in BILLED_PRICES.items()),
    )
    comparison = evaluate(
        lines,
        [Reply(UUID(int=1), 0, billed)],
        currency="USD",
        tax_basis=TaxBasis.NET,
        period_months=1,
    )
    evaluation = comparison.evaluations[0]
    assert comparison.charged_in_period == Decimal("297464.59")
    assert evaluation.term_total == evaluation.period_total == Decimal("297465.15")
    assert evaluation.saving == Decimal("-0.56")
    assert {part.subject: part.period_total for part in evaluation.components} == {
        "voice.day": Decimal("153248.34"),
        "voice.evening": Decimal("85271.61"),
        "voice.night": Decimal("45089.22"),
        "voice.international": Decimal("13855.98"),
    }
