"""The rows of a usage file: each becomes a line's usage, or it is said what is wrong with it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TypeVar

from linepool.rating.money import EXACT, MONEY_DECIMALS, QUANTITY_DECIMALS, ZERO
from linepool.tables.badrows import BadRow
from linepool.tables.cells import Cell, Row, Table, shown
from linepool.tables.columns import Canonical, Columns, columns_of, plain
from linepool.tables.values import Conventions, UnfitError, date_of, month_of, number_of, text_of
from linepool.usage.columns import CHARGE, services_of
from shared.messages.aggregation import LineUsage, ServiceUsage

MAXIMUM_NAME = 200
MONEY_COLUMNS = ("recurring_charge", "exit_fee")

# What telephone numbers are written with beside their digits; a line's id goes without it.
_PHONE_PUNCTUATION = re.compile(r"[ \u00a0\u202f\u2009()/]")
_LINE_ID = re.compile(r"[A-Za-z0-9._+-]{1,40}", re.ASCII)
_TOTALS = re.compile(
    r"(?:grand |sub ?|sous |end|zwischen|gesamt)?"
    r"(?:totals?|totaux|totales|sum|sums|summe|summen|gesamt|somme|suma|sumas)"
    # No other words may follow: a tariff called "Total Flat" is no total.
    r"(?: (?:amount|net|gross|netto|brutto|betrag|general|général|ht|hors taxes|neto))? ?:?"
)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A good row: where it stands, whose line it is, of which month, and the line's usage.

    `buyer` is a name or an id, None where the file has no such column; so is `month`, the first day of one.
    """

    place: BadRow
    """What a report says of this row if it turns out to be bad among others; its reason is empty."""
    buyer: str | None
    month: date | None
    line: LineUsage


@dataclass(slots=True)
class RowsRead:
    """What a table's rows have come to."""

    rows: list[UsageRow] = field(default_factory=list)
    bad_rows: list[BadRow] = field(default_factory=list)
    totals: int = 0
    """So many rows at the end are totals: they are passed over after the lines were found to add up to them."""


def read_rows(
    table: Table, canonical: Canonical, conventions: Conventions, needed: Sequence[str] = ()
) -> RowsRead:
    """Read all rows of a table; a faulty header makes all of them unreadable. `needed` are columns beside `line_id`."""
    columns, bad = columns_of(table, canonical, conventions.currency)
    read = RowsRead(bad_rows=list(bad))
    units, faults = services_of(columns.positions)
    missing = [f"there is no column {name}" for name in ("line_id", *needed) if not columns.has(name)]
    read.bad_rows.extend(columns.bad(table, table.header, None, fault) for fault in (*missing, *faults))
    if not table.rows and not read.bad_rows:
        read.bad_rows.append(columns.bad(table, table.header, None, "there is no row below the header"))
    if read.bad_rows:
        return read
    reader = _RowReader(table, columns, units, conventions, read)
    ends_at = len(table.rows)
    while ends_at and reader.is_totals(table.rows[ends_at - 1]):
        ends_at -= 1
    for row in table.rows[:ends_at]:
        reader.read(row)
    if not read.bad_rows:
        for row in table.rows[ends_at:]:
            reader.check_totals(row)
    read.totals = len(table.rows) - ends_at
    return read


