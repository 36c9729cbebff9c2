"""Tables in CSV as programs of many countries write it: several encodings and separators, found out or said."""

import codecs
import csv
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from linepool.tables.cells import MAXIMUM_COLUMNS, MAXIMUM_ROWS, Cell, Row, Table, TableError
from linepool.tables.columns import HEADER_WITHIN, Canonical, above_header, is_header

Encoding = Literal["utf-8", "utf-16", "windows-1252", "windows-1250", "iso-8859-15", "mac-roman"]
SeparatorName = Literal["comma", "semicolon", "tab"]
SEPARATORS: Mapping[SeparatorName, str] = {"comma": ",", "semicolon": ";", "tab": "\t"}

_BLANK = " \u00a0\u202f\u2009\t\u200b\ufeff"
_NULS_OF_UTF_16 = 0.3
_SEPARATOR_LINE = re.compile(r"sep=(.)(?:\r\n|\r|\n)", re.IGNORECASE)
# What no text has: control characters other than those that end lines and part columns.
_CONTROLS = frozenset(map(chr, (*range(9), 11, 12, *range(14, 32), *range(127, 160)))) - {"\x85"}


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """What is said about a file; None is found out."""

    encoding: Encoding | None = None
    separator: str | None = None


def csv_table(file: str, content: bytes, options: CsvOptions, canonical: Canonical, required: str) -> Table:
    """Read a CSV file; its header is the first row that names the `required` column, else the first row.

    Raises:
        TableError: the encoding, the separator or the quoting is broken, or there is too much of it.
    """
    text, note = _text_of(content, options.encoding)
    # Spreadsheets write the separator into a first line of its own; the numbers of lines count it.
    told = _SEPARATOR_LINE.match(text)
    below = text if told is None else text[told.end() :]
    separator = options.separator or (told[1] if told else _separator_of(below, canonical, required))
    rows = _rows(below, separator, lines_before=0 if told is None else 1)
    if not rows:
        raise TableError("is empty")
    at = next((at for at, row in enumerate(rows[:HEADER_WITHIN]) if is_header(row, canonical, required)), 0)
    header = _without_empty_end(rows[at], 0)
    below_header = [_without_empty_end(row, len(header.cells)) for row in rows[at + 1 :]]
    return Table(file, None, header, below_header, "; ".join(filter(None, (note, above_header(at)))))


def _without_empty_end(row: Row, width: int) -> Row:
    """Cut off empty cells beyond a width; what is too long or too short then is at fault."""
    cells = row.cells
    while len(cells) > width and not cells[-1].text:
        cells = cells[:-1]
    return Row(row.number, cells)


def _text_of(content: bytes, said: Encoding | None) -> tuple[str, str]:
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise TableError("is UTF-32; save it as UTF-8")
    if said is not None:
        return _decoded(content, said), ""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decoded(content, "utf-16"), ""
    nuls = content[:2000].count(0)
    if nuls > _NULS_OF_UTF_16 * len(content[:2000]):
        little = content[1:2000:2].count(0) > content[:2000:2].count(0)
        return _decoded(content, "utf-16-le" if little else "utf-16-be"), "read as UTF-16"
    try:
        return _without_controls(content.decode("utf-8")), ""
    except UnicodeDecodeError:
        return _decoded(content, "windows-1252"), "read as Windows-1252; if names look wrong, say --encoding"


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return _without_controls(content.decode(encoding))
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content.count(b"\n", 0, start) + 1
        raise TableError(f"is not text in {encoding.upper()}; say --encoding", line=line) from None


def _without_controls(text: str) -> str:
    for char in _CONTROLS.intersection(text):
        line = text.count("\n", 0, text.index(char)) + 1
        raise TableError("holds control characters, so it is no text or its encoding is another", line=line)
    return text.removeprefix("\ufeff")


def _separator_of(text: str, canonical: Canonical, required: str) -> str:
    """Return the separator by which the header is one; where none is, the one that its first line has most."""
    first_lines = "\n".join(text.splitlines()[: 2 * HEADER_WITHIN])
    fitting = [
        separator
        for separator in SEPARATORS.values()
        if any(is_header(row, canonical, required) for row in _try_rows(first_lines, separator))
    ]
    if len(fitting) == 1:
        return fitting[0]
    if len(fitting) > 1:
        widths = {
            separator: _header_width(first_lines, separator, canonical, required) for separator in fitting
        }
        best = [separator for separator in fitting if widths[separator] == max(widths.values())]
        if len(best) == 1:
            return best[0]
        if max(widths.values()) > 1:
            raise TableError("can be read with several separators; say --separator")
    line = next((line for line in text.splitlines() if line.strip(_BLANK)), "")
    return max(SEPARATORS.values(), key=line.count)


def _header_width(text: str, separator: str, canonical: Canonical, required: str) -> int:
    return max(len(row.cells) for row in _try_rows(text, separator) if is_header(row, canonical, required))


def _try_rows(text: str, separator: str) -> list[Row]:
    """Return the first rows as far as they can be read, without numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[Row] = []
    with suppress(csv.Error):
        rows.extend(Row(0, tuple(Cell(cell.strip(_BLANK)) for cell in cells)) for cells in reader)
    return rows[:HEADER_WITHIN]


def _rows(text: str, separator: str, lines_before: int) -> list[Row]:
    """Return the rows that are not empty, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Row] = []
    while True:
        number = reader.line_num + 1 + lines_before
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # After broken quoting it is not known where a row ends, nor whether those before it were whole.
            raise TableError(f"is not CSV from here on ({error})", line=number) from None
        if cells is None:
            return rows
        if len(cells) > MAXIMUM_COLUMNS:
            raise TableError(f"has more than {MAXIMUM_COLUMNS} columns", line=number)
        row = Row(number, tuple(Cell(cell.strip(_BLANK)) for cell in cells))
        if not row.is_empty:
            rows.append(row)
        if len(rows) > MAXIMUM_ROWS + HEADER_WITHIN:
            raise TableError(f"has more than {MAXIMUM_ROWS} rows")
