import io
import zipfile
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from linepool.tables import workbook as table_workbook
from linepool.tables.reading import Reading
from linepool.usage.folder import UsageOptions
from tests.unit.usage.usage_files import HEADER, only_bad, read, reading, saved, workbook

NAMES = HEADER.split(",")
GOOD: tuple[Any, ...] = ("Library", "L1", date(2026, 1, 1), 9.9, date(2027, 3, 31), None, 5.25, 0.85)


def bill(*rows: tuple[Any, ...]) -> openpyxl.Workbook:
    return workbook([NAMES, *rows])


def with_cell(place: str, value: Any, number_format: str | None = None) -> bytes:
    book = bill(GOOD)
    cell = book["Usage"][place]
    cell.value = value
    if number_format:
        cell.number_format = number_format
    return saved(book)


def changed(content: bytes, part: str, old: bytes, new: bytes) -> bytes:
    """Return the file with bytes of one of its parts changed, which must be there."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as before,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for name in before.namelist():
            data = before.read(name)
            if name == part:
                assert old in data
                data = data.replace(old, new)
            after.writestr(name, data)
    return file.getvalue()


def encoded(content: bytes, encoding: str) -> bytes:
    """Return the file with its sheet in another encoding."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    return changed(content, "xl/worksheets/sheet1.xml", sheet, sheet.decode().encode(encoding))


def computed(content: bytes, value: bytes) -> bytes:
    """Return the file with the result of its only formula, as a spreadsheet program saves it."""
    return changed(content, "xl/worksheets/sheet1.xml", b"</f><v />", b"</f><v>" + value + b"</v>")


def test_numbers_and_dates_of_a_spreadsheet_are_read_as_what_they_are(tmp_path: Path) -> None:
    found = read(tmp_path, reading(decimal="comma"), bill_xlsx=saved(bill(GOOD)))
    assert found.bad_rows == ()
    (report,) = found.reports
    assert (report.period.start, report.period.end) == (date(2026, 1, 1), date(2026, 1, 31))
    (line,) = report.lines
    assert line.contract_end == date(2027, 3, 31)
    assert line.services[0].quantity == Decimal("5.25")
    assert line.recurring_charged == Decimal("9.90")


def test_what_a_float_adds_is_not_taken_for_money(tmp_path: Path) -> None:
    content = changed(
        saved(bill(GOOD)), "xl/worksheets/sheet1.xml", b"<v>9.9</v>", b"<v>0.30000000000000004</v>"
    )
    assert read(tmp_path, bill_xlsx=content).reports[0].lines[0].recurring_charged == Decimal("0.30")


@pytest.mark.parametrize(
    ("place", "value", "number_format", "reason"),
    [
        ("D2", 12.345, None, "at most 2 decimals"),
        ("D2", -1, None, "must not be negative"),
        ("D2", 0.12, "0%", "is a percentage"),
        ("D2", 5, "[$€-407] #,##0.00", "--currency"),
        ("D2", True, None, "is TRUE"),
        ("D2", date(2026, 5, 3), None, "is a date in the spreadsheet"),
        ("G2", time(1, 30), None, "time of day or a duration"),
        ("G2", datetime(2026, 1, 1, 12, 30), None, "time of day or a duration"),  # noqa: DTZ001 - a spreadsheet's
        ("E2", 46000, "General", "without a date's format"),
        ("B2", 8949101234567890123, None, "more than 15 digits"),
        ("B2", -654, None, "format the cell as text"),
        ("B2", date(2026, 5, 3), None, "is a date in the spreadsheet"),
        ("C2", date(2026, 1, 15), None, "YYYY-MM"),
        ("D2", "1.234", None, "two readings"),
        ("D2", "=1+1", None, "whose result is not in the file"),
        ("D2", "#REF!", None, "has the error #REF!"),
    ],
)
def test_what_a_spreadsheet_made_of_a_cell_is_refused_where_it_is_not_meant(
    tmp_path: Path, place: str, value: Any, number_format: str | None, reason: str
) -> None:
    bad = only_bad(read(tmp_path, bill_xlsx=with_cell(place, value, number_format)))
    assert (bad.file, bad.sheet, bad.line) == ("bill.xlsx", "Usage", 2)
    assert bad.column == NAMES[ord(place[0]) - ord("A")]
    assert reason in bad.reason


def test_a_formula_is_what_the_program_that_saved_it_computed(tmp_path: Path) -> None:
    content = computed(with_cell("D2", "=9.9*2"), b"19.8")
    assert read(tmp_path, bill_xlsx=content).reports[0].lines[0].recurring_charged == Decimal("19.80")


def test_a_currency_in_a_cells_format_is_compared_with_the_purchases(tmp_path: Path) -> None:
    content = with_cell("D2", 5, "[$€-407] #,##0.00")
    assert read(tmp_path, reading(currency="EUR"), bill_xlsx=content).bad_rows == ()
    assert "is in €, not in CHF" in only_bad(read(tmp_path, reading(currency="CHF"))).reason


def test_dates_from_1904_are_the_same_days(tmp_path: Path) -> None:
    book = bill()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book["Usage"].append(list(GOOD))
    assert read(tmp_path, bill_xlsx=saved(book)).reports[0].lines[0].contract_end == date(2027, 3, 31)


