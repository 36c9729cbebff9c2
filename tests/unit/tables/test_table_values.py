import re
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linepool.tables.cells import Cell
from linepool.tables.values import Conventions, UnfitError, date_of, month_of, number_of, text_of

AUTO = Conventions()
COMMA = Conventions(decimal="comma")
POINT = Conventions(decimal="point")


def read(text: str, conventions: Conventions = AUTO, decimals: int = 6) -> Decimal:
    return number_of(Cell(text), conventions, decimals=decimals, money=True)


def refusal(text: str, conventions: Conventions = AUTO, decimals: int = 6) -> str:
    with pytest.raises(UnfitError) as caught:
        read(text, conventions, decimals)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("12", "12"),
        ("12.50", "12.50"),
        ("12,50", "12.50"),
        ("1.234,5", "1234.5"),
        ("1,234.5", "1234.5"),
        ("1 234,56", "1234.56"),
        ("1\u00a0234,56", "1234.56"),
        ("1\u202f234.56", "1234.56"),
        ("1'234'567.89", "1234567.89"),
        ("1’234.5", "1234.5"),
        ("1.234.567", "1234567"),
        ("0.123", "0.123"),
        ("0,123", "0.123"),
        ("1234.567", "1234.567"),
        ("007", "7"),
    ],
)
def test_a_number_with_one_reading_is_read(text: str, value: str) -> None:
    assert read(text) == Decimal(value)


@pytest.mark.parametrize("text", ["1.234", "1,234", "12,345", "999.000"])
def test_a_number_with_two_readings_is_refused_and_the_option_named(text: str) -> None:
    said = refusal(text)
    assert "--decimal comma" in said
    assert "--decimal point" in said
    assert read(text, COMMA) != read(text, POINT)


@pytest.mark.parametrize(
    ("text", "conventions"),
    [("12.50", COMMA), ("12,50", POINT), ("1,234.5", COMMA), ("1.234,5", POINT), ("1.23.456", POINT)],
)
def test_a_number_in_the_other_convention_is_refused(text: str, conventions: Conventions) -> None:
    assert f"decimal {conventions.decimal}" in refusal(text, conventions)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "-",
            "abc",
            ",50",
            "12.",
            "12,",
            "1e5",
            "1,2E+05",
            "1 23",
            "1,23,456",
            "12%",
            "12:30",
            "½",
            "１２",
        ),
        *(
            "1_000",
            "+5",
            "--5",
            "1..2",
            "1'234,567.8",
            "0x10",
            "12 34",
            "nan",
            "€",
            "1.234.56",
            "01.234.567",
            "12.-",
        ),
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("text", ["-1", "−1,50", "(12.50)", "12.50-", "-€ 3"])
def test_a_negative_number_is_refused(text: str) -> None:
    assert refusal(text) == "must not be negative"


def test_a_number_has_so_many_digits_at_most() -> None:
    assert read("123456789012.50", decimals=2) == Decimal("123456789012.50")
    assert "12 digits" in refusal("1234567890123")
    assert "2 decimals" in refusal("1.2345", decimals=2)
    assert read("1.2300", decimals=2) == Decimal("1.23")
    assert "2 decimals" in refusal("0.001", POINT, decimals=2)
    assert read("0.000", POINT, decimals=2) == 0


@pytest.mark.parametrize("text", ["€ 12,50", "12.50 €", "EUR 12,50", "12,50EUR"])
def test_a_currency_is_taken_where_it_is_the_purchases(text: str) -> None:
    assert read(text, Conventions(currency="EUR")) == Decimal("12.50")
    assert "--currency" in refusal(text)
    assert "not in CHF" in refusal(text, Conventions(currency="CHF"))


def test_a_quantity_has_no_currency() -> None:
    with pytest.raises(UnfitError, match="quantity"):
        number_of(Cell("5 €"), Conventions(currency="EUR"), decimals=6)


def test_a_spreadsheets_number_is_read_with_its_point_whatever_the_files_decimal_sign() -> None:
    cell = Cell("1.234", "number")
    assert number_of(cell, COMMA, decimals=6) == Decimal("1.234")
    assert number_of(cell, AUTO, decimals=6) == Decimal("1.234")
    with pytest.raises(UnfitError, match="not in EUR"):
        number_of(Cell("5", "number", "$"), Conventions(currency="EUR"), decimals=2, money=True)
    with pytest.raises(UnfitError, match="negative"):
        number_of(Cell("-5", "number"), AUTO, decimals=2)
    with pytest.raises(UnfitError, match="is a date in the spreadsheet"):
        number_of(Cell("2026-05-03", "date"), AUTO, decimals=2)


