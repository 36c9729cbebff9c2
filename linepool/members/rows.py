"""The rows of a file of members: each becomes a member, or it is said what is wrong with it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from linepool.members.columns import BILLING_COLUMNS, REQUIRED, SCHEME
from linepool.registers import form_of
from linepool.tables.badrows import BadRow
from linepool.tables.cells import Cell, Row, Table, shown
from linepool.tables.columns import Columns
from linepool.tables.values import Conventions, UnfitError, number_of, text_of
from shared.messages.aggregation import BillingPreferences, Email, Identifier, Phone
from shared.messages.base import Name

MAXIMUM_IDENTIFIERS = 5
IDENTIFIERS = "identifiers"
DAYS = "billing_payment_days"

_BLANKS = re.compile(r"[ \u00a0\u202f\u2009]")
_PHONE_PUNCTUATION = re.compile(r"[ \u00a0\u202f\u2009()/.-]")
_IDENTIFIER = re.compile(r"(?P<scheme>[A-Za-z]{2}-[A-Za-z0-9]{2,10})[ :]+(?P<id>.+)", re.ASCII)
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_PHONE: TypeAdapter[str] = TypeAdapter(Phone)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Member:
    """An organisation and its contact person, as a file has them. Personal data is not shown."""

    place: BadRow = field(repr=False)
    """What a report says of this row if it turns out to be bad among others; its reason is empty."""
    legal_name: str
    identifiers: tuple[Identifier, ...]
    contact_name: str = field(repr=False)
    contact_email: str = field(repr=False)
    contact_phone: str | None = field(repr=False, default=None)
    billing: BillingPreferences | None = None


def missing_columns(table: Table, columns: Columns) -> list[BadRow]:
    """Return what the header lacks, and an error if no row is below it."""
    faults = [f"there is no column {name}" for name in REQUIRED if not columns.has(name)]
    if not _identifying(columns):
        faults.append("there is no column identifiers, nor one of a scheme such as XI-LEI or GB-COH")
    if any(columns.has(name) for name in BILLING_COLUMNS):
        faults += [f"there is no column {name}" for name in BILLING_COLUMNS if not columns.has(name)]
    if not table.rows:
        faults.append("there is no row below the header")
    return [columns.bad(table, table.header, None, fault) for fault in faults]


def read_members(
    table: Table, columns: Columns, conventions: Conventions
) -> tuple[list[Member], list[BadRow]]:
    """Return the good rows of a table whose header is good, and what is wrong with the others."""
    bad: list[BadRow] = []
    reader = _RowReader(table, columns, conventions, bad)
    members = [member for row in table.rows if (member := reader.read(row)) is not None]
    return members, bad


class _RowReader:
    """Reads the rows of one table, and adds what is wrong to the report."""

    def __init__(self, table: Table, columns: Columns, conventions: Conventions, bad: list[BadRow]) -> None:
        self._table = table
        self._columns = columns
        self._conventions = conventions
        self._bad = bad
        self._row = table.header

    def read(self, row: Row) -> Member | None:
        self._row = row
        before = len(self._bad)
        if len(row.cells) != len(self._columns.names):
            self._complain(None, f"has {len(row.cells)} columns, the header has {len(self._columns.names)}")
            return None
        legal_name = self._value("legal_name", _name)
        identifiers = self._identifiers()
        name = self._value("contact_name", _name)
        email = self._value("contact_email", _email)
        phone = self._value("contact_phone", _phone) if self._cell("contact_phone").text else None
        billing = self._billing()
        if len(self._bad) > before or legal_name is None or name is None or email is None:
            return None
        place = self._columns.bad(self._table, row, None, "")
        return Member(place, legal_name, identifiers, name, email, phone, billing)

    def _identifiers(self) -> tuple[Identifier, ...]:
        found: list[Identifier] = []
        before = len(self._bad)
        for column in _identifying(self._columns):
            if self._cell(column).text:
                found.extend(self._value(column, partial(_identified, column)) or ())
        if len(self._bad) == before and not 0 < len(found) <= MAXIMUM_IDENTIFIERS:
            self._complain(None, f"must have 1 to {MAXIMUM_IDENTIFIERS} identifiers, and has {len(found)}")
        return tuple(found)

    def _billing(self) -> BillingPreferences | None:
        cells = {name: self._cell(name) for name in BILLING_COLUMNS}
        if not any(cell.text for cell in cells.values()):
            return None
        empty = [name for name, cell in cells.items() if not cell.text]
        for name in empty:
            self._complain(name, "is empty, and other billing preferences are not")
        wanted: dict[str, Any] = {
            name.removeprefix("billing_"): self._value(name, lambda cell: text_of(cell).lower())
            for name in BILLING_COLUMNS
            if name != DAYS
        }
        if empty:
            return None
        days = self._value(DAYS, lambda cell: number_of(cell, self._conventions, decimals=0))
        if days is None or None in wanted.values():
            return None
        try:
            return BillingPreferences.model_validate({**wanted, "payment_days": int(days)})
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False, include_input=False):
                self._complain(f"billing_{fault['loc'][0]}", fault["msg"])
            return None

    def _cell(self, column: str) -> Cell:
        return self._columns.cell(self._row, column)

    def _value(self, column: str, understand: Callable[[Cell], _Value]) -> _Value | None:
        try:
            return understand(self._cell(column))
        except UnfitError as error:
            self._complain(column, str(error))
            return None

    def _complain(self, column: str | None, reason: str) -> None:
        self._bad.append(self._columns.bad(self._table, self._row, column, reason))


def _identifying(columns: Columns) -> list[str]:
    """Return the columns with identifiers, from the left."""
    return [name for name in columns.positions if name == IDENTIFIERS or SCHEME.fullmatch(name)]


def _identified(column: str, cell: Cell) -> list[Identifier]:
    """Return the identifiers in a cell: one of the column's scheme, or several as `SCHEME id`, parted by semicolons."""
    text = _written(cell)
    if column != IDENTIFIERS:
        return [_identifier(column, text)]
    found: list[Identifier] = []
    for entry in filter(None, (entry.strip() for entry in re.split(r"[;\n]", text))):
        parts = _IDENTIFIER.fullmatch(entry)
        if parts is None:
            raise UnfitError(f"must be as XI-LEI 5493001KJTIIGC8Y1R12; US-EIN 12-3456789, not {shown(entry)}")
        found.append(_identifier(parts["scheme"].upper(), parts["id"]))
    return found


