"""The report of every bad row: where it stands and why it is bad, for people, programs and spreadsheets."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from linepool.tables.cells import shown

Policy = Literal["all_or_nothing", "keep_good"]
"""Whether the good rows count where others are bad."""

HEADINGS = ("file", "sheet", "line", "column", "reason")
# A spreadsheet takes what begins so for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong at one place. `line` counts from 1; without it the whole file is meant, without `column` the row."""

    file: str
    reason: str
    sheet: str | None = None
    line: int | None = None
    column: str | None = None
    """As the file's header names it."""
    position: int = field(default=0, repr=False)
    """Of the column, from the left."""

    def __str__(self) -> str:
        sheet = [f"sheet {self.sheet}"] if self.sheet is not None else []
        line = [f"line {self.line}"] if self.line is not None else []
        column = [f"column {self.column}"] if self.column is not None else []
        return f"{', '.join(map(shown, [self.file, *sheet, *line, *column]))}: {self.reason}"


def in_order(bad_rows: Iterable[BadRow]) -> tuple[BadRow, ...]:
    """Return the bad rows by file, sheet, line and column, each once."""
    return tuple(
        sorted(
            dict.fromkeys(bad_rows),
            key=lambda bad: (bad.file, bad.sheet or "", bad.line or 0, bad.position, bad.reason),
        )
    )


def as_table(bad_rows: Sequence[BadRow]) -> str:
    """Return the report as lines of text, in columns; the column of sheets only where there is one."""
    names = [name for name in HEADINGS if name != "sheet" or any(bad.sheet for bad in bad_rows)]
    rows = [names]
    rows += [
        ["" if row[name] is None else shown(str(row[name])) for name in names[:-1]] + [str(row["reason"])]
        for row in as_objects(bad_rows)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def as_objects(bad_rows: Sequence[BadRow]) -> list[dict[str, str | int | None]]:
    """Return them for JSON: file, sheet, line, column and reason of each; null where the place has none."""
    return [{name: getattr(bad, name) for name in HEADINGS} for bad in bad_rows]


def as_csv(bad_rows: Sequence[BadRow]) -> str:
    """Return the report as CSV that no spreadsheet takes for formulas."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(HEADINGS)
    for row in as_objects(bad_rows):
        writer.writerow([harmless("" if row[name] is None else str(row[name])) for name in HEADINGS])
    return text.getvalue()


def harmless(text: str) -> str:
    """Return a text that a spreadsheet shows instead of computing it."""
    return f"'{text}" if text.startswith(_FORMULA) else text
