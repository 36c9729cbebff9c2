"""The rows of a usage file: each becomes a line, or sentences that say what is wrong with it."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid5

from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.rating.money import MONEY_DECIMALS, QUANTITY_DECIMALS, ZERO, parse_decimal
from linepool.usage.csvheader import CHARGE, Header

UNASSIGNED_BUYER = UUID(int=0)
"""The buyer of lines that nobody has been given yet."""

MAXIMUM_BUYER_NAME = 200

_BUYER_NAMES = UUID("6a0e7d4c-6a57-5c3e-9b37-1f6f3c9c3f0d")
# What a report to the aggregation service can carry.
_LINE_ID = re.compile(r"[A-Za-z0-9._+-]{1,40}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def buyer_id_of(name: str) -> UUID:
    """Return the id of the buyer that a file calls `name`: that UUID itself, or one derived from the name."""
    try:
        as_uuid = UUID(name)
    except ValueError:
        return uuid5(_BUYER_NAMES, name)
    return as_uuid if str(as_uuid) == name else uuid5(_BUYER_NAMES, name)


class RowReader:
    """Reads the rows of one file, and knows the line ids and the buyers (names by id) that it has met."""

    def __init__(self, header: Header, report: Callable[[str], None]) -> None:
        """Take the file's header and what is called with each sentence about an error."""
        self.buyer_names: dict[UUID, str] = {}
        self._header = header
        self._report = report
        self._first_seen: dict[str, int] = {}
        self._number = 0
        self._faultless = True

    def read(self, row: Sequence[str], number: int) -> UsageLine | None:
        """Return the line that a row describes, None after reporting its errors. `number` counts from 1."""
        self._number = number
        self._faultless = True
        if len(row) != self._header.width:
            self._report(f"line {number}: has {len(row)} columns, the header has {self._header.width}.")
            return None
        line_id, buyer_id, contract_end = self._line_id(row), self._buyer_id(row), self._contract_end(row)
        recurring, exit_fee = self._money(row, "recurring_charge"), self._money(row, "exit_fee")
        services = self._services(row)
        if not self._faultless:
            return None
        return UsageLine(buyer_id, line_id, services, recurring, contract_end, exit_fee)

    def _complain(self, column: str, reason: str) -> None:
        self._faultless = False
        self._report(f"line {self._number}, column {column}: {reason}.")

    def _line_id(self, row: Sequence[str]) -> str:
        line_id = self._header.cell(row, "line_id")
        if _LINE_ID.fullmatch(line_id) is None:
            self._complain("line_id", "must have 1 to 40 letters, digits or . _ + -")
        elif self._first_seen.setdefault(line_id, self._number) != self._number:
            self._complain("line_id", f"is the same as on line {self._first_seen[line_id]}")
        return line_id

    def _buyer_id(self, row: Sequence[str]) -> UUID:
        if not self._header.has("buyer"):
            return UNASSIGNED_BUYER
        name = self._header.cell(row, "buyer")
        if not 0 < len(name) <= MAXIMUM_BUYER_NAME or not name.isprintable() or name != name.strip():
            self._complain(
                "buyer", f"must have 1 to {MAXIMUM_BUYER_NAME} printable characters, no space at an end"
            )
        buyer_id = buyer_id_of(name)
        self.buyer_names[buyer_id] = name
        return buyer_id

    def _contract_end(self, row: Sequence[str]) -> date | None:
        text = self._header.cell(row, "contract_end")
        if not text:
            return None
        # `fromisoformat` reads other ISO forms too, such as 2027W011.
        if _DATE.fullmatch(text) is not None:
            try:
                return date.fromisoformat(text)
            except ValueError:
                pass
        self._complain("contract_end", "must be a date as YYYY-MM-DD")
        return None

    def _money(self, row: Sequence[str], column: str) -> Decimal:
        return self._decimal(row, column, MONEY_DECIMALS) if self._header.cell(row, column) else ZERO

    def _services(self, row: Sequence[str]) -> tuple[ServiceUsage, ...]:
        services: list[ServiceUsage] = []
        for service, unit in self._header.services:
            columns = f"{service}:{unit}", f"{service}:{CHARGE}"
            empty = [column for column in columns if not self._header.cell(row, column)]
            if len(empty) == 1:
                self._complain(empty[0], "is empty, the other column of the service is not")
            elif not empty:
                quantity = self._decimal(row, columns[0], QUANTITY_DECIMALS)
                charged = self._decimal(row, columns[1], MONEY_DECIMALS)
                services.append(ServiceUsage(service, quantity, unit, charged))
        return tuple(services)

    def _decimal(self, row: Sequence[str], column: str, decimals: int) -> Decimal:
        try:
            return parse_decimal(self._header.cell(row, column), decimals=decimals)
        except ValueError as error:
            self._complain(column, str(error))
            return ZERO
