"""A folder of usage files: what an import of it would report, and every row that it could not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from linepool.tables.badrows import BadRow, Policy, in_order
from linepool.tables.cells import TableError
from linepool.tables.columns import said
from linepool.tables.reading import CSV_NAMES, WORKBOOK_NAMES, Reading, bad_file, read_bytes, read_table
from linepool.usage.columns import our_usage_column
from linepool.usage.reports import UsageReport, periods_that_differ, reports_of
from linepool.usage.rows import UsageRow, read_rows
from shared.messages.aggregation import Period

REQUIRED = "line_id"


@dataclass(frozen=True, slots=True)
class UsageOptions:
    """What is said about the files that does not stand in them."""

    reading: Reading = field(default_factory=Reading)
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a column of theirs is of ours."""
    left_out: Sequence[str] = ()
    """Columns of theirs that say nothing of usage."""
    buyer: str | None = None
    """Whose lines they are where there is no column for it."""
    period: Period | None = None
    """What rows are about where there is no column `month`."""


@dataclass(frozen=True, slots=True)
class FileRead:
    """What one file came to: its good rows, its rows of totals, and what was found out about it."""

    file: str
    sheet: str | None
    lines: int
    totals: int
    note: str


@dataclass(frozen=True, slots=True)
class UsageImport:
    """What a folder's files come to."""

    files: tuple[FileRead, ...]
    reports: tuple[UsageReport, ...]
    """Of the good rows, by buyer."""
    bad_rows: tuple[BadRow, ...]

    def to_report(self, policy: Policy) -> tuple[UsageReport, ...]:
        """Return the reports that are made: with `all_or_nothing` none where a row is bad."""
        return () if self.bad_rows and policy == "all_or_nothing" else self.reports


def read_folder(path: Path, options: UsageOptions) -> UsageImport:
    """Read every file in a folder (or one file), in the order of their names.

    Hidden files and the locks of open spreadsheets are passed over; whatever else is no usage file is a bad row.

    Raises:
        ColumnError: the options name a column that is none.
        OSError: the folder cannot be read.
    """
    canonical = said(our_usage_column, options.columns, options.left_out)
    needed = [
        column for column, instead in (("buyer", options.buyer), ("month", options.period)) if instead is None
    ]
    files: list[FileRead] = []
    rows: list[UsageRow] = []
    bad: list[BadRow] = []
    for one in _files_of(path):
        try:
            if one.suffix.lower() not in CSV_NAMES + WORKBOOK_NAMES:
                raise TableError("is no CSV or XLSX file")  # noqa: TRY301 - a bad file like any other
            table = read_table(one.name, read_bytes(one), options.reading, canonical, REQUIRED)
        except (TableError, OSError) as error:
            bad.append(bad_file(one.name, error))
            continue
        read = read_rows(table, canonical, options.reading.conventions, needed)
        files.append(FileRead(table.file, table.sheet, len(read.rows), read.totals, table.note))
        rows.extend(row if row.buyer else replace(row, buyer=options.buyer) for row in read.rows)
        bad.extend(read.bad_rows)
    if not files and not bad:
        bad.append(BadRow(path.name, "there is no CSV or XLSX file in it"))
    reports, further = reports_of(rows, options.period)
    differing = periods_that_differ(reports)
    if differing is not None:
        bad.append(BadRow(path.name, differing))
        # Which of the periods was meant nobody can tell here.
        reports = ()
    return UsageImport(tuple(files), reports, in_order([*bad, *further]))


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        (one for one in path.iterdir() if not one.name.startswith((".", "~$"))), key=lambda one: one.name
    )