def in_groups(digits: str, separator: str) -> str:
    return re.sub(r"(?<=[0-9])(?=(?:[0-9]{3})+$)", separator, digits)


@given(
    st.decimals(min_value=0, max_value=10**12 - 1, places=None, allow_nan=False).map(
        lambda value: Decimal(f"{value:.6f}")
    ),
    st.integers(0, 6),
    st.sampled_from([("comma", ","), ("point", ".")]),
    st.sampled_from(["", " ", "\u00a0", "\u202f", "'", "’", "other"]),
)
def test_a_number_is_read_as_it_was_written_or_refused(
    number: Decimal, places: int, sign: tuple[Literal["comma", "point"], str], between: str
) -> None:
    value = Decimal(f"{number:.{places}f}")
    whole, _, decimals = f"{value:.{places}f}".partition(".")
    separator = {"other": "." if sign[1] == "," else ","}.get(between, between)
    written = in_groups(whole, separator) + (sign[1] + decimals if decimals else "")
    assert read(written, Conventions(decimal=sign[0])) == value
    try:
        assert read(written) == value
    except UnfitError as error:
        assert "two readings" in str(error)  # noqa: PT017 - the only reason there may be


@given(st.text(alphabet="0123456789.,'  €$E+-()", max_size=12))
@example("1.234")
def test_no_digit_is_lost_or_made_up(text: str) -> None:
    try:
        value = read(text, Conventions(currency="EUR"), decimals=6)
    except UnfitError:
        return
    assert re.sub(r"[^0-9]", "", text).strip("0") == re.sub(r"[^0-9]", "", f"{value:f}").strip("0")


@given(st.text(max_size=30))
def test_any_text_is_understood_or_refused(text: str) -> None:
    cell = Cell(text.strip())
    for understand in (
        lambda: read(text),
        lambda: date_of(cell, AUTO),
        lambda: month_of(cell),
        lambda: text_of(cell),
    ):
        with suppress(UnfitError):
            understand()


def test_dates_are_iso_or_in_the_order_that_is_said() -> None:
    new_year = date(2026, 12, 31)
    assert date_of(Cell("2026-12-31"), AUTO) == new_year
    assert date_of(Cell("2026-12-31", "date"), AUTO) == new_year
    for order, text in (
        ("dmy", "31.12.2026"),
        ("mdy", "12/31/2026"),
        ("ymd", "2026/12/31"),
        ("dmy", "2026-12-31"),
    ):
        assert date_of(Cell(text), Conventions(dates=order)) == new_year  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "order", "reason"),
    [
        ("31.12.2026", "iso", "--dates"),
        ("01/02/2026", "iso", "--dates"),
        ("2026-02-30", "iso", "no day of the calendar"),
        ("12/31/2026", "dmy", "no day of the calendar"),
        ("31.12.26", "dmy", "2026-12-31 or 31.12.2026"),
        ("31.12/2026", "dmy", "2026-12-31 or 31.12.2026"),
        ("2027W011", "iso", "YYYY-MM-DD"),
        ("soon", "iso", "YYYY-MM-DD"),
    ],
)
def test_other_dates_are_refused(text: str, order: Literal["iso", "dmy"], reason: str) -> None:
    with pytest.raises(UnfitError, match=re.escape(reason)):
        date_of(Cell(text), Conventions(dates=order))


def test_a_number_that_should_be_a_date_is_refused() -> None:
    with pytest.raises(UnfitError, match="without a date's format"):
        date_of(Cell("46000", "number"), AUTO)


@pytest.mark.parametrize("text", ["2026-03", "03/2026", "3.2026", "2026-03-01"])
def test_a_month_is_read(text: str) -> None:
    assert month_of(Cell(text)) == date(2026, 3, 1)


@pytest.mark.parametrize("text", ["2026-13", "2026-03-15", "March", "2026", "9999-12", "0000-01", "00/2026"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(UnfitError, match="YYYY-MM"):
        month_of(Cell(text))


def test_an_id_that_a_spreadsheet_shortened_is_refused() -> None:
    for text in ("8.94910E+18", "8,9491E+18", "1e5"):
        with pytest.raises(UnfitError, match="lost digits"):
            text_of(Cell(text))
    assert text_of(Cell("1E-line")) == "1E-line"
