"""Tables in XLSX: values as the spreadsheet shows them, whatever it lost or never computed refused.

Formulas are never evaluated: what the program that saved the file computed is taken. Sizes are bounded before anything is
unpacked, XML is read by defusedxml, and nothing outside the file is opened.
"""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from itertools import repeat, zip_longest
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import openpyxl
from openpyxl.styles.numbers import BUILTIN_FORMATS_MAX_SIZE

from linepool.tables.cells import EMPTY, MAXIMUM_COLUMNS, MAXIMUM_ROWS, Cell, Row, Table, TableError, shown
from linepool.tables.columns import HEADER_WITHIN, Canonical, above_header, is_header
from linepool.tables.roworder import check_row_order
from linepool.tables.values import CURRENCY_SIGNS
from shared.messages.currencies import TWO_DECIMALS

UNPACKED_BYTES = 256 * 1024 * 1024
PARTS = 2000
CELLS = 5_000_000
"""A sheet has at most so many cells, empty ones between others counted."""
SHEET_ROWS = 1_048_576
EXACT = 10**15
"""A spreadsheet's number holds 15 digits; those of a longer one are lost."""
CHUNK = 1024 * 1024
LONGEST_TAG = 64

_FORMULA_TAG = re.compile(rb"<(?:[\w.-]{1,50}:)?f[\s/>]")
_NOT_COMPUTED = Cell(
    "has a formula whose result is not in the file; open and save it in a spreadsheet program", "unfit"
)
_SIGN_IN_FORMAT = re.compile(r'\[\$([^\]-]+)(?:-[^\]]*)?\]|"([^"]+)"|([€£$])')


class _SheetCell(Protocol):
    value: Any
    data_type: str
    number_format: str | None


def workbook_table(
    file: str, content: bytes, sheet_name: str | None, canonical: Canonical, required: str
) -> Table:
    """Read a sheet: the named one, or the only visible one that has anything in it.

    Raises:
        TableError: the file is no XLSX, or too large, or it is not plain which sheet is meant.
    """
    _check_size(content)
    if not openpyxl.DEFUSEDXML:
        raise TableError("is not read without defusedxml")
    try:
        with warnings.catch_warnings():
            # What a spreadsheet program adds of its own is passed over without a word.
            warnings.simplefilter("ignore")
            sheet, rows = _rows_of(content, sheet_name)
    except TableError:
        raise
    except Exception as error:
        # Whatever a broken or hostile file leads to inside the library, it is one thing to its sender.
        raise TableError(f"is no XLSX file that can be read ({type(error).__name__})") from error
    at = next((at for at, row in enumerate(rows[:HEADER_WITHIN]) if is_header(row, canonical, required)), 0)
    width = max(len(row.cells) for row in rows[at:])
    padded = [Row(row.number, row.cells + (EMPTY,) * (width - len(row.cells))) for row in rows[at:]]
    return Table(file, sheet, padded[0], padded[1:], above_header(at))


def _check_size(content: bytes) -> None:
    try:
        with ZipFile(BytesIO(content)) as archive:
            parts = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError, OSError):
        raise TableError("is no XLSX file, or a part of it is missing") from None
    if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED_BYTES:
        raise TableError("unpacks to more than a table can hold")


def _rows_of(content: bytes, sheet_name: str | None) -> tuple[str, list[Row]]:
    computed = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
    # Only in a second reading are formulas seen that nobody has computed; it takes as long as the first.
    written = (
        openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=False, keep_links=False)
        if _may_have_formulas(content)
        else computed
    )
    with closing(computed), closing(written):
        found: dict[str, list[Row]] = {}
        for sheet in computed.worksheets:
            if sheet.title == sheet_name or (sheet_name is None and sheet.sheet_state == "visible"):
                check_row_order(content, sheet)
                rows = list(_filled_rows(sheet, None if written is computed else written[sheet.title]))
                if rows:
                    found[sheet.title] = rows
        names = ", ".join(shown(sheet.title) for sheet in computed.worksheets[:20])
    if sheet_name is not None and sheet_name not in found:
        raise TableError(f"has no sheet {shown(sheet_name)} with anything in it; it has {names}")
    if len(found) > 1:
        raise TableError(f"has several sheets ({', '.join(map(shown, found))}); say --sheet")
    if not found:
        raise TableError("has nothing in its visible sheets")
    return next(iter(found.items()))