class _RowReader:
    """Reads the rows of one table into what has been read so far."""

    def __init__(
        self,
        table: Table,
        columns: Columns,
        units: dict[str, str],
        conventions: Conventions,
        read: RowsRead,
    ) -> None:
        self._table = table
        self._columns = columns
        self._units = units
        self._conventions = conventions
        self._read = read
        self._row = table.header
        self._faultless = True

    def read(self, row: Row) -> None:
        self._row, self._faultless = row, True
        if len(row.cells) != len(self._columns.names):
            self._complain(
                None,
                f"has {len(row.cells)} columns, the header has {len(self._columns.names)}"
                "; a decimal comma in a file that is separated by commas does this",
            )
            return
        if self.is_totals(row):
            self._complain("line_id", "is a row of totals, and lines follow it")
            return
        line_id = self._value("line_id", self._line_id)
        buyer = self._value("buyer", _buyer) if self._columns.has("buyer") else None
        month = self._value("month", month_of) if self._columns.has("month") else None
        contract_end = self._optional("contract_end", lambda cell: date_of(cell, self._conventions))
        recurring, exit_fee = (self._optional(column, self._money) or ZERO for column in MONEY_COLUMNS)
        services = self._services()
        if not self._faultless or line_id is None:
            return
        line = LineUsage(
            line_id=line_id,
            services=services,
            recurring_charged=recurring,
            contract_end=contract_end,
            exit_fee=exit_fee,
        )
        self._read.rows.append(
            UsageRow(self._columns.bad(self._table, row, "line_id", ""), buyer, month, line)
        )

    def is_totals(self, row: Row) -> bool:
        """Tell whether a row has the word for totals, and no line of its own."""
        if len(row.cells) != len(self._columns.names):
            return False
        line_id = self._columns.cell(row, "line_id").text
        return (not line_id or _is_total(line_id)) and any(
            cell.kind == "text" and _is_total(cell.text) for cell in row.cells
        )

    def check_totals(self, row: Row) -> None:
        """Compare a row of totals with what the lines add up to: this finds what was read otherwise than it was meant."""
        self._row = row
        for column in (*MONEY_COLUMNS, *self._service_columns()):
            stated = self._optional(column, self._money if self._is_money(column) else self._quantity)
            added_up = self._sum(column)
            if stated is not None and stated != added_up:
                self._complain(column, f"is a total of {stated}, but the lines add up to {added_up}")

    def _service_columns(self) -> Sequence[str]:
        return [f"{service}:{what}" for service, unit in self._units.items() for what in (unit, CHARGE)]

    def _is_money(self, column: str) -> bool:
        return column in MONEY_COLUMNS or column.endswith(f":{CHARGE}")

    def _sum(self, column: str) -> Decimal:
        service, _, what = column.partition(":")
        result = Decimal(0)
        for row in self._read.rows:
            if column == "recurring_charge":
                result = EXACT.add(result, row.line.recurring_charged)
            elif column == "exit_fee":
                result = EXACT.add(result, row.line.exit_fee)
            else:
                for used in row.line.services:
                    if used.service == service:
                        result = EXACT.add(result, used.charged if what == CHARGE else used.quantity)
        return result

    def _services(self) -> tuple[ServiceUsage, ...]:
        services: list[ServiceUsage] = []
        for service, unit in self._units.items():
            columns = f"{service}:{unit}", f"{service}:{CHARGE}"
            empty = [column for column in columns if not self._cell(column).text]
            if len(empty) == 1:
                self._complain(empty[0], "is empty, and the other column of the service is not")
            elif not empty:
                quantity = self._value(columns[0], self._quantity)
                charged = self._value(columns[1], self._money)
                if quantity is not None and charged is not None:
                    services.append(
                        ServiceUsage(service=service, quantity=quantity, unit=unit, charged=charged)
                    )
        if not services:
            # A report names a service for every line, so a line that used nothing says so.
            service, unit = next(iter(self._units.items()))
            return (ServiceUsage(service=service, quantity=Decimal(0), unit=unit, charged=ZERO),)
        return tuple(services)

    def _cell(self, column: str) -> Cell:
        return self._columns.cell(self._row, column)

    def _value(self, column: str, understand: Callable[[Cell], _Value]) -> _Value | None:
        try:
            return understand(self._cell(column))
        except UnfitError as error:
            self._complain(column, str(error))
            return None

    def _optional(self, column: str, understand: Callable[[Cell], _Value]) -> _Value | None:
        return self._value(column, understand) if self._cell(column).text else None

    def _complain(self, column: str | None, reason: str) -> None:
        self._faultless = False
        self._read.bad_rows.append(self._columns.bad(self._table, self._row, column, reason))

    def _money(self, cell: Cell) -> Decimal:
        return number_of(cell, self._conventions, decimals=MONEY_DECIMALS, money=True)

    def _quantity(self, cell: Cell) -> Decimal:
        return number_of(cell, self._conventions, decimals=QUANTITY_DECIMALS)

    def _line_id(self, cell: Cell) -> str:
        line_id = _PHONE_PUNCTUATION.sub("", text_of(cell))
        if cell.kind == "number" and not line_id.isdigit():
            # Of +1-555-0100 a spreadsheet makes -654.
            raise UnfitError(f"is the number {line_id} in the spreadsheet; format the cell as text")
        if _LINE_ID.fullmatch(line_id) is None:
            raise UnfitError("must have 1 to 40 letters, digits or . _ + -")
        return line_id


def _is_total(text: str) -> bool:
    return _TOTALS.fullmatch(plain(text)) is not None


def _buyer(cell: Cell) -> str:
    name = text_of(cell)
    if not 0 < len(name) <= MAXIMUM_NAME or not name.isprintable():
        raise UnfitError(f"must be a name of 1 to {MAXIMUM_NAME} printable characters, not {shown(name)!r}")
    return name
