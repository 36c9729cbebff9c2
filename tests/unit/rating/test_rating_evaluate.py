import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from linepool.rating.comparison import Comparison, Evaluation
from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import ServiceUsage, UsageError, UsageLine
from linepool.rating.tariff import Component, OneTime, Per, Recurring, Tariff, TaxBasis, Tier, UsagePrice
from shared.canonical import canonical_json

LIBRARY, TOWN = UUID(int=1), UUID(int=2)


def line(buyer: UUID, line_id: str, minutes: str, charged: str = "0", recurring: str = "0") -> UsageLine:
    used = ServiceUsage("voice.day", Decimal(minutes), "MIN", Decimal(charged))
    return UsageLine(buyer, line_id, (used,), Decimal(recurring))


LINES = (
    line(LIBRARY, "1", "100.3", "20.00", "5.00"),
    line(TOWN, "2", "900.5", "100.00", "5.00"),
    line(TOWN, "3", "0.5", "0.10", "5.00"),
)


def tariff(*components: Component, months: int = 24, currency: str = "EUR") -> Tariff:
    return Tariff("offer", currency, TaxBasis.NET, months, components)


def minutes(price: str, *tiers: tuple[int, str], unit: str = "MIN") -> UsagePrice:
    steps = tuple(Tier(Decimal(volume), Decimal(tier_price)) for volume, tier_price in tiers)
    return UsagePrice("voice.day", unit, Decimal(price), steps)


def compare(
    tariffs: Sequence[Tariff],
    lines: Sequence[UsageLine] = LINES,
    *,
    period_months: int = 1,
    starts_on: date | None = None,
) -> Comparison:
    return evaluate(
        lines,
        [Reply(UUID(int=100 + index), index, offered) for index, offered in enumerate(tariffs)],
        currency="EUR",
        tax_basis=TaxBasis.NET,
        period_months=period_months,
        starts_on=starts_on,
    )


def only(tariff: Tariff, lines: Sequence[UsageLine] = LINES, *, period_months: int = 1) -> Evaluation:
    [evaluation] = compare([tariff], lines, period_months=period_months).evaluations
    return evaluation


def test_every_line_is_rounded_by_itself() -> None:
    # 100.3, 900.5 and 0.5 minutes at 0.05: 5.015, 45.025 and 0.025, each a half cent up; their sum is 50.065.
    result = only(tariff(minutes("0.05"), months=1))
    assert result.period_total == Decimal("50.08")


def test_the_term_is_the_period_repeated_and_one_time_prices_stand_in_it_once() -> None:
    result = only(
        tariff(minutes("0.10"), Recurring(Per.LINE, Decimal("2.00")), OneTime(Per.BUYER, Decimal("7.50"))),
        period_months=3,
    )
    # 10.03 + 90.05 + 0.05 in three months, 3 lines x 3 months x 2.00; 24 months are 8 such periods.
    assert result.period_total == Decimal("118.13")
    assert result.one_time_total == Decimal("15.00")
    assert result.term_total == 8 * Decimal("118.13") + 15
    # 135.10 was charged in the three months, recurring included.
    assert result.charged_over_term == 8 * Decimal("135.10")
    assert result.saving == result.charged_over_term - result.term_total


def test_a_term_that_is_no_multiple_of_the_period_is_rounded_once_per_buyer_and_component() -> None:
    result = only(tariff(minutes("0.10"), months=2), period_months=3)
    assert [buyer.term_total for buyer in result.buyers] == [Decimal("6.69"), Decimal("60.07")]
    assert result.term_total == Decimal("66.76")


def test_a_price_for_the_group_is_shared_by_lines_in_the_group_and_borne_whole_alone() -> None:
    result = only(tariff(minutes("0"), OneTime(Per.GROUP, Decimal("100.00"))))
    assert [buyer.term_total for buyer in result.buyers] == [Decimal("33.33"), Decimal("66.67")]
    assert [buyer.alone_total for buyer in result.buyers] == [Decimal("100.00"), Decimal("100.00")]
    assert result.gain_from_group == Decimal("100.00")


def test_the_tier_that_the_group_reaches_prices_all_of_its_volume() -> None:
    # The group uses 1001.3 minutes, the library alone 100.3 and the town alone 901.
    result = only(tariff(minutes("0.20", (500, "0.15"), (1001, "0.10")), months=1))
    assert result.components[0].unit_price == Decimal("0.10")
    assert [buyer.term_total for buyer in result.buyers] == [Decimal("10.03"), Decimal("90.10")]
    assert [buyer.alone_total for buyer in result.buyers] == [Decimal("20.06"), Decimal("135.16")]
    assert result.alone_total == Decimal("155.22")
    assert result.gain_from_group == Decimal("55.09")