def _may_have_formulas(content: bytes) -> bool:
    with ZipFile(BytesIO(content)) as archive:
        for part in archive.infolist():
            with archive.open(part) as opened:
                before = opened.read(1)
                if part.filename.endswith(".xml") and before != b"<":
                    # In another encoding than ASCII's relatives a formula's tag looks otherwise.
                    return True
                while chunk := opened.read(CHUNK):
                    if _FORMULA_TAG.search(before + chunk):
                        return True
                    before = chunk[-LONGEST_TAG:]
    return False


def _filled_rows(computed: Any, written: Any | None) -> Iterator[Row]:
    """Give the rows that are not empty. Both are the same sheet: with what was computed, and with the formulas."""
    marks: dict[str | None, str | None] = {}
    cells_seen = rows_seen = 0
    for sheet in filter(None, (computed, written)):
        # What a sheet says of its own size is often wrong, and may be the largest possible.
        sheet.reset_dimensions()
    formulas: Iterator[Sequence[_SheetCell]] = repeat(()) if written is None else written.iter_rows()
    for number, (row, formula_row) in enumerate(zip(computed.iter_rows(), formulas, strict=False), 1):
        cells_seen += len(row)
        if number > SHEET_ROWS or cells_seen > CELLS:
            raise TableError("has more cells than a table can have", sheet=computed.title)
        cells = [_cell(cell, formula, marks) for cell, formula in zip_longest(row, formula_row)]
        while cells and not cells[-1].text:
            del cells[-1]
        if not cells:
            continue
        rows_seen += 1
        if rows_seen > MAXIMUM_ROWS + HEADER_WITHIN:
            raise TableError(f"has more than {MAXIMUM_ROWS} rows", sheet=computed.title)
        if len(cells) > MAXIMUM_COLUMNS:
            raise TableError(f"has more than {MAXIMUM_COLUMNS} columns", line=number, sheet=computed.title)
        yield Row(number, tuple(cells))


def _cell(cell: _SheetCell, formula: _SheetCell | None, marks: dict[str | None, str | None]) -> Cell:
    value = cell.value
    if value is None:
        never_computed = formula is not None and formula.data_type == "f"
        return _NOT_COMPUTED if never_computed else EMPTY
    if cell.data_type == "e":
        return Cell(f"has the error {shown(str(value))}", "unfit")
    if isinstance(value, str):
        return Cell(value.strip())
    if isinstance(value, bool):
        return Cell(f"is {str(value).upper()}, must be a text or a number", "unfit")
    return _number(value, cell, marks) if isinstance(value, int | float) else _date(value)


def _date(value: Any) -> Cell:
    midnight = isinstance(value, datetime) and value.time() == time.min
    if midnight or (isinstance(value, date) and not isinstance(value, datetime)):
        return Cell(f"{value:%Y-%m-%d}", "date")
    return Cell("is a time of day or a duration, must be a text, a number or a date", "unfit")


def _number(value: float, cell: _SheetCell, marks: dict[str | None, str | None]) -> Cell:
    if not math.isfinite(value) or abs(value) >= EXACT:
        return Cell(
            "is a number of more than 15 digits, of which a spreadsheet loses some; format it as text",
            "unfit",
        )
    number_format = cell.number_format
    if number_format not in marks:
        marks[number_format] = _mark_of(cell)
    mark = marks[number_format]
    if mark is None:
        return Cell("is a percentage in the spreadsheet, must be a number", "unfit")
    # So many digits a spreadsheet shows: 0.1 + 0.2 is 0.3 there, and 0.30000000000000004 in the file.
    text = str(value) if isinstance(value, int) else format(Decimal(format(value, ".15g")), "f")
    return Cell("0" if text == "-0" else text, "number", mark)


def _mark_of(cell: Any) -> str | None:
    """Return the currency that a cell's number format shows, None for a percentage."""
    number_format = cell.number_format or ""
    if "%" in number_format:
        return None
    if cell.style_array.numFmtId < BUILTIN_FORMATS_MAX_SIZE:
        # What a built-in format shows is the reader's own currency, not the writer's.
        return ""
    for bracketed, quoted, bare in _SIGN_IN_FORMAT.findall(number_format):
        mark = bracketed or quoted.strip() or bare
        if bracketed or mark in CURRENCY_SIGNS or mark in TWO_DECIMALS:
            return str(mark).strip()
    return ""
