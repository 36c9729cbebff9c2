"""Reading a filled-in price sheet, which anybody may have made: every error names its cell and says why.

Formulas are never evaluated, sizes are bounded before anything is unpacked, and XML is read by defusedxml.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Protocol
from zipfile import BadZipFile, ZipFile

import openpyxl
from openpyxl.utils import get_column_letter
from pydantic import TypeAdapter, ValidationError

from linepool.provider.errors import Problem, SheetError
from linepool.provider.request import RequestContent
from linepool.provider.sheet import (
    BILLING_ROW,
    EXACT_DIGITS,
    FACTS,
    FIXED,
    FIXED_ROW,
    MORE_TIERS,
    NAME_ROW,
    PRICE,
    PRICES,
    USAGE_ROW,
    VALUE,
    facts_of,
    services_of,
)
from linepool.rating.money import MONEY_DECIMALS, PRICE_DECIMALS, QUANTITY_DECIMALS, parse_decimal
from linepool.tables.cells import TableError
from linepool.tables.roworder import check_row_order
from shared.messages.base import Name, Text
from shared.messages.providers import Offer

FILE_BYTES = 2 * 1024 * 1024
UNPACKED_BYTES = 30 * 1024 * 1024
PARTS = 100
"""So many files at most are packed into the sheet."""
COLUMNS = PRICE + 2 * MORE_TIERS
LONG = "must be written as text, because a spreadsheet's number holds only 15 digits"


class _Cell(Protocol):
    value: Any
    data_type: str
    number_format: str


class _UnfitError(ValueError):
    """A cell's content is not what it must be; the text completes the sentence `<cell> ...`."""