def test_hidden_and_empty_sheets_are_not_read(tmp_path: Path) -> None:
    book = bill(GOOD)
    book.create_sheet("Empty")
    for state in ("hidden", "veryHidden"):
        hidden = book.create_sheet(state)
        hidden.append(["secret"])
        hidden.sheet_state = state
    found = read(tmp_path, bill_xlsx=saved(book))
    assert found.bad_rows == ()
    assert found.files[0].sheet == "Usage"


def test_of_several_sheets_one_must_be_named(tmp_path: Path) -> None:
    book = bill(GOOD)
    other = book.create_sheet("February")
    other.append(NAMES)
    other.append(["Library", "L9", "2026-02", 1, None, None, 1, 1])
    content = saved(book)
    assert "Usage, February" in only_bad(read(tmp_path, bill_xlsx=content)).reason
    named = UsageOptions(reading=Reading(sheet="February"))
    assert read(tmp_path, named).reports[0].lines[0].line_id == "L9"
    missing = UsageOptions(reading=Reading(sheet="March"))
    assert "no sheet March" in only_bad(read(tmp_path, missing)).reason


def test_a_merged_header_names_only_its_first_column(tmp_path: Path) -> None:
    book = bill(GOOD)
    book["Usage"].merge_cells("G1:H1")
    found = read(tmp_path, bill_xlsx=saved(book))
    assert ("no. 8", "has no name; a merged cell names only its first column") in [
        (bad.column, bad.reason) for bad in found.bad_rows
    ]


def test_titles_above_and_gaps_between_are_passed_over_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    book = workbook([["Invoice 2026-01"], [], NAMES, GOOD])
    book["Usage"].cell(9, 2, "L§")
    found = read(tmp_path, bill_xlsx=saved(book))
    assert {bad.line for bad in found.bad_rows} == {9}
    assert [line.line_id for line in found.reports[0].lines] == ["L1"]


@pytest.mark.parametrize("claimed", [b"A1:XFD1048576", b"A1:B1"])
def test_what_a_sheet_claims_of_its_size_is_not_believed(tmp_path: Path, claimed: bytes) -> None:
    part, true = "xl/worksheets/sheet1.xml", b'<dimension ref="A1:H2"'
    content = changed(saved(bill(GOOD)), part, true, b'<dimension ref="' + claimed + b'"')
    found = read(tmp_path, bill_xlsx=content)
    assert found.bad_rows == ()
    assert found.reports[0].lines[0].services[0].charged == Decimal("0.85")


@pytest.mark.parametrize("row", [b"1048577", b"99999999999"])
def test_a_row_beyond_the_end_of_all_sheets_ends_the_reading(tmp_path: Path, row: bytes) -> None:
    content = changed(saved(bill(GOOD)), "xl/worksheets/sheet1.xml", b'<row r="2"', b'<row r="' + row + b'"')
    content = changed(content, "xl/worksheets/sheet1.xml", b'2" ', row + b'" ')
    assert "more cells than a table can have" in only_bad(read(tmp_path, bill_xlsx=content)).reason


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize("number", [b"1", b"2"], ids=["lower", "the same"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_rows_out_of_order_are_refused_because_some_would_be_lost(
    tmp_path: Path, number: bytes, encoding: str
) -> None:
    content = changed(
        saved(bill(GOOD, (None, "L2", *GOOD[2:]))), SHEET, b'<row r="3"', b'<row r="' + number + b'"'
    )
    if encoding != "utf-8":
        content = encoded(content, encoding)
    found = only_bad(read(tmp_path, bill_xlsx=content))
    assert f"rows out of order (row {number.decode()} after row 2)" in found.reason
    assert found.sheet == "Usage"


def test_rows_without_numbers_follow_on_each_other(tmp_path: Path) -> None:
    content = saved(bill(GOOD, (GOOD[0], "L2", *GOOD[2:])))
    for number in (b"1", b"2", b"3"):
        content = changed(content, SHEET, b'<row r="' + number + b'"', b"<row")
    found = read(tmp_path, bill_xlsx=content)
    assert found.bad_rows == ()
    assert [line.line_id for line in found.reports[0].lines] == ["L1", "L2"]


def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO(saved(bill(GOOD)))
    with (
        zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/more.xml", "w") as part,
    ):
        for _ in range(table_workbook.UNPACKED_BYTES // (1024 * 1024) + 1):
            part.write(b" " * 1024 * 1024)
    assert len(file.getvalue()) < 1024 * 1024
    assert "unpacks to more" in only_bad(read(tmp_path, bill_xlsx=file.getvalue())).reason


def test_hostile_xml_is_refused(tmp_path: Path) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet'
    content = changed(saved(bill(GOOD)), "xl/worksheets/sheet1.xml", b"<worksheet", bomb)
    assert "is no XLSX file that can be read" in only_bad(read(tmp_path, bill_xlsx=content)).reason


def test_a_locked_workbook_says_so(tmp_path: Path) -> None:
    assert (
        "password"
        in only_bad(read(tmp_path, bill_xlsx=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)).reason
    )
