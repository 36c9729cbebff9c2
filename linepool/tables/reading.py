"""A table from a file, whatever kind of file it is; the kind is told by its bytes, not by its name."""

from dataclasses import dataclass, field
from pathlib import Path

from linepool.tables.badrows import BadRow
from linepool.tables.cells import Table, TableError
from linepool.tables.columns import Canonical
from linepool.tables.csvtable import CsvOptions, csv_table
from linepool.tables.values import Conventions
from linepool.tables.workbook import workbook_table

MAXIMUM_BYTES = 64 * 1024 * 1024
CSV_NAMES = (".csv", ".tsv", ".txt")
WORKBOOK_NAMES = (".xlsx", ".xlsm")

_WORKBOOK = b"PK\x03\x04"
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are to be read: what is not said is found out, or refused where it cannot be."""

    conventions: Conventions = field(default_factory=Conventions)
    csv: CsvOptions = field(default_factory=CsvOptions)
    sheet: str | None = None


def read_bytes(path: Path) -> bytes:
    """Read a file of bounded size.

    Raises:
        OSError: the file cannot be read.
        TableError: it is too large.
    """
    with path.open("rb") as opened:
        content = opened.read(MAXIMUM_BYTES + 1)
    if len(content) > MAXIMUM_BYTES:
        raise TableError(f"has more than {MAXIMUM_BYTES // 1024 // 1024} MiB")
    return content


def read_table(file: str, content: bytes, reading: Reading, canonical: Canonical, required: str) -> Table:
    """Return the table in a file's bytes; `file` is what reports call it.

    Raises:
        TableError: there is none that can be read.
    """
    if content.startswith(_OLD_OFFICE):
        raise TableError("is an old Excel file, or has a password; save it as XLSX without one")
    if content.startswith(_WORKBOOK):
        return workbook_table(file, content, reading.sheet, canonical, required)
    if content[:200].lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<", b"%PDF", b"{\\rtf")):
        raise TableError("is neither CSV nor XLSX, whatever its name says; save it as one of them")
    return csv_table(file, content, reading.csv, canonical, required)


def bad_file(file: str, error: TableError | OSError) -> BadRow:
    """Return why a file cannot be read as a row of the report."""
    if isinstance(error, TableError):
        return BadRow(file, error.reason, error.sheet, error.line)
    return BadRow(file, f"cannot be read ({error.strerror or type(error).__name__})")
