"""What a cell means: numbers, dates and months. Whatever has two meanings is refused, with the option that decides.

Numbers may have thousands separators (a space, an apostrophe, or whichever of comma and point is not the decimal sign) in
groups of three, and a currency before or behind them. `1.234` is 1234 in Berlin and 1.234 in London.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from linepool.rating.money import INTEGER_DIGITS
from linepool.tables.cells import Cell, shown
from shared.messages.currencies import TWO_DECIMALS

DecimalSign = Literal["auto", "comma", "point"]
DateOrder = Literal["iso", "dmy", "mdy", "ymd"]

YEARS = range(2000, 2100)
"""A month is in one of these years; others are slips of the pen."""

CURRENCY_SIGNS: Mapping[str, frozenset[str]] = {
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP", "EGP", "GIP", "SDG", "SSP", "SYP"}),
    "$": frozenset(
        {"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "COP", "BRL", "BSD", "BBD", "BZD"}
    ),
    "US$": frozenset({"USD"}),
    "R$": frozenset({"BRL"}),
    "Fr.": frozenset({"CHF"}),
    "SFr.": frozenset({"CHF"}),
    "zł": frozenset({"PLN"}),
    "Kč": frozenset({"CZK"}),
    "kr": frozenset({"SEK", "NOK", "DKK"}),
    "kr.": frozenset({"SEK", "NOK", "DKK"}),
    "₹": frozenset({"INR"}),
    "₺": frozenset({"TRY"}),
}

_SPACES = " \u00a0\u202f\u2009"
_GROUPED = r"(?P<whole>[1-9][0-9]{0,2}(?P<between>[ '’%s])[0-9]{3}(?:(?P=between)[0-9]{3})*|[0-9]+)"
_NUMBER = {
    "point": re.compile(_GROUPED % "," + r"(?:\.(?P<decimals>[0-9]+))?", re.ASCII),
    "comma": re.compile(_GROUPED % "." + r"(?:,(?P<decimals>[0-9]+))?", re.ASCII),
}
_DIGITS = re.compile(r"[0-9](?:.*[0-9])?", re.ASCII | re.DOTALL)
_EXPONENT = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?[eE][-+]?[0-9]+", re.ASCII)
_ORDERS = {
    "dmy": (re.compile(r"(?P<d>[0-9]{1,2})([./-])(?P<m>[0-9]{1,2})\2(?P<y>[0-9]{4})", re.ASCII), "31.12.2026"),
    "mdy": (re.compile(r"(?P<m>[0-9]{1,2})([./-])(?P<d>[0-9]{1,2})\2(?P<y>[0-9]{4})", re.ASCII), "12/31/2026"),
    "ymd": (re.compile(r"(?P<y>[0-9]{4})([./-])(?P<m>[0-9]{1,2})\2(?P<d>[0-9]{1,2})", re.ASCII), "2026/12/31"),
}  # fmt: skip
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MONTH = re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})|(?P<m2>[0-9]{1,2})[./](?P<y2>[0-9]{4})", re.ASCII)


class UnfitError(ValueError):
    """A cell does not hold what its column needs; the text completes the sentence "<column> ..."."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """How a file writes what can be written in several ways; the options of the command line have the same names."""

    decimal: DecimalSign = "auto"
    dates: DateOrder = "iso"
    currency: str | None = None
    """Of the purchase, by ISO 4217. Without it no cell may name a currency, because nobody could check it."""


def number_of(cell: Cell, conventions: Conventions, *, decimals: int, money: bool = False) -> Decimal:
    """Return the number in a cell: not negative, with at most 12 digits before and `decimals` after the decimal sign.

    Raises:
        UnfitError: it is no such number, has two readings, or is money in another currency.
    """
    require_kind(cell, "a number")
    before, digits, after = _around_digits(cell)
    if "-" in before or "−" in before or before.startswith("(") or after.startswith(("-", "−")):
        raise UnfitError("must not be negative")
    mark = "" if cell.kind == "number" else before or after
    if (before and after and cell.kind != "number") or (mark and not _is_currency(mark)):
        raise UnfitError(f"must be a number such as 12.50, not {shown(cell.text)}")
    for one in filter(None, (mark, cell.mark)):
        if not money:
            raise UnfitError("is a quantity and names a currency")
        _check_currency(one, conventions.currency)
    value = Decimal(digits) if cell.kind == "number" else _read(digits, conventions.decimal)
    return _bounded(value, decimals)


def date_of(cell: Cell, conventions: Conventions) -> date:
    """Return the date in a cell.

    Raises:
        UnfitError: it is not written in ISO 8601, nor in the order that the conventions name.
    """
    require_kind(cell, "a date", also="date")
    if cell.kind == "number":
        raise UnfitError("is a number without a date's format")
    parts = None
    if _ISO.fullmatch(cell.text):
        parts = [int(part) for part in cell.text.split("-")]
    elif conventions.dates != "iso":
        found = _ORDERS[conventions.dates][0].fullmatch(cell.text)
        parts = None if found is None else [int(found[name]) for name in "ymd"]
    if parts is not None:
        try:
            return date(*parts)
        except ValueError:
            raise UnfitError(f"is no day of the calendar: {shown(cell.text)}") from None
    if conventions.dates != "iso":
        raise UnfitError(f"must be a date as 2026-12-31 or {_ORDERS[conventions.dates][1]}")
    other = any(pattern.fullmatch(cell.text) for pattern, _ in _ORDERS.values())
    hint = "; say --dates dmy, mdy or ymd for other orders" if other else ""
    raise UnfitError(f"must be a date as YYYY-MM-DD{hint}")


def month_of(cell: Cell) -> date:
    """Return the first day of the month in a cell: 2026-01, 01/2026, 01.2026, or a date that is the first of a month.

    Raises:
        UnfitError: it is no month.
    """
    require_kind(cell, "a month", also="date")
    text = cell.text.removesuffix("-01") if cell.kind == "date" or _ISO.fullmatch(cell.text) else cell.text
    found = _MONTH.fullmatch(text)
    if found is not None and cell.kind != "number":
        year, month = int(found["y"] or found["y2"]), int(found["m"] or found["m2"])
        if year in YEARS and month in range(1, 13):
            return date(year, month, 1)
    raise UnfitError("must be a month as YYYY-MM")


def text_of(cell: Cell) -> str:
    """Return the text in a cell.

    Raises:
        UnfitError: the spreadsheet made something else of it, or lost a part of it.
    """
    require_kind(cell, "a text")
    if cell.kind == "text" and _EXPONENT.fullmatch(cell.text):
        raise UnfitError(
            f"is {shown(cell.text)}, in which a spreadsheet has lost digits; format the column as text"
        )
    return cell.text


def require_kind(cell: Cell, what: str, also: str = "text") -> None:
    """Refuse a cell that is no text, no number and not of the `also` kind.

    Raises:
        UnfitError: with what it is instead.
    """
    if cell.kind == "unfit":
        raise UnfitError(cell.text)
    if cell.kind == "date" and also != "date":
        raise UnfitError(
            f"is a date in the spreadsheet ({cell.text}), must be {what}; format the cell as text"
        )


def _around_digits(cell: Cell) -> tuple[str, str, str]:
    found = _DIGITS.search(cell.text)
    if found is None:
        raise UnfitError(f"must be a number such as 12.50, not {shown(cell.text)}")
    if _EXPONENT.fullmatch(cell.text):
        raise UnfitError("must be written without an exponent")
    before, after = cell.text[: found.start()].strip(), cell.text[found.end() :].strip()
    return before, found[0], after


def _is_currency(mark: str) -> bool:
    return mark in CURRENCY_SIGNS or mark in TWO_DECIMALS


def _check_currency(mark: str, currency: str | None) -> None:
    if currency is None:
        raise UnfitError(f"names a currency ({shown(mark)}); say --currency, so that it can be checked")
    if currency not in CURRENCY_SIGNS.get(mark, {mark}):
        raise UnfitError(f"is in {shown(mark)}, not in {currency}")


def _read(digits: str, sign: DecimalSign) -> Decimal:
    plain = "".join(" " if char in _SPACES else char for char in digits)
    readings = {
        name: Decimal(re.sub(r"[^0-9]", "", found["whole"]) + f".{found['decimals'] or ''}")
        for name, pattern in _NUMBER.items()
        if (found := pattern.fullmatch(plain)) is not None
    }
    if sign != "auto":
        if sign not in readings:
            raise UnfitError(f"must be a number with a decimal {sign}, not {shown(digits)}")
        return readings[sign]
    if not readings:
        raise UnfitError(f"must be a number such as 12.50, not {shown(digits)}")
    if len(set(readings.values())) > 1:
        raise UnfitError(
            f"has two readings: {shown(digits)} is {readings['comma']} with --decimal comma and "
            f"{readings['point']} with --decimal point; say which"
        )
    return next(iter(readings.values()))


def _bounded(value: Decimal, decimals: int) -> Decimal:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or sign:
        raise UnfitError("must not be negative")
    if value and value.adjusted() >= INTEGER_DIGITS:
        raise UnfitError(f"must have at most {INTEGER_DIGITS} digits before the decimal sign")
    superfluous = max(0, -exponent - decimals)
    if any(digits[len(digits) - superfluous :] if superfluous <= len(digits) else digits):
        raise UnfitError(f"must have at most {decimals} decimals")
    kept = min(max(0, -exponent), decimals)
    return Decimal(f"{value:.{kept}f}")
