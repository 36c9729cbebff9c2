"""What must hold for any usage and any tariff."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from linepool.rating.comparison import Evaluation
from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.rating.tariff import Component, OneTime, Per, Recurring, Tariff, TaxBasis, Tier, UsagePrice

SERVICES = ("voice.day", "voice.night")

quantities = st.decimals("0", "10000", places=3)
money = st.decimals("0", "500", places=2)
prices = st.decimals("0", "2", places=4)


@st.composite
def usage_lines(draw: st.DrawFn) -> list[UsageLine]:
    buyers = draw(st.lists(st.integers(1, 4), min_size=1, max_size=12))
    return [
        UsageLine(
            UUID(int=buyer),
            f"line {number}",
            tuple(ServiceUsage(service, draw(quantities), "MIN", draw(money)) for service in SERVICES),
            recurring_charged=draw(money),
            exit_fee=draw(money),
        )
        for number, buyer in enumerate(buyers)
    ]


@st.composite
def usage_prices(draw: st.DrawFn, service: str, *, tiered: bool) -> UsagePrice:
    falling = sorted(draw(st.lists(prices, min_size=1, max_size=4 if tiered else 1)), reverse=True)
    volumes = draw(
        st.lists(
            st.integers(1, 40_000).map(Decimal),
            min_size=len(falling) - 1,
            max_size=len(falling) - 1,
            unique=True,
        )
    )
    tiers = tuple(Tier(volume, price) for volume, price in zip(sorted(volumes), falling[1:], strict=True))
    return UsagePrice(service, "MIN", falling[0], tiers)


@st.composite
def tariffs(draw: st.DrawFn, *, tiered: bool = True) -> Tariff:
    fixed: st.SearchStrategy[Component] = st.one_of(
        st.builds(Recurring, st.sampled_from(Per), money), st.builds(OneTime, st.sampled_from(Per), money)
    )
    components = (
        *draw(st.lists(fixed, max_size=3)),
        *(draw(usage_prices(service, tiered=tiered)) for service in SERVICES),
    )
    return Tariff("any", "EUR", TaxBasis.NET, draw(st.integers(1, 36)), components)


def rated(lines: Sequence[UsageLine], tariff: Tariff, period_months: int = 1) -> Evaluation:
    [evaluation] = evaluate(
        lines,
        [Reply(UUID(int=1), 0, tariff)],
        currency="EUR",
        tax_basis=TaxBasis.NET,
        period_months=period_months,
    ).evaluations
    return evaluation


@given(lines=usage_lines(), tariff=tariffs(), period_months=st.integers(1, 12))
def test_the_total_is_the_sum_over_buyers_and_over_components(
    lines: list[UsageLine], tariff: Tariff, period_months: int
) -> None:
    result = rated(lines, tariff, period_months)
    assert sum(buyer.term_total for buyer in result.buyers) == result.term_total
    assert sum(part.term_total for part in result.components) == result.term_total
    assert sum(buyer.period_total for buyer in result.buyers) == result.period_total
    assert sum(part.period_total for part in result.components) == result.period_total
    assert sum(buyer.saving for buyer in result.buyers) == result.saving
    assert result.charged_over_term - result.term_total == result.saving
    assert sum(buyer.line_count for buyer in result.buyers) == len(lines)


@given(lines=usage_lines(), tariff=tariffs(), data=st.data())
def test_the_order_of_lines_does_not_matter(
    lines: list[UsageLine], tariff: Tariff, data: st.DataObject
) -> None:
    assert rated(data.draw(st.permutations(lines)), tariff) == rated(lines, tariff)


@given(lines=usage_lines(), tariff=tariffs(tiered=False))
def test_another_line_never_lowers_a_total_where_no_price_depends_on_volume(
    lines: list[UsageLine], tariff: Tariff
) -> None:
    if len(lines) > 1:
        assert rated(lines[:-1], tariff).term_total <= rated(lines, tariff).term_total


@given(lines=usage_lines(), tariff=tariffs())
def test_where_prices_fall_with_volume_nobody_pays_more_in_the_group_than_alone(
    lines: list[UsageLine], tariff: Tariff
) -> None:
    result = rated(lines, tariff)
    assert all(buyer.alone_total >= buyer.term_total for buyer in result.buyers)
    assert result.gain_from_group == result.alone_total - result.term_total >= 0


@given(lines=usage_lines(), tariff=tariffs())
def test_a_group_of_one_pays_what_it_pays_alone(lines: list[UsageLine], tariff: Tariff) -> None:
    result = rated([replace(line, buyer_id=UUID(int=1)) for line in lines], tariff)
    assert result.alone_total == result.term_total


@given(lines=usage_lines(), tariff=tariffs(), times=st.integers(2, 5))
def test_a_term_times_as_long_costs_times_as_much_but_for_one_time_prices(
    lines: list[UsageLine], tariff: Tariff, times: int
) -> None:
    once = rated(lines, tariff)
    longer = rated(lines, replace(tariff, contract_months=tariff.contract_months * times))
    assert longer.term_total - longer.one_time_total == times * (once.term_total - once.one_time_total)
    assert longer.one_time_total == once.one_time_total


@given(lines=usage_lines(), tariff=tariffs(tiered=False), times=st.integers(2, 4))
def test_the_same_lines_several_times_cost_several_times_the_usage(
    lines: list[UsageLine], tariff: Tariff, times: int
) -> None:
    copies = [replace(line, line_id=f"{line.line_id} {copy}") for copy in range(times) for line in lines]
    once, more = rated(lines, tariff), rated(copies, tariff)
    for part, part_of_more in zip(once.components, more.components, strict=True):
        if part.kind == "usage":
            assert part_of_more.period_total == times * part.period_total


@given(lines=usage_lines(), tariff=tariffs(tiered=False))
def test_a_fifth_more_usage_never_costs_less_than_a_fifth_less(
    lines: list[UsageLine], tariff: Tariff
) -> None:
    result = rated(lines, tariff)
    less, more = result.sensitivity
    assert less.term_total <= result.term_total <= more.term_total