@pytest.mark.parametrize(("volume", "price"), [("999.999999", "0.20"), ("1000", "0.10")])
def test_a_tier_begins_exactly_at_its_volume_per_month(volume: str, price: str) -> None:
    reached = tariff(minutes("0.20", (500, "0.10")))
    result = only(reached, [line(TOWN, "1", volume)], period_months=2)
    assert result.components[0].unit_price == Decimal(price)


def test_more_or_less_usage_is_rated_anew_with_the_tier_that_it_reaches() -> None:
    result = only(tariff(minutes("0.20", (1001, "0.10")), Recurring(Per.LINE, Decimal("1.00")), months=1))
    assert result.term_total == Decimal("103.13")
    # 80.24, 720.4 and 0.4 minutes miss the tier: 16.05 + 144.08 + 0.08; at 120 %: 12.04 + 108.06 + 0.06.
    assert [(level.usage_percent, level.term_total) for level in result.sensitivity] == [
        (80, Decimal("163.21")),
        (120, Decimal("123.16")),
    ]


def test_ranks_at_other_levels_of_usage_are_those_of_the_totals_there() -> None:
    fixed = tariff(minutes("0"), Recurring(Per.GROUP, Decimal("90.00")))
    by_minute = tariff(minutes("0.10"))
    comparison = compare([fixed, by_minute])
    ranks = {
        evaluation.reply_id.int: (evaluation.rank, *(level.rank for level in evaluation.sensitivity))
        for evaluation in comparison.evaluations
    }
    assert ranks == {100: (1, 2, 1), 101: (2, 1, 2)}


def test_buyers_who_pay_more_are_named_with_the_worst_off() -> None:
    result = only(tariff(Recurring(Per.BUYER, Decimal("80.00")), minutes("0.30"), months=1))
    # The library was charged 25.00 and pays 80.00 + 30.09; the town was charged 110.10 and pays 350.30.
    assert result.buyers_paying_more == (LIBRARY, TOWN)
    assert result.worst_off is not None
    assert (result.worst_off.buyer_id, result.worst_off.pays_more) == (TOWN, Decimal("240.20"))
    cheaper = only(tariff(Recurring(Per.BUYER, Decimal("40.00")), minutes("0"), months=1))
    assert cheaper.buyers_paying_more == (LIBRARY,)
    break_even = only(tariff(Recurring(Per.BUYER, Decimal("25.00")), minutes("0"), months=1))
    assert break_even.buyers[0].saving == 0
    assert break_even.buyers_paying_more == ()
    nobody = only(tariff(minutes("0"), months=1))
    assert nobody.buyers_paying_more == ()
    assert nobody.worst_off is None


def test_exit_fees_count_for_contracts_that_still_run_at_the_start_and_stay_out_of_the_total() -> None:
    starts_on = date(2027, 4, 1)
    lines = [
        replace(LINES[0], contract_end=date(2027, 4, 1), exit_fee=Decimal("30.00")),
        replace(LINES[1], contract_end=date(2027, 3, 31), exit_fee=Decimal("500.00")),
        replace(LINES[2], contract_end=None, exit_fee=Decimal("7.00")),
    ]
    [result] = compare([tariff(minutes("0"), months=1)], lines, starts_on=starts_on).evaluations
    assert [buyer.exit_fees for buyer in result.buyers] == [Decimal("30.00"), Decimal("7.00")]
    assert result.term_total == 0
    assert result.saving == Decimal("135.10")
    assert result.saving_after_exit_fees == Decimal("98.10")
    [unknown] = compare([tariff(minutes("0"), months=1)], lines).evaluations
    assert unknown.exit_fees == Decimal("537.00")


def test_the_lowest_total_ranks_first_and_equal_totals_by_append_time_then_reply_id() -> None:
    replies = [
        Reply(UUID(int=4), 50, tariff(minutes("0.10"))),
        Reply(UUID(int=3), 50, tariff(minutes("0.10"))),
        Reply(UUID(int=9), 40, tariff(minutes("0.10"))),
        Reply(UUID(int=7), 90, tariff(minutes("0.09"))),
    ]
    for given in (replies, replies[::-1]):
        comparison = evaluate(LINES, given, currency="EUR", tax_basis=TaxBasis.NET, period_months=1)
        assert [evaluation.reply_id.int for evaluation in comparison.evaluations] == [7, 9, 3, 4]
        assert [evaluation.rank for evaluation in comparison.evaluations] == [1, 2, 3, 4]


def test_replies_that_bind_for_different_terms_are_ranked_by_their_total_per_month() -> None:
    year = tariff(minutes("0.10"), months=12)
    three_years = tariff(minutes("0.09"), months=36)
    comparison = compare([year, three_years])
    assert [evaluation.contract_months for evaluation in comparison.evaluations] == [36, 12]
    assert comparison.evaluations[0].term_total > comparison.evaluations[1].term_total


