"""What a table is once its file is read: rows of cells, each with what its file said about its kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

MAXIMUM_ROWS = 100_000
"""So many rows at most are read from one file."""
MAXIMUM_COLUMNS = 1000
MAXIMUM_SHOWN = 40
"""So many characters of a cell at most are quoted."""


class Cell(NamedTuple):
    """One cell.

    `text` has no spaces at its ends. A `text` cell has what somebody typed; a `number` has plain digits with a point and
    maybe a minus sign; a `date` is YYYY-MM-DD; an `unfit` cell cannot be used, and its text completes "<column> ...".
    """

    text: str
    kind: Literal["text", "number", "date", "unfit"] = "text"
    mark: str = ""
    """The currency that the cell's number format shows, such as `€`; empty where it shows none."""


EMPTY = Cell("")


@dataclass(frozen=True, slots=True)
class Row:
    """A row; `number` is its line in a CSV file, or its row in a sheet, from 1."""

    number: int
    cells: tuple[Cell, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no cell has anything in it."""
        return all(not cell.text for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Table:
    """A file's table: its header row, the rows below it that are not empty, and what was found out about the file."""

    file: str
    sheet: str | None
    header: Row
    rows: Sequence[Row]
    note: str = ""
    """A sentence about what was found and not said, such as the encoding; empty where nothing was."""


class TableError(ValueError):
    """A file holds no table that can be read; the text is a sentence without subject."""

    def __init__(self, reason: str, *, line: int | None = None, sheet: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.sheet = sheet


def shown(text: str) -> str:
    """Return a text as it may stand in a report: one line, of bounded length, without control characters."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= MAXIMUM_SHOWN else f"{plain[: MAXIMUM_SHOWN - 3]}..."
