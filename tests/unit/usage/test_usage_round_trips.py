"""Whatever usage is written in whatever dialect is read back the same, and no bytes do harm."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from linepool.tables.csvtable import CsvOptions
from linepool.tables.reading import Reading
from linepool.tables.values import Conventions
from linepool.usage.columns import SYNONYMS
from linepool.usage.folder import UsageImport, UsageOptions, read_folder
from shared.messages.aggregation import LineUsage, ServiceUsage
from tests.unit.usage.usage_files import HEADER, ROW, saved, workbook

SERVICES = {"voice.day": "MIN", "voice.night": "MIN", "mobile.data": "E34"}
FIXED = ("buyer", "line_id", "month", "recurring_charge", "contract_end", "exit_fee")
money = st.decimals(0, 10**12 - 1, places=2, allow_nan=False, allow_infinity=False)
quantities = st.decimals(0, 10**12 - 1, allow_nan=False, allow_infinity=False).flatmap(
    lambda value: st.integers(0, 6).map(lambda places: Decimal(f"{value:.{places}f}"))
)
names = st.sampled_from(["Library", "Gemeinde Köln", 'The "Hall", Ltd; Co', "Mairie d'Évry", "Año 1"])


@dataclass(frozen=True)
class Dialect:
    encoding: str
    separator: str
    sign: Literal["comma", "point"]
    between: str
    dates: Literal["iso", "dmy", "mdy", "ymd"]
    line_end: str
    quoting: Literal[0, 1]
    language: int
    order: Sequence[str]
    blank_rows: bool
    totals: bool

    def number(self, value: Decimal) -> str:
        whole, _, decimals = f"{value:f}".partition(".")
        between = {"other": "." if self.sign == "comma" else ","}.get(self.between, self.between)
        whole = re.sub(r"(?<=[0-9])(?=(?:[0-9]{3})+$)", between, whole)
        return whole + ((("," if self.sign == "comma" else ".") + decimals) if decimals else "")

    def day(self, day: date | None) -> str:
        if day is None:
            return ""
        order = {"iso": "%Y-%m-%d", "dmy": "%d.%m.%Y", "mdy": "%m/%d/%Y", "ymd": "%Y/%m/%d"}
        return day.strftime(order[self.dates])

    def name(self, column: str) -> str:
        spellings = (column, column.upper().replace("_", "  "), *SYNONYMS.get(column, ()))
        return spellings[self.language % len(spellings)]


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    columns = [*FIXED, *(f"{name}:{what}" for name, unit in SERVICES.items() for what in (unit, "charge"))]
    return Dialect(
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "windows-1252"])),
        separator=draw(st.sampled_from([",", ";", "\t"])),
        sign=draw(st.sampled_from(["comma", "point"])),
        between=draw(st.sampled_from(["", "other", " ", "\u00a0", "'"])),
        dates=draw(st.sampled_from(["iso", "dmy", "mdy", "ymd"])),
        line_end=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=draw(st.sampled_from([0, 1])),
        language=draw(st.integers(0, 20)),
        order=draw(st.permutations(columns)),
        blank_rows=draw(st.booleans()),
        totals=draw(st.booleans()),
    )


@st.composite
def usage_lines(draw: st.DrawFn) -> dict[tuple[str, str], LineUsage]:
    keys = draw(
        st.lists(st.tuples(names, st.from_regex(r"L[A-Za-z0-9._-]{1,39}", fullmatch=True)), min_size=1, max_size=5, unique=True)
    )  # fmt: skip
    found = {}
    for buyer, line_id in keys:
        used = draw(st.lists(st.sampled_from(sorted(SERVICES)), min_size=1, unique=True))
        found[buyer, line_id] = LineUsage(
            line_id=line_id,
            services=tuple(
                ServiceUsage(
                    service=name, quantity=draw(quantities), unit=SERVICES[name], charged=draw(money)
                )
                for name in used
            ),
            recurring_charged=draw(money),
            contract_end=draw(st.none() | st.dates(date(2000, 1, 1), date(2099, 12, 31))),
            exit_fee=draw(money),
        )
    return found


def columns_of(buyer: str, line: LineUsage) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "buyer": buyer,
        "line_id": line.line_id,
        "month": "2026-01",
        "recurring_charge": line.recurring_charged,
        "contract_end": line.contract_end,
        "exit_fee": line.exit_fee,
    }
    for used in line.services:
        cells[f"{used.service}:{used.unit}"] = used.quantity
        cells[f"{used.service}:charge"] = used.charged
    return cells


def written(lines: Mapping[tuple[str, str], LineUsage], dialect: Dialect) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=dialect.separator, lineterminator=dialect.line_end, quoting=dialect.quoting
    )
    writer.writerow([dialect.name(column) for column in dialect.order])
    sums: dict[str, Decimal] = {}
    for (buyer, _), line in lines.items():
        cells = columns_of(buyer, line)
        row = []
        for column in dialect.order:
            value = cells.get(column)
            if isinstance(value, Decimal):
                sums[column] = sums.get(column, Decimal(0)) + value
                row.append(dialect.number(value))
            else:
                row.append(dialect.day(value) if isinstance(value, date) else (value or ""))
        writer.writerow(row)
        if dialect.blank_rows:
            writer.writerow([""] * len(row))
    if dialect.totals and all(total.adjusted() < 12 for total in sums.values()):
        cells = {"buyer": "Total", **sums}
        writer.writerow(
            [dialect.number(cell) if isinstance(cell := cells.get(column, ""), Decimal) else cell for column in dialect.order]
        )  # fmt: skip
    return text.getvalue().encode(dialect.encoding)


def read(content: bytes, options: UsageOptions, name: str = "bill.csv") -> UsageImport:
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        return read_folder(Path(folder), options)


def comparable(line: LineUsage) -> tuple[Any, ...]:
    return (
        line.recurring_charged,
        line.contract_end,
        line.exit_fee,
        {used.service: (used.quantity, used.unit, used.charged) for used in line.services},
    )


def as_read(found: UsageImport) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (report.buyer, line.line_id): comparable(line) for report in found.reports for line in report.lines
    }


@settings(deadline=None)
@given(usage_lines(), dialects())
def test_usage_in_any_dialect_is_read_back_the_same(
    lines: dict[tuple[str, str], LineUsage], dialect: Dialect
) -> None:
    content = written(lines, dialect)
    expected = {key: comparable(line) for key, line in lines.items()}
    said = UsageOptions(reading=Reading(Conventions(dialect.sign, dialect.dates)))
    found = read(content, said)
    assert found.bad_rows == ()
    assert as_read(found) == expected
    # Without the option nothing else is read either: what has two readings is refused, and nothing is read wrong.
    guessed = read(content, UsageOptions(reading=Reading(Conventions("auto", dialect.dates))))
    assert all("two readings" in bad.reason for bad in guessed.bad_rows)
    assert as_read(guessed).items() <= expected.items()
    assert guessed.bad_rows or as_read(guessed) == expected


@settings(deadline=None)
@given(usage_lines())
def test_usage_in_a_workbook_is_read_back_the_same(lines: dict[tuple[str, str], LineUsage]) -> None:
    order = [*FIXED, *(f"{name}:{what}" for name, unit in SERVICES.items() for what in (unit, "charge"))]
    rows = []
    for (buyer, _), line in lines.items():
        cells = columns_of(buyer, line)
        # A spreadsheet's number holds 15 digits; who has more of them writes a text.
        rows.append(
            [
                f"{cell:f}" if isinstance(cell, Decimal) and len(cell.as_tuple().digits) > 15 else cell
                for cell in (cells.get(column) for column in order)
            ]
        )
    content = saved(workbook([order, *rows]))
    found = read(content, UsageOptions(reading=Reading(Conventions("point"))), "bill.xlsx")
    assert found.bad_rows == ()
    assert as_read(found) == {key: comparable(line) for key, line in lines.items()}


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"line_id\x00")
@example(b"\xff\xfe\x00")
@example(b"sep=")
def test_no_bytes_do_harm(content: bytes) -> None:
    for options in (UsageOptions(), UsageOptions(reading=Reading(csv=CsvOptions("utf-16")))):
        found = read(content, options)
        assert found.bad_rows
        assert found.reports == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_damaged_file_is_read_or_refused(damage: list[tuple[int, int]]) -> None:
    for name, whole in (("bill.csv", f"{HEADER}\n{ROW}\n".encode()), ("bill.xlsx", WORKBOOK)):
        content = bytearray(whole)
        for place, byte in damage:
            content[place % len(content)] = byte
        found = read(bytes(content), UsageOptions(), name)
        assert found.bad_rows or found.reports


WORKBOOK = saved(workbook([HEADER.split(","), ROW.split(",")]))
