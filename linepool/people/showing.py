"""How things look in a terminal: times in the purchase's zone and UTC, amounts as they are, strangers' text harmless."""

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_WIDE = 240
# What is piped elsewhere is not folded to a terminal's width.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """Return text without what could move the cursor or change what stands before it, and without markup."""
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def moment(time: str | None, zone: str = "UTC") -> str:
    """Return a time of the API as people read it: `2026-05-04 11:30 Europe/Berlin (09:30 UTC)`."""
    if time is None:
        return "-"
    utc = datetime.fromisoformat(time).astimezone(UTC)
    if zone == "UTC":
        return f"{utc:%Y-%m-%d %H:%M} UTC"
    there = utc.astimezone(ZoneInfo(zone))
    day = "" if there.date() == utc.date() else f"{utc:%Y-%m-%d} "
    return f"{there:%Y-%m-%d %H:%M} {zone} ({day}{utc:%H:%M} UTC)"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print a table; the columns named in `right` are amounts or counts."""
    shown = Table(box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column, justify="right" if column in set(right) else "left")
    for row in rows:
        shown.add_row(*("-" if cell is None else clean(cell) for cell in row))
    console.print(shown)


def say(text: str) -> None:
    """Print a sentence."""
    console.print(clean(text))
