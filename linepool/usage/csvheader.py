"""The header of a usage file: which columns it has, and where."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from linepool.rating.lines import UNIT_CODE

FIXED_COLUMNS = ("buyer", "line_id", "recurring_charge", "contract_end", "exit_fee")
CHARGE = "charge"
MAXIMUM_COLUMNS = 1000
# What a report to the aggregation service can carry.
MAXIMUM_SERVICES = 40
_SERVICE_CODE = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(?:\.[a-z0-9]+)*", re.ASCII)


class HeaderError(ValueError):
    """The header is not usable; `sentences` say why."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = tuple(sentences)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file: `positions` by name, and the `services` with their units in the file's order."""

    positions: Mapping[str, int]
    services: tuple[tuple[str, str], ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.positions)

    def has(self, column: str) -> bool:
        """Tell whether the file has the column."""
        return column in self.positions

    def cell(self, row: Sequence[str], column: str) -> str:
        """Return the row's text in a column, empty when the file does not have the column."""
        position = self.positions.get(column)
        return "" if position is None else row[position]


def header_of(names: Sequence[str]) -> Header:
    """Understand the header row.

    Raises:
        HeaderError: a column is unknown, twice, or lacks the other column of its service.
    """
    if len(names) == 1 and any(separator in names[0] for separator in ";\t"):
        raise HeaderError(["the columns must be separated by commas."])
    if len(names) > MAXIMUM_COLUMNS:
        raise HeaderError([f"there are more than {MAXIMUM_COLUMNS} columns."])
    sentences = [
        f"the column {name} stands twice." for position, name in enumerate(names) if name in names[:position]
    ]
    positions = {name: position for position, name in enumerate(names)}
    units: dict[str, str] = {}
    charges: set[str] = set()
    for name, position in positions.items():
        if name not in FIXED_COLUMNS:
            sentences.extend(_note_service_column(name, position, units, charges))
    if "line_id" not in positions:
        sentences.append("the column line_id is missing.")
    only_charged, only_counted = sorted(charges - units.keys()), sorted(units.keys() - charges)
    sentences.extend(f"{service} has a {CHARGE} column and no quantity column." for service in only_charged)
    sentences.extend(f"{service} has a quantity column and no {CHARGE} column." for service in only_counted)
    if len(units) > MAXIMUM_SERVICES:
        sentences.append(f"there are more than {MAXIMUM_SERVICES} services.")
    if not units and not charges:
        sentences.append("there is no service column such as voice.day:MIN.")
    if sentences:
        raise HeaderError(sentences)
    return Header(positions, tuple(units.items()))


def _note_service_column(name: str, position: int, units: dict[str, str], charges: set[str]) -> list[str]:
    service, colon, what = name.partition(":")
    if not colon or _SERVICE_CODE.fullmatch(service) is None:
        return [f"column {position + 1} must be {', '.join(FIXED_COLUMNS)} or <service>:<unit or {CHARGE}>."]
    if what == CHARGE:
        charges.add(service)
    elif UNIT_CODE.fullmatch(what) is None:
        return [f"the column of {service} must name a UN/ECE Rec 20 unit such as MIN, or {CHARGE}."]
    elif service in units:
        return [f"{service} stands in two units."]
    else:
        units[service] = what
    return []
