"""The demonstration's story holds on the public data set: every figure of it is computed here."""

import time
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from linepool.demo.offers import (
    flat_minutes,
    invented_tariffs,
    low_minutes_with_line_fee,
    tiered_by_group_volume,
)
from linepool.rating.comparison import Comparison, Evaluation
from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import UsageLine
from linepool.rating.tariff import Tariff, TaxBasis
from linepool.usage.public import public_lines
from linepool.usage.spread import spread


def compare(lines: tuple[UsageLine, ...]) -> Comparison:
    replies = [
        Reply(UUID(int=index), index, tariff)
        for index, tariff in enumerate(invented_tariffs("USD", TaxBasis.NET), start=1)
    ]
    return evaluate(lines, replies, currency="USD", tax_basis=TaxBasis.NET, period_months=1)


@pytest.fixture(scope="module")
def lines() -> tuple[UsageLine, ...]:
    return spread(public_lines(), [UUID(int=number) for number in range(1, 41)])


@pytest.fixture(scope="module")
def comparison(lines: tuple[UsageLine, ...]) -> Comparison:
    return compare(lines)


def result_of(comparison: Comparison, tariff: Tariff) -> Evaluation:
    return next(found for found in comparison.evaluations if found.tariff_name == tariff.name)


def test_the_lowest_minute_price_is_not_the_cheapest_offer(comparison: Comparison) -> None:
    low = result_of(comparison, low_minutes_with_line_fee("USD", TaxBasis.NET))
    low_prices = {part.subject: part.unit_price for part in low.components if part.kind == "usage"}
    others = [found for found in comparison.evaluations if found is not low]
    for other in others:
        for part in other.components:
            if part.kind == "usage":
                assert low_prices[part.subject] < part.unit_price
    assert all(other.term_total < low.term_total for other in others)


def test_the_low_minute_price_saves_for_the_group_and_costs_some_buyers_more(comparison: Comparison) -> None:
    low = result_of(comparison, low_minutes_with_line_fee("USD", TaxBasis.NET))
    assert low.saving > 0
    assert 0 < len(low.buyers_paying_more) < len(low.buyers)
    assert low.worst_off is not None
    assert low.worst_off.pays_more > 1000


def test_the_tiered_offer_wins_in_the_group_and_costs_clearly_more_alone(comparison: Comparison) -> None:
    tiered = result_of(comparison, tiered_by_group_volume("USD", TaxBasis.NET))
    assert tiered.rank == 1
    assert tiered.saving > 0
    assert tiered.alone_total > tiered.term_total * Decimal("1.2")
    assert tiered.alone_total > tiered.charged_over_term
    assert all(buyer.gain_from_group > 0 for buyer in tiered.buyers)


def test_the_flat_offer_costs_the_same_alone_and_in_the_group(comparison: Comparison) -> None:
    flat = result_of(comparison, flat_minutes("USD", TaxBasis.NET))
    assert flat.alone_total == flat.term_total


def test_the_offers_say_that_they_are_invented() -> None:
    for tariff in invented_tariffs("USD", TaxBasis.NET):
        assert tariff.name.startswith("Invented offer")


def test_twenty_thousand_lines_are_evaluated_in_well_under_a_worker_s_patience(
    lines: tuple[UsageLine, ...],
) -> None:
    many = tuple(replace(line, line_id=f"{line.line_id} {copy}") for copy in range(4) for line in lines)
    began = time.process_time()
    comparison = compare(many)
    assert time.process_time() - began < 12
    assert comparison.charged_in_period == 4 * Decimal("297464.59")
