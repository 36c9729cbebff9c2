from decimal import Decimal, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.rating.money import (
    over_months,
    parse_decimal,
    rated,
    require_amount,
    rounded,
    shared_out,
    total,
)


@pytest.mark.parametrize(
    ("amount", "cents"),
    [("0.005", "0.01"), ("0.0049999", "0.00"), ("2.675", "2.68"), ("1.015", "1.02"), ("-0.005", "-0.01")],
)
def test_half_a_cent_is_rounded_away_from_zero(amount: str, cents: str) -> None:
    assert rounded(Decimal(amount)) == Decimal(cents)


def test_the_largest_quantity_at_the_largest_price_stays_exact_in_a_narrow_context() -> None:
    largest = Decimal("999999999999.999999")
    with localcontext() as context:
        context.prec = 6
        assert str(rated(largest, largest)) == "999999999999999998000000.00"
        assert str(total([Decimal("9999999.99")] * 3)) == "29999999.97"
        assert str(over_months(Decimal("12345678.90"), 24, 1)) == "296296293.60"
    assert getcontext().prec == 28


@pytest.mark.parametrize("text", ["0", "12.5", "007", "999999999999.999999", "0.000001"])
def test_a_plain_decimal_number_is_read_as_written(text: str) -> None:
    assert parse_decimal(text, decimals=6) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1", "must not be negative"),
        ("-0", "must not be negative"),
        ("NaN", "must be a finite number"),
        ("sNaN", "must be a finite number"),
        ("Infinity", "must be a finite number"),
        ("inf", "must be a finite number"),
        ("1e999999999", "must be written without an exponent"),
        ("1E+3", "must be written without an exponent"),
        ("1,000.50", "must have a point before its decimals and no thousands separators"),
        ("1 000", "must have a point before its decimals and no thousands separators"),
        ("1.000.000", "must have a point before its decimals and no thousands separators"),
        ("12,5", "must have a point before its decimals and no thousands separators"),
        ("1_000", "must have a point before its decimals and no thousands separators"),
        ("", "must be a decimal number such as 12.50"),
        (".5", "must be a decimal number such as 12.50"),
        ("+5", "must be a decimal number such as 12.50"),
        (" 5", "must be a decimal number such as 12.50"),
        ("5\n", "must be a decimal number such as 12.50"),
        ("٣", "must be a decimal number such as 12.50"),
        ("1.0000001", "must have at most 6 decimals"),
        ("1000000000000", "must have at most 12 digits before the point"),
        (1, "must be a string with a decimal number"),
        (1.5, "must be a string with a decimal number"),
        (None, "must be a string with a decimal number"),
    ],
)
def test_anything_else_than_a_plain_decimal_number_is_refused_with_its_reason(
    text: object, reason: str
) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        parse_decimal(text, decimals=6)
    assert str(caught.value) == reason


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-0.01", "1E+12", "0.001", "1E+999999"])
def test_a_number_that_could_not_have_been_read_is_refused_as_an_amount(number: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        require_amount(Decimal(number), decimals=2)


def test_the_cents_left_over_go_to_the_largest_remainders() -> None:
    assert shared_out(Decimal("1.00"), {"a": 1, "b": 1, "c": 1}) == {
        "a": Decimal("0.34"),
        "b": Decimal("0.33"),
        "c": Decimal("0.33"),
    }
    assert shared_out(Decimal("0.05"), {"a": 10, "b": 25, "c": 15}) == {
        "a": Decimal("0.01"),
        "b": Decimal("0.03"),
        "c": Decimal("0.01"),
    }


@given(
    cents=st.integers(0, 10**12),
    weights=st.dictionaries(st.integers(), st.integers(1, 10_000), min_size=1, max_size=20),
)
def test_sharing_out_loses_no_cent_and_is_never_a_cent_off(cents: int, weights: dict[int, int]) -> None:
    amount = Decimal(cents).scaleb(-2)
    shares = shared_out(amount, weights)
    assert sum(shares.values()) == amount
    for key, share in shares.items():
        assert abs(int(share * 100) * sum(weights.values()) - cents * weights[key]) < sum(weights.values())


def test_nothing_can_be_shared_among_nobody() -> None:
    with pytest.raises(ValueError, match="positive weights"):
        shared_out(Decimal(1), {})