def test_a_reply_that_cannot_be_compared_is_listed_with_every_reason() -> None:
    night = ServiceUsage("voice.night", Decimal(1), "MIN", Decimal(0))
    lines = [*LINES[1:], replace(LINES[0], services=(*LINES[0].services, night))]
    comparison = compare([tariff(minutes("0.10", unit="E34"), currency="USD")], lines)
    assert comparison.evaluations == ()
    [refused] = comparison.not_evaluated
    assert refused.reasons == (
        "is in USD, the purchase is in EUR",
        "prices voice.day per E34, the usage is in MIN",
        "does not price voice.night",
    )


def test_a_reply_on_another_tax_basis_is_not_ranked() -> None:
    included = replace(tariff(minutes("0.10")), tax_basis=TaxBasis.GROSS)
    [refused] = compare([included]).not_evaluated
    assert refused.reasons == ("is gross, the purchase is net",)


def test_a_service_that_nobody_used_needs_no_price() -> None:
    unused = ServiceUsage("voice.night", Decimal("0.00"), "MIN", Decimal(0))
    lines = [*LINES[1:], replace(LINES[0], services=(*LINES[0].services, unused))]
    assert len(compare([tariff(minutes("0.10"))], lines).evaluations) == 1


def test_usage_that_cannot_be_rated_is_refused() -> None:
    data = line(TOWN, "4", "5")
    in_bytes = replace(data, services=(ServiceUsage("voice.day", Decimal(5), "E34", Decimal(0)),))
    for lines, sentence in (
        ([], "there is no line to rate"),
        ([*LINES, LINES[0]], "given twice"),
        ([*LINES, in_bytes], "voice.day is counted in MIN and in E34"),
    ):
        with pytest.raises(UsageError, match=sentence):
            compare([tariff(minutes("0.10"))], lines)


@pytest.mark.parametrize(
    ("quantity", "charged", "sentence"),
    [
        ("-1", "0", "quantity must not be negative"),
        ("NaN", "0", "quantity must be a finite number"),
        ("1E+30", "0", "quantity must have at most"),
        ("1", "0.001", "charge must have at most"),
        ("1", "Infinity", "charge must be a finite number"),
    ],
)
def test_a_line_with_an_impossible_number_cannot_be_made(quantity: str, charged: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        line(TOWN, "1", quantity, charged)


def test_a_line_with_a_service_twice_or_a_bad_code_cannot_be_made() -> None:
    used = LINES[0].services[0]
    with pytest.raises(UsageError, match=r"voice.day twice"):
        replace(LINES[0], services=(used, used))
    for bad in (used._replace(service="Voice"), used._replace(unit="minutes")):
        with pytest.raises(UsageError, match="not well-formed"):
            replace(LINES[0], services=(bad,))
    for line_id in ("", " 1", "1\n", "x" * 65):
        with pytest.raises(UsageError, match="a line id must have"):
            replace(LINES[0], line_id=line_id)


def test_a_reply_given_twice_and_an_empty_period_are_mistakes_of_the_caller() -> None:
    reply = Reply(UUID(int=1), 0, tariff(minutes("0.10")))
    with pytest.raises(ValueError, match="given twice"):
        evaluate(LINES, [reply, reply], currency="EUR", tax_basis=TaxBasis.NET, period_months=1)
    with pytest.raises(ValueError, match="period_months"):
        compare([], period_months=0)


def test_the_comparison_as_json_has_only_strings_and_whole_numbers_and_one_hash() -> None:
    comparison = compare([tariff(minutes("0.10")), tariff(minutes("0.10"), currency="USD")])
    document = comparison.to_json()
    text = json.dumps(document)
    assert json.loads(text, parse_float=pytest.fail) == document
    [evaluation] = json.loads(text)["evaluations"]
    assert evaluation["term_total"] == "2403.12"
    assert evaluation["worst_off"] is None
    assert evaluation["buyers"][0]["buyer_id"] == str(LIBRARY)
    reversed_lines = compare([tariff(minutes("0.10")), tariff(minutes("0.10"), currency="USD")], LINES[::-1])
    assert reversed_lines.sha256() == comparison.sha256()
    dearer = compare([tariff(minutes("0.11")), tariff(minutes("0.10"), currency="USD")])
    assert dearer.sha256() != comparison.sha256()


def test_canonical_json_is_sorted_without_spaces_and_in_utf_8() -> None:
    assert canonical_json({"b": ["ü", 1], "a": {"d": None, "c": True}}) == (
        '{"a":{"c":true,"d":null},"b":["ü",1]}'.encode()
    )
