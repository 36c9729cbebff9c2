"""A price sheet says exactly what was filled in, and every fault is told with its cell."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.worksheet.worksheet import Worksheet

from linepool.provider.errors import SheetError
from linepool.provider.sheet import FIXED, FIXED_ROW, PRICES, price_sheet, services_of
from linepool.provider.sheet_reading import FILE_BYTES, read_sheet
from shared.messages.providers import Offer
from tests.unit.provider.a_request import a_request, an_offer

REQUEST = a_request()
CONTENT = REQUEST.content
ROUND_TRIPS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def amounts(decimals: int) -> st.SearchStrategy[Decimal]:
    return st.integers(0, 10 ** (12 + decimals) - 1).map(lambda number: Decimal(number).scaleb(-decimals))


@st.composite
def usage_prices(draw: st.DrawFn, service: str, unit: str) -> dict[str, Any]:
    prices = draw(st.lists(amounts(6), min_size=1, max_size=20))
    if len(prices) == 1:
        return {"kind": "usage", "service": service, "unit": unit, "price": prices[0]}
    volumes = draw(
        st.lists(amounts(6).filter(bool), min_size=len(prices) - 1, max_size=len(prices) - 1, unique=True)
    )
    starts = [Decimal(0), *sorted(volumes)]
    tiers = [{"from_volume": start, "price": price} for start, price in zip(starts, prices, strict=True)]
    return {"kind": "usage", "service": service, "unit": unit, "tiers": tiers}


texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=60)
said = texts.map(str.strip).filter(bool)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    fixed = [
        {"kind": kind, "per": per, "price": draw(amounts(2))} for kind, per, _ in FIXED if draw(st.booleans())
    ]
    usage = [draw(usage_prices(service, unit)) for service, unit, _ in services_of(CONTENT)]
    return an_offer(*fixed, *usage, name=draw(said), billing=draw(said))


@ROUND_TRIPS
@given(offers())
def test_a_sheet_that_was_filled_in_reads_as_the_same_offer(tmp_path: Path, offer: Offer) -> None:
    file = tmp_path / "sheet.xlsx"
    file.write_bytes(price_sheet(CONTENT, offer))
    assert read_sheet(file, CONTENT) == offer


def changed(tmp_path: Path, change: Callable[[Worksheet], None]) -> Path:
    book = openpyxl.load_workbook(BytesIO(price_sheet(CONTENT, an_offer())))
    change(book[PRICES])
    file = tmp_path / "sheet.xlsx"
    book.save(file)
    return file


def put(cell: str, value: object) -> Callable[[Worksheet], None]:
    def change(sheet: Worksheet) -> None:
        sheet[cell] = value

    return change


def as_percentage(sheet: Worksheet) -> None:
    sheet["E14"].number_format = "0%"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put("E14", "=2+2"), "Prices!E14: must be a number, not a formula"),
        (put("B10", '=HYPERLINK("x")'), "Prices!B10: must be a text, not a formula"),
        (put("E14", -1), "Prices!E14: must not be negative"),
        (put("E14", 1.005), "Prices!E14: must have at most 2 decimals"),
        (put("E14", "0,15"), "Prices!E14: must have a point before its decimals and no thousands separators"),
        (put("E14", "12 EUR"), "Prices!E14: must be a decimal number such as 12.50"),
        (put("E14", True), "Prices!E14: must be a number"),
        (put("E14", datetime(2026, 5, 1, tzinfo=UTC).replace(tzinfo=None)), "Prices!E14: must be a number"),
        (put("E14", "#N/A"), "Prices!E14: holds an error instead of a number"),
        (as_percentage, "Prices!E14: is formatted as a percentage; write the price itself"),
        (put("E14", 1e13), "Prices!E14: must have at most 12 digits before the point"),
        (put("E22", None), "Prices!E22: must have a price: voice.day must be priced"),
        (put("E22", 0.0000001), "Prices!E22: must have at most 6 decimals"),
        (put("F22", 100), "Prices!G22: must be filled in: a tier has a volume and a price"),
        (put("B10", None), "Prices!B10: must be filled in"),
        (put("B11", "   "), "Prices!B11: must be filled in"),
        (
            put("A22", "voice.night"),
            "Prices!A22: must be voice.day, the service; locked cells must stay as they are",
        ),
        (
            put("B4", "0198c0de-0000-7000-8000-000000000002"),
            f"Prices!B4: must be {CONTENT.purchase_id}, the Purchase of this request; locked cells must stay as they are",
        ),
    ],
)
def test_each_fault_names_its_cell_and_its_reason(
    tmp_path: Path, change: Callable[[Worksheet], None], problem: str
) -> None:
    with pytest.raises(SheetError) as caught:
        read_sheet(changed(tmp_path, change), CONTENT)
    assert [str(one) for one in caught.value.problems] == [problem]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    def change(sheet: Worksheet) -> None:
        sheet["E14"], sheet["E22"], sheet["B10"] = "x", "=1", None

    with pytest.raises(SheetError) as caught:
        read_sheet(changed(tmp_path, change), CONTENT)
    assert [one.cell for one in caught.value.problems] == ["Prices!E14", "Prices!E22", "Prices!B10"]


def test_tiers_rise_without_gaps(tmp_path: Path) -> None:
    def change(sheet: Worksheet) -> None:
        sheet["F22"], sheet["G22"], sheet["H22"], sheet["I22"] = 100, 0.09, 100, 0.08
        sheet["L22"], sheet["M22"] = 300, 0.07

    with pytest.raises(SheetError) as caught:
        read_sheet(changed(tmp_path, change), CONTENT)
    assert [str(one) for one in caught.value.problems] == [
        "Prices!H22: must be above zero and above the volume of the tier before",
        "Prices!L22: must follow the tier before without a gap",
    ]


def test_what_others_wrote_is_no_formula(tmp_path: Path) -> None:
    hostile = a_request(
        title='=cmd|"/c calc"!A1',
        services=[
            {"service": "voice.day", "unit": "MIN", "description": "=1+1"},
        ],
    ).content
    file = tmp_path / "sheet.xlsx"
    file.write_bytes(price_sheet(hostile))
    cells = [cell for row in openpyxl.load_workbook(file)[PRICES].iter_rows() for cell in row]
    assert not [cell.coordinate for cell in cells if cell.data_type == "f"]


def test_only_the_cells_to_fill_in_are_unlocked() -> None:
    sheet = openpyxl.load_workbook(BytesIO(price_sheet(CONTENT)))[PRICES]
    assert sheet.protection.sheet
    unlocked = {cell.coordinate for row in sheet.iter_rows() for cell in row if not cell.protection.locked}
    assert {"B10", "B11", "E14", "E19", "E22", "F22", "AQ24"} <= unlocked
    assert not unlocked & {"B4", "A14", "A22", "B22", "D22", "E13", "E21", "E25"}


def packed(tmp_path: Path, **parts: bytes) -> Path:
    file = tmp_path / "sheet.xlsx"
    with ZipFile(BytesIO(price_sheet(CONTENT, an_offer()))) as good, ZipFile(file, "w", ZIP_DEFLATED) as bad:
        for name in good.namelist():
            bad.writestr(name, parts.pop(name, None) or good.read(name))
        for name, content in parts.items():
            bad.writestr(name, content)
    return file


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="A1"
t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>"""
FAR_AWAY = b"""<?xml version="1.0"?>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/>
<sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>
<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells></worksheet>"""


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"bomb.xml": b"0" * 40_000_000}, "the file unpacks to more than a price sheet can hold"),
        (
            {f"part{number}": b"x" for number in range(200)},
            "the file unpacks to more than a price sheet can hold",
        ),
        ({"xl/vbaProject.bin": b"x"}, "the file holds macros; save it as .xlsx"),
        ({"xl/worksheets/sheet1.xml": ENTITIES}, "is no XLSX file that can be read (ValueError)"),
        ({"xl/worksheets/sheet1.xml": b"<"}, "is no XLSX file that can be read (ParseError)"),
    ],
)
def test_a_hostile_file_is_refused_in_one_sentence(
    tmp_path: Path, parts: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(SheetError) as caught:
        read_sheet(packed(tmp_path, **parts), CONTENT)
    assert str(caught.value) == reason


def test_a_sheet_with_rows_out_of_order_is_refused_because_a_price_would_be_lost(tmp_path: Path) -> None:
    name = "xl/worksheets/sheet1.xml"
    with ZipFile(BytesIO(price_sheet(CONTENT, an_offer()))) as good:
        whole = good.read(name)
    row = b'<row r="%d"' % FIXED_ROW
    backwards = whole.replace(row, b'<row r="2"')
    assert backwards != whole
    with pytest.raises(SheetError, match=f"rows out of order \\(row 2 after row {FIXED_ROW - 1}\\)"):
        read_sheet(packed(tmp_path, **{name: backwards}), CONTENT)


@pytest.mark.timeout(20)
def test_cells_far_away_cost_nothing(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="Prices!B4"):
        read_sheet(packed(tmp_path, **{"xl/worksheets/sheet1.xml": FAR_AWAY}), CONTENT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"a,b\n1,2\n", b"x" * (FILE_BYTES + 1)])
def test_what_is_no_sheet_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "sheet.xlsx"
    file.write_bytes(content)
    with pytest.raises(SheetError, match=r"no XLSX file|more than"):
        read_sheet(file, CONTENT)
