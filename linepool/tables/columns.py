"""Columns by their names: which column of a file is which of ours, whatever their order and language."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from linepool.tables.badrows import BadRow
from linepool.tables.cells import EMPTY, Cell, Row, Table, shown
from linepool.tables.values import CURRENCY_SIGNS
from shared.messages.currencies import TWO_DECIMALS

IGNORED = ""
"""What a column is called that is known and left out."""
HEADER_WITHIN = 20
"""The header stands within so many rows that are not empty; titles may stand above it."""

Canonical = Callable[[str], str | None]
"""Returns our name of a column that a file names so: `IGNORED` if it is to be left out, None if it is not known."""

LONGEST_NAME = 200
"""A longer text is no name of a column, and is not looked into."""

_CURRENCY = re.compile(r"(.*\S)\s*(?:[(\[]\s*([^)\]\s]+)\s*[)\]]|\s+in\s+(\S+))")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where our columns stand in a table."""

    positions: Mapping[str, int]
    names: Sequence[str]
    """As the file has them, by position."""

    def cell(self, row: Row, column: str) -> Cell:
        """Return the row's cell in one of our columns, an empty one where the file does not have the column."""
        position = self.positions.get(column)
        return EMPTY if position is None else row.cells[position]

    def has(self, column: str) -> bool:
        """Tell whether the file has the column."""
        return column in self.positions

    def bad(self, table: Table, row: Row, column: str | None, reason: str) -> BadRow:
        """Return what is wrong in a row, with the column as its file names it."""
        return self.at(BadRow(table.file, reason, table.sheet, row.number), column, reason)

    def at(self, place: BadRow, column: str | None, reason: str) -> BadRow:
        """Return what is wrong in a column of a place's row."""
        if column is None:
            return replace(place, column=None, position=-1, reason=reason)
        position = self.positions.get(column)
        if position is None:
            return replace(place, column=column, position=len(self.names), reason=reason)
        return replace(place, column=self.names[position], position=position, reason=reason)


class ColumnError(ValueError):
    """An option says of a column what it cannot be; the text is a sentence."""


def said(ours: Canonical, given: Mapping[str, str], left_out: Iterable[str]) -> Canonical:
    """Return how columns are called where `given` and `left_out` say of a file's own names what they are.

    Raises:
        ColumnError: `given` names a column that is none of ours.
    """
    names: dict[str, str] = {plain(name): IGNORED for name in left_out}
    for name, column in given.items():
        target = ours(column)
        if target is None:
            raise ColumnError(f"{shown(column)} is none of the columns that can be read.")
        names[plain(name)] = target
    return lambda name: names[plain(name)] if plain(name) in names else ours(name)


def plain(name: str) -> str:
    """Return a column's name without case, accents' two spellings, a currency behind it, and sorts of blanks."""
    without_currency, _ = split_currency(unicodedata.normalize("NFKC", name))
    return re.sub(r"[\s_-]+", " ", without_currency.casefold()).strip(" .")


def split_currency(name: str) -> tuple[str, str]:
    """Return a column's name and the currency that stands behind it, as in `Charge (€)` or `Charge in EUR`."""
    found = _CURRENCY.fullmatch(name.strip()) if len(name) <= LONGEST_NAME else None
    mark = "" if found is None else found[2] or found[3]
    if found is None or not (mark in CURRENCY_SIGNS or mark in TWO_DECIMALS):
        return name, ""
    return found[1], mark


def is_header(row: Row, canonical: Canonical, required: str) -> bool:
    """Tell whether a row names the required column."""
    return any(cell.text and canonical(cell.text) == required for cell in row.cells)


def above_header(rows: int) -> str:
    """Return the note about rows above the header, which are taken for titles; empty where there is none."""
    return f"rows above the header that were passed over: {rows}" if rows else ""


def columns_of(
    table: Table, canonical: Canonical, currency: str | None
) -> tuple[Columns, tuple[BadRow, ...]]:
    """Return where our columns stand, and what is wrong with the header: unknown, nameless and doubled columns."""
    positions: dict[str, int] = {}
    bad: list[BadRow] = []
    filled = {position for row in table.rows for position, cell in enumerate(row.cells) if cell.text}
    for position, cell in enumerate(table.header.cells):
        if not cell.text and position not in filled:
            continue
        ours = canonical(cell.text) if cell.text else None
        if ours == IGNORED:
            continue
        fault = _fault_of(cell, ours, currency)
        if fault is None and ours in positions:
            fault = f"is {ours}, and so is {shown(table.header.cells[positions[ours]].text)}"
        if fault is not None:
            name = cell.text or f"no. {position + 1}"
            bad.append(BadRow(table.file, fault, table.sheet, table.header.number, name, position))
        if ours is not None:
            positions.setdefault(ours, position)
    return Columns(positions, [cell.text for cell in table.header.cells]), tuple(bad)


def _fault_of(cell: Cell, ours: str | None, currency: str | None) -> str | None:
    _, mark = split_currency(cell.text)
    if not cell.text:
        return "has no name; a merged cell names only its first column"
    if cell.kind in {"unfit", "date"}:
        return "is no name of a column"
    if ours is None:
        return "is not known; say what it is with --column, or leave it out with --leave-out"
    if mark and currency is None:
        return f"names a currency ({mark}); say --currency, so that it can be checked"
    if mark and currency not in CURRENCY_SIGNS.get(mark, {mark}):
        return f"is in {mark}, not in {currency}"
    return None
