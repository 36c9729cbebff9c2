"""The usage file: a CSV with one row per line, read strictly and written.

UTF-8 (a byte order mark is accepted), commas, one header row, LF or CRLF, empty rows are passed over. Columns
may stand in any order; a name that is none of these is an error:

- `line_id`: required, unique in the file, 1 to 40 letters, digits or `.`, `_`, `+`, `-`.
- `buyer`: optional. A buyer's name, or its id as a UUID. Without this column no line has a buyer yet.
- `<service>:<unit>` and `<service>:charge`: one pair for each service, such as `voice.day:MIN` and
  `voice.day:charge`, at most 40 pairs. The unit is a UN/ECE Rec 20 code. The quantity has up to 6 decimals, the charge (of
  usage alone) up to 2. Both cells empty: the line did not use the service.
- `recurring_charge`: optional, what the line was charged in the period whatever its usage; empty is 0.
- `contract_end`: optional, last day of the present contract as YYYY-MM-DD; empty is not known.
- `exit_fee`: optional, due for leaving before the contract's end; empty is 0.

All rows cover the same period, and all money is in one currency and tax basis; both are said beside the file.
Numbers are digits with a point: no sign, no exponent, no thousands separators.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from linepool.rating.lines import UsageLine
from linepool.usage.csvheader import CHARGE, FIXED_COLUMNS, HeaderError, header_of
from linepool.usage.csvrow import UNASSIGNED_BUYER, RowReader

MAXIMUM_BYTES = 64 * 1024 * 1024
MAXIMUM_ERRORS_KEPT = 20


class UsageFileError(ValueError):
    """The file is not usable.

    `errors` has the first 20 as sentences that name line and column, `total` counts all of them.
    """

    def __init__(self, errors: Sequence[str], total: int) -> None:
        kept = tuple(errors[:MAXIMUM_ERRORS_KEPT])
        more = [f"and {total - len(kept)} more"] if total > len(kept) else []
        super().__init__("\n".join([*kept, *more]))
        self.errors = kept
        self.total = total


@dataclass(frozen=True, slots=True)
class UsageFile:
    """What a usage file says: its lines in the file's order, and the names of the buyers in it by id.

    Without a buyer column `buyer_names` is empty and every line is of `UNASSIGNED_BUYER`.
    """

    lines: tuple[UsageLine, ...]
    buyer_names: Mapping[UUID, str]


@dataclass(slots=True)
class _Errors:
    kept: list[str] = field(default_factory=list)
    total: int = 0

    def add(self, sentence: str) -> None:
        self.total += 1
        if len(self.kept) < MAXIMUM_ERRORS_KEPT:
            self.kept.append(sentence)

    def raise_if_any(self) -> None:
        if self.total:
            raise UsageFileError(self.kept, self.total)


def read_usage(path: Path) -> UsageFile:
    """Read a usage file.

    Raises:
        UsageFileError: as `parse_usage`.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return parse_usage(file.read(MAXIMUM_BYTES + 1))


def parse_usage(content: bytes) -> UsageFile:
    """Read the bytes of a usage file; all errors are collected before any is raised.

    Raises:
        UsageFileError: with up to 20 errors and their total.
    """
    errors = _Errors()
    reader = csv.reader(io.StringIO(_text_of(content), newline=""), strict=True)
    try:
        header = header_of(next(reader, []))
    except HeaderError as error:
        raise UsageFileError(
            [f"line 1: {sentence}" for sentence in error.sentences], len(error.sentences)
        ) from None
    except csv.Error as error:
        raise UsageFileError([f"line 1: is not CSV ({error})."], 1) from None
    rows = RowReader(header, errors.add)
    lines: list[UsageLine] = []
    while True:
        starts_at = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            # After broken quoting it is not known where the next row begins.
            errors.add(f"line {starts_at}: is not CSV ({error}).")
            break
        if row is None:
            break
        line = rows.read(row, starts_at) if row else None
        if line is not None:
            lines.append(line)
    if not lines and not errors.total:
        errors.add("line 2: the file has a header and no lines.")
    errors.raise_if_any()
    return UsageFile(tuple(lines), rows.buyer_names)


def _text_of(content: bytes) -> str:
    if len(content) > MAXIMUM_BYTES:
        raise UsageFileError([f"the file has more than {MAXIMUM_BYTES // 1024 // 1024} MiB."], 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageFileError([f"line {line}: is not UTF-8."], 1) from None
    if not text.strip():
        raise UsageFileError(["the file is empty."], 1)
    return text


def usage_csv(lines: Sequence[UsageLine], buyer_names: Mapping[UUID, str] | None = None) -> str:
    """Write lines as a usage file that `parse_usage` reads back.

    The buyer column has the name where one is given and the id otherwise; it is left out when no line has a
    buyer.

    Raises:
        ValueError: two lines count one service in different units.
    """
    names = buyer_names or {}
    units: dict[str, str] = {}
    for line in lines:
        for used in line.services:
            if units.setdefault(used.service, used.unit) != used.unit:
                raise ValueError(f"{used.service} is counted in {units[used.service]} and in {used.unit}")
    has_buyers = any(line.buyer_id != UNASSIGNED_BUYER for line in lines)
    fixed = [name for name in FIXED_COLUMNS if name != "buyer" or has_buyers]
    pairs = [
        column for service, unit in units.items() for column in (f"{service}:{unit}", f"{service}:{CHARGE}")
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*fixed, *pairs])
    for line in lines:
        cells = {
            "line_id": line.line_id,
            "buyer": names.get(line.buyer_id, str(line.buyer_id)),
            "recurring_charge": format(line.recurring_charged, "f"),
            "contract_end": "" if line.contract_end is None else line.contract_end.isoformat(),
            "exit_fee": format(line.exit_fee, "f"),
        }
        for used in line.services:
            cells[f"{used.service}:{used.unit}"] = format(used.quantity, "f")
            cells[f"{used.service}:{CHARGE}"] = format(used.charged, "f")
        writer.writerow([cells.get(column, "") for column in [*fixed, *pairs]])
    return text.getvalue()


def template() -> str:
    """Return a usage file with two invented lines to start from."""
    return (
        "buyer,line_id,recurring_charge,contract_end,exit_fee,"
        "voice.day:MIN,voice.day:charge,voice.evening:MIN,voice.evening:charge,"
        "voice.night:MIN,voice.night:charge,voice.international:MIN,voice.international:charge\n"
        "Example Town Hall,+1-555-0100,12.50,2027-03-31,40.00,265.1,45.07,197.4,16.78,244.7,11.01,10,2.70\n"
        "Example Library,+1-555-0101,12.50,,,161.6,27.47,,,,,,\n"
    )