def read_sheet(file: Path, content: RequestContent) -> Offer:
    """Return the offer that a price sheet of this request holds.

    Raises:
        SheetError: every cell at fault with its reason, or why the file is no such sheet.
    """
    reading = _Reading(_cells(file, USAGE_ROW + len(services_of(content))))
    reading.check_request(content)
    components = [*reading.fixed(), *reading.usage(content)]
    offer = {
        "name": reading.text(NAME_ROW, Name),
        "currency": content.currency,
        "tax_basis": content.tax_basis,
        "contract_months": content.contract_months,
        "components": components,
        "billing": reading.text(BILLING_ROW, Text),
    }
    if reading.problems:
        raise SheetError(reading.problems)
    try:
        return Offer.model_validate(offer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise SheetError([Problem("", f"the offer is not complete: {first['msg']}")]) from error


class _Reading:
    """One pass over the sheet's cells; what is wrong is collected, so that all of it is told at once."""

    def __init__(self, cells: dict[tuple[int, int], _Cell]) -> None:
        self.cells = cells
        self.problems: list[Problem] = []

    def check_request(self, content: RequestContent) -> None:
        for number, (label, wanted) in enumerate(facts_of(content)):
            self.locked(FACTS + number, VALUE, wanted, f"{label} of this request")

    def locked(self, row: int, column: int, wanted: str, what: str) -> None:
        cell = self.cells.get((row, column))
        found = "" if cell is None or cell.value is None else str(cell.value)
        if found != wanted:
            self.say(row, column, f"must be {wanted}, the {what}; locked cells must stay as they are")

    def text(self, row: int, kind: Any) -> str:
        with self.at(row, VALUE):
            cell = self.cells.get((row, VALUE))
            if cell is None or cell.value is None or not str(cell.value).strip():
                raise _UnfitError("must be filled in")
            if cell.data_type != "s":
                raise _UnfitError("must be a text" + (", not a formula" if cell.data_type == "f" else ""))
            try:
                return str(TypeAdapter(Annotated[str, kind]).validate_python(cell.value.strip()))
            except ValidationError as error:
                raise _UnfitError(f"is not acceptable: {error.errors(include_url=False)[0]['msg']}") from None
        return ""

    def fixed(self) -> Iterator[dict[str, Any]]:
        for number, (kind, per, label) in enumerate(FIXED):
            self.locked(FIXED_ROW + number, 1, label, "kind of price")
            price = self.number(FIXED_ROW + number, PRICE, MONEY_DECIMALS)
            if price is not None:
                yield {"kind": kind, "per": per, "price": price}

    def usage(self, content: RequestContent) -> Iterator[dict[str, Any]]:
        for number, (service, unit, _) in enumerate(services_of(content)):
            row = USAGE_ROW + number
            self.locked(row, 1, service, "service")
            self.locked(row, 2, unit, "unit")
            price = self.number(row, PRICE, PRICE_DECIMALS)
            tiers = self.tiers(row)
            if price is None:
                if not self.has_problem(row, PRICE):
                    self.say(row, PRICE, f"must have a price: {service} must be priced")
            elif tiers:
                first = {"from_volume": Decimal(0), "price": price}
                yield {"kind": "usage", "service": service, "unit": unit, "tiers": [first, *tiers]}
            else:
                yield {"kind": "usage", "service": service, "unit": unit, "price": price}

    def tiers(self, row: int) -> list[dict[str, Decimal]]:
        tiers: list[dict[str, Decimal]] = []
        reached, ended = Decimal(0), False
        for column in range(PRICE + 1, COLUMNS, 2):
            volume = self.number(row, column, QUANTITY_DECIMALS)
            price = self.number(row, column + 1, PRICE_DECIMALS)
            if volume is None and price is None:
                ended = True
                continue
            if ended:
                self.say(row, column, "must follow the tier before without a gap")
            if volume is None or price is None:
                empty = column if volume is None else column + 1
                if not self.has_problem(row, empty):
                    self.say(row, empty, "must be filled in: a tier has a volume and a price")
                continue
            if volume <= reached:
                self.say(row, column, "must be above zero and above the volume of the tier before")
            reached = max(reached, volume)
            tiers.append({"from_volume": volume, "price": price})
        return tiers

    def number(self, row: int, column: int, decimals: int) -> Decimal | None:
        with self.at(row, column):
            cell = self.cells.get((row, column))
            return None if cell is None else _decimal(cell, decimals)
        return None

    @contextmanager
    def at(self, row: int, column: int) -> Iterator[None]:
        try:
            yield
        except _UnfitError as error:
            self.say(row, column, str(error))

    def say(self, row: int, column: int, reason: str) -> None:
        self.problems.append(Problem(f"{PRICES}!{get_column_letter(column)}{row}", reason))

    def has_problem(self, row: int, column: int) -> bool:
        place = f"{PRICES}!{get_column_letter(column)}{row}"
        return any(problem.cell == place for problem in self.problems)


def _decimal(cell: _Cell, decimals: int) -> Decimal | None:
    value = cell.value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if cell.data_type == "f":
        raise _UnfitError("must be a number, not a formula")
    if cell.data_type == "e":
        raise _UnfitError("holds an error instead of a number")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _UnfitError("must be a number")
    if "%" in (cell.number_format or ""):
        raise _UnfitError("is formatted as a percentage; write the price itself")
    try:
        return parse_decimal(_spelled(value), decimals=decimals)
    except ValueError as error:
        raise _UnfitError(str(error)) from None


def _spelled(value: str | float) -> str:
    """Write a number as it was typed: the shortest decimal that is this binary number."""
    if isinstance(value, str):
        return value.strip()
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise _UnfitError("must be a finite number")
    plain = format(number, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    if len(plain.strip("-").replace(".", "").strip("0")) > EXACT_DIGITS:
        raise _UnfitError(LONG)
    return plain


def _cells(file: Path, rows: int) -> dict[tuple[int, int], _Cell]:
    """Return the sheet's cells by row and column, up to the last row that means something."""
    packed = _bounded(file)
    if not openpyxl.DEFUSEDXML:
        raise SheetError([Problem("", "sheets are not read without defusedxml")])
    try:
        with warnings.catch_warnings():
            # What a spreadsheet program adds of its own is passed over without a word.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(packed, read_only=True, data_only=False, keep_links=False)
            sheet = book[PRICES]
            check_row_order(packed.getvalue(), sheet)
            sheet.reset_dimensions()
            return {
                (row, column): cell
                for row, cells in enumerate(sheet.iter_rows(max_row=rows, max_col=COLUMNS), 1)
                for column, cell in enumerate(cells, 1)
            }
    except KeyError:
        raise SheetError(
            [Problem("", f"has no sheet {PRICES!r}, or parts of the file are missing")]
        ) from None
    except TableError as error:
        raise SheetError([Problem("", error.reason)]) from None
    except Exception as error:
        # Whatever a broken or hostile file leads to inside the library, it is one thing to its sender.
        raise SheetError(
            [Problem("", f"is no XLSX file that can be read ({type(error).__name__})")]
        ) from error


def _bounded(file: Path) -> BytesIO:
    try:
        with file.open("rb") as opened:
            packed = BytesIO(opened.read(FILE_BYTES + 1))
    except OSError as error:
        raise SheetError([Problem("", f"{file} cannot be read: {error.strerror}")]) from error
    if len(packed.getvalue()) > FILE_BYTES:
        raise SheetError([Problem("", f"the file has more than {FILE_BYTES} bytes")])
    try:
        with ZipFile(packed) as opened_sheet:
            parts = opened_sheet.infolist()
    except (BadZipFile, ValueError, NotImplementedError):
        raise SheetError([Problem("", f"{file} is no XLSX file")]) from None
    if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED_BYTES:
        raise SheetError([Problem("", "the file unpacks to more than a price sheet can hold")])
    if any(re.search(r"vba|macro", part.filename, re.IGNORECASE) for part in parts):
        raise SheetError([Problem("", "the file holds macros; save it as .xlsx")])
    packed.seek(0)
    return packed
