"""Tables written for people to fill in."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as CSV with commas and line feeds."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def workbook_bytes(rows: Sequence[Sequence[str]], title: str) -> bytes:
    """Return rows as XLSX of one sheet; all cells are formatted as text, so that ids keep their zeros and signs."""
    book = Workbook()
    sheet = book.active
    if not isinstance(sheet, Worksheet):
        raise TypeError("a new workbook has a sheet")
    sheet.title = title
    for number, row in enumerate(rows, 1):
        for position, text in enumerate(row, 1):
            cell = sheet.cell(number, position, text)
            cell.data_type, cell.number_format = "s", "@"
            if number == 1:
                cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def written(rows: Sequence[Sequence[str]], title: str, file: Path | None) -> str | None:
    """Write rows into a file, XLSX or CSV by its name; without a file return them as CSV.

    Raises:
        ValueError: the file's name is of no such kind.
        OSError: it exists, or cannot be written.
    """
    if file is None:
        return csv_text(rows)
    if file.suffix.lower() not in {".csv", ".xlsx"}:
        raise ValueError(f"{file} must end in .csv or .xlsx.")
    content = csv_text(rows).encode() if file.suffix.lower() == ".csv" else workbook_bytes(rows, title)
    with file.open("xb") as opened:
        opened.write(content)
    return None
