"""Pieces of plain text: what strangers wrote made harmless, amounts, times and tables."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from textwrap import fill

LINE = 76


def one_line(text: str) -> str:
    """Return the text on one line, without control characters and marks of reading direction."""
    spaced = (" " if unicodedata.category(one) in _SPACES else one for one in text)
    plain = (one for one in spaced if one in _JOINERS or unicodedata.category(one) not in _INVISIBLE)
    # In a header, =?...?= spells any characters, line breaks among them, and would be read as them.
    return " ".join("".join(plain).split()).replace("=?", "= ?")


_SPACES = {"Cc", "Zl", "Zp", "Zs"}
_INVISIBLE = {"Cf", "Cs"}
_JOINERS = "\u200c\u200d"
"""Invisible, but names in Persian or Hindi need them."""


def quoted(text: str) -> str:
    """Return a stranger's text, each line marked as quoted."""
    return "\n".join(f"> {one_line(line)}" for line in text.splitlines())


def paragraph(*sentences: str) -> str:
    """Return one paragraph in lines that every mail program shows whole; no word is broken."""
    return fill(" ".join(sentences), LINE, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return right-aligned columns, indented."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(map(str.rjust, row, widths)) for row in (head, *rows))
    return "\n".join(f"  {line}" for line in lines)


def money(amount: Decimal) -> str:
    """Return an amount with its thousands apart, to the cent."""
    return f"{amount:,.2f}"


def moment(time: datetime) -> str:
    """Return a time in UTC as people write it, whatever the locale of the machine that sends."""
    return f"{time.day} {_MONTHS[time.month]} {time:%Y, %H:%M} UTC"


_MONTHS = (
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def counted(number: int, one: str) -> str:
    """Return how many there are of something, such as `1 member` or `1,200 lines`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"
