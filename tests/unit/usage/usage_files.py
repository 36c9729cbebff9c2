"""Usage files for tests, as people's programs write them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl

from linepool.tables.badrows import BadRow
from linepool.tables.reading import Reading
from linepool.tables.values import Conventions
from linepool.usage.folder import UsageImport, UsageOptions, read_folder

HEADER = "buyer,line_id,month,recurring_charge,contract_end,exit_fee,voice.day:MIN,voice.day:charge"
ROW = "Library,L1,2026-01,9.90,,,5,0.85"


def workbook(rows: Sequence[Sequence[Any]], title: str = "Usage") -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def read(folder: Path, options: UsageOptions | None = None, /, **files: bytes | str) -> UsageImport:
    """Read files named by keyword; `a_csv` is `a.csv`."""
    for name, content in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_folder(folder, options or UsageOptions())


def only_bad(found: UsageImport) -> BadRow:
    (bad,) = found.bad_rows
    return bad


def reasons(found: UsageImport) -> list[tuple[int | None, str | None, str]]:
    return [(bad.line, bad.column, bad.reason) for bad in found.bad_rows]


def reading(**conventions: Any) -> UsageOptions:
    return UsageOptions(reading=Reading(conventions=Conventions(**conventions)))