def _identifier(scheme: str, number: str) -> Identifier:
    try:
        identifier = Identifier(scheme=scheme, id=_BLANKS.sub("", number))
    except ValidationError:
        raise UnfitError(
            f"must have 2 to 40 letters, digits or . / - as identifier, not {shown(number)}"
        ) from None
    if form_of(identifier) == "malformed":
        raise UnfitError(f"must have the form and the check digits of {scheme}, unlike {shown(number)}")
    return identifier


def _written(cell: Cell) -> str:
    """Return a text that must not have been taken for a number, because a number has no zeros at its beginning."""
    if cell.kind == "number":
        raise UnfitError(
            "is a number in the spreadsheet, which drops zeros and signs; format the cell as text"
        )
    return text_of(cell)


def _name(cell: Cell) -> str:
    text = text_of(cell)
    if not text.isprintable():
        raise UnfitError("must be one line of printable characters")
    return _checked(_NAME, text, "must have 1 to 200 characters")


def _email(cell: Cell) -> str:
    return _checked(_EMAIL, text_of(cell), "must be one mail address, such as ada@example.org")


def _phone(cell: Cell) -> str:
    text = _written(cell)
    if "(0)" in text:
        raise UnfitError("must be without (0): write +49 30 123456")
    if text.startswith("00"):
        raise UnfitError("must begin with + instead of 00: write +49 30 123456")
    if not text.startswith("+"):
        raise UnfitError("must begin with + and the country's code: write +49 30 123456")
    return _checked(
        _PHONE, _PHONE_PUNCTUATION.sub("", text), "must be + and 7 to 15 digits (E.164), as +49 30 123456"
    )


def _checked(kind: TypeAdapter[str], text: str, otherwise: str) -> str:
    try:
        return kind.validate_python(text)
    except ValidationError:
        raise UnfitError(otherwise) from None
