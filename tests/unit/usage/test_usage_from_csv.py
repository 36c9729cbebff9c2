import codecs
from decimal import Decimal
from pathlib import Path

import pytest

from linepool.tables import reading as table_reading
from linepool.tables.csvtable import CsvOptions
from linepool.tables.reading import Reading
from linepool.tables.values import Conventions
from linepool.usage.folder import UsageImport, UsageOptions
from tests.unit.usage.usage_files import HEADER, ROW, only_bad, read, reading, reasons

GERMAN = (
    "Mitglied;Rufnummer;Monat;Grundgebühr (€);Vertragsende;voice.day:Minuten;voice.day:Kosten\n"
    "Gemeinde Köln;+49 221 1;01.2026;12,50;31.12.2027;1.234;1.234,56 €\n"
)
IN_EURO = UsageOptions(reading=Reading(Conventions("comma", "dmy", "EUR")))


def is_the_german_file(found: UsageImport) -> None:
    assert found.bad_rows == ()
    (report,) = found.reports
    assert report.buyer == "Gemeinde Köln"
    (line,) = report.lines
    assert line.line_id == "+492211"
    assert line.recurring_charged == Decimal("12.50")
    assert line.services[0].quantity == Decimal(1234)
    assert line.services[0].charged == Decimal("1234.56")


@pytest.mark.parametrize(
    "content",
    [
        GERMAN.encode(),
        codecs.BOM_UTF8 + GERMAN.encode(),
        GERMAN.encode("utf-16"),
        codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"),
        GERMAN.encode("utf-16-le"),
        GERMAN.encode("windows-1252"),
        GERMAN.replace("\n", "\r\n").encode(),
        GERMAN.replace("\n", "\r").encode(),
        GERMAN.replace(";", "\t").encode(),
        b"sep=;\r\n" + GERMAN.encode(),
        b"Rechnung Januar 2026;;\n\n;;;;;;;;;\n" + GERMAN.encode(),
        GERMAN.replace("\n", ";;;\n").encode(),
        GERMAN.replace("Mitglied", '"Mitglied"').encode(),
    ],
)
def test_a_german_bill_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    is_the_german_file(read(tmp_path, IN_EURO, bill_csv=content))


def test_an_encoding_that_was_found_out_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, IN_EURO, bill_csv=GERMAN.encode("windows-1252"))
    assert "Windows-1252" in found.files[0].note
    said = UsageOptions(reading=Reading(IN_EURO.reading.conventions, CsvOptions("windows-1252")))
    assert read(tmp_path, said).files[0].note == ""


def test_text_in_another_encoding_than_was_said_is_refused(tmp_path: Path) -> None:
    said = UsageOptions(reading=Reading(csv=CsvOptions("utf-8")))
    bad = only_bad(read(tmp_path, said, bill_csv=GERMAN.encode("windows-1252")))
    assert (bad.line, bad.column) == (1, None)
    assert "UTF-8" in bad.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "old Excel file, or has a password"),
        (b"<html><table>", "neither CSV nor XLSX"),
        (b"%PDF-1.7", "neither CSV nor XLSX"),
        (b"PK\x03\x04broken", "is no XLSX file"),
        (b"line_id\n\x01\x02", "control characters"),
        (codecs.BOM_UTF32_LE + b"l\0\0\0", "UTF-32"),
        (b'line_id,a\n"x"y,1\n', "is not CSV from here on"),
        (b'line_id,a\n"never closed,1\n', "is not CSV from here on"),
    ],
)
def test_a_file_that_is_no_table_is_one_bad_row(tmp_path: Path, content: bytes, reason: str) -> None:
    bad = only_bad(read(tmp_path, bill_csv=content))
    assert bad.file == "bill.csv"
    assert reason in bad.reason


def test_a_file_is_told_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    assert read(tmp_path, bill_xlsx=f"{HEADER}\n{ROW}\n").bad_rows == ()


def test_files_that_are_no_tables_are_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    found = read(
        tmp_path, bill_csv=f"{HEADER}\n{ROW}\n", bill_pdf=b"%PDF", **{"~$bill_xlsx": b"lock", "_hidden": b"x"}
    )
    assert [bad.file for bad in found.bad_rows] == ["bill.pdf", "folder"]


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    assert "no CSV or XLSX" in only_bad(read(tmp_path)).reason


def test_a_file_has_so_many_bytes_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reading, "MAXIMUM_BYTES", 1024 * 1024)
    assert "more than 1 MiB" in only_bad(read(tmp_path, bill_csv=b"x" * (1024 * 1024 + 1))).reason


def test_decimal_commas_between_commas_are_found(tmp_path: Path) -> None:
    bad = only_bad(read(tmp_path, bill_csv=f"{HEADER}\nLibrary,L1,2026-01,9,90,,,5,0.85\n"))
    assert (bad.line, bad.column) == (2, None)
    assert "decimal comma" in bad.reason


def test_every_bad_row_is_named_with_line_column_and_reason(tmp_path: Path) -> None:
    rows = [
        "Library,L 1,2026-01,9.90,,,5,0.85",
        ",L2,2026-01,9.90,,,5,0.85",
        "Library,L§,2026-13,-1,31.12.2026,1.234,5,",
        "",
        "Library,8.9491E+18,2026-01,,,,,",
        "Library,L5,2026-01,,,,5,0.855",
    ]
    found = read(tmp_path, bill_csv="\n".join([HEADER, *rows]))
    assert [(bad.line, bad.column) for bad in found.bad_rows] == [
        (3, "buyer"),
        (4, "line_id"),
        (4, "month"),
        (4, "recurring_charge"),
        (4, "contract_end"),
        (4, "exit_fee"),
        (4, "voice.day:charge"),
        (6, "line_id"),
        (7, "voice.day:charge"),
    ]
    assert [line.line_id for line in found.reports[0].lines] == ["L1"]


def test_good_rows_count_only_where_that_was_chosen(tmp_path: Path) -> None:
    found = read(tmp_path, bill_csv=f"{HEADER}\n{ROW}\n,L2,2026-01,9.90,,,5,0.85\n")
    assert found.to_report("all_or_nothing") == ()
    assert [len(report.lines) for report in found.to_report("keep_good")] == [1]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER.replace("line_id", "number of something"), "no column line_id"),
        (HEADER.replace("buyer", "notes"), "is not known"),
        (HEADER.replace("exit_fee", "Rufnummer"), "is line_id, and so is line_id"),
        (
            HEADER.replace(",voice.day:charge", ",voice.night:charge"),
            "voice.day has a quantity and no charge",
        ),
        (HEADER.replace("voice.day:MIN", "voice.night:MIN"), "voice.day has a charge and no quantity"),
        (HEADER.replace("exit_fee", "voice.day:SEC"), "voice.day stands in two units"),
        (HEADER.replace("exit_fee", ""), "has no name"),
        (HEADER.replace("exit_fee", "exit_fee ($)"), "--currency"),
    ],
)
def test_a_header_at_fault_says_what_is_wrong(tmp_path: Path, header: str, reason: str) -> None:
    found = read(tmp_path, bill_csv=f"{header}\n{ROW.replace('9.90,,,', '9.90,,1,')}\n")
    assert any(reason in bad.reason for bad in found.bad_rows), found.bad_rows
    assert all(bad.line == 1 for bad in found.bad_rows)
    assert found.reports == ()


def test_a_file_needs_a_buyer_and_a_month_unless_they_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, bill_csv="line_id,voice.day:MIN,voice.day:charge\nL1,1,2\n")
    assert [bad.reason for bad in found.bad_rows] == ["there is no column buyer", "there is no column month"]


def test_columns_can_be_named_and_left_out(tmp_path: Path) -> None:
    options = UsageOptions(
        columns={"Tarif A Minuten": "voice.day:MIN", "Tarif A": "voice.day:charge"}, left_out=["Notiz"]
    )
    content = "buyer,line,month,Tarif  a minuten,TARIF A,Notiz\nLibrary,L1,2026-01,5,0.85,=cmd\n"
    (report,) = read(tmp_path, options, bill_csv=content).reports
    assert report.lines[0].services[0].charged == Decimal("0.85")


def test_totals_at_the_end_are_passed_over_where_they_agree(tmp_path: Path) -> None:
    content = f"{HEADER}\n{ROW}\nLibrary,L2,2026-01,1.10,,,7,1.15\n,,,,,,,\nSumme netto,,,11.00,,,12,2.00\n"
    found = read(tmp_path, bill_csv=content)
    assert found.bad_rows == ()
    assert (found.files[0].lines, found.files[0].totals) == (2, 1)


def test_totals_that_do_not_agree_are_bad(tmp_path: Path) -> None:
    bad = only_bad(read(tmp_path, bill_csv=f"{HEADER}\n{ROW}\nTotal,,,9.90,,,5,1000.85\n"))
    assert (bad.line, bad.column) == (3, "voice.day:charge")
    assert bad.reason == "is a total of 1000.85, but the lines add up to 0.85"


def test_totals_between_lines_are_bad(tmp_path: Path) -> None:
    bad = only_bad(
        read(tmp_path, bill_csv=f"{HEADER}\n{ROW}\n,Total,,9.90,,,5,0.85\n{ROW.replace('L1', 'L2')}\n")
    )
    assert (bad.line, bad.reason) == (3, "is a row of totals, and lines follow it")


def test_a_buyer_called_total_is_no_row_of_totals(tmp_path: Path) -> None:
    (report,) = read(tmp_path, bill_csv=f"{HEADER}\n{ROW.replace('Library', 'Total')}\n").reports
    assert report.buyer == "Total"


def test_a_line_that_stands_twice_is_bad_in_both_places(tmp_path: Path) -> None:
    found = read(tmp_path, a_csv=f"{HEADER}\n{ROW}\n", b_csv=f"{HEADER}\n{ROW.replace('0.85', '0.95')}\n")
    assert [(bad.file, bad.line, bad.reason) for bad in found.bad_rows] == [
        ("a.csv", 2, "is the same line as in b.csv, line 2"),
        ("b.csv", 2, "is the same line as in a.csv, line 2"),
    ]
    assert found.to_report("keep_good") == ()


def test_a_line_that_used_nothing_says_so_with_a_quantity_of_zero(tmp_path: Path) -> None:
    (report,) = read(tmp_path, bill_csv=f"{HEADER}\nLibrary,L1,2026-01,9.90,,,,\n").reports
    (used,) = report.lines[0].services
    assert (used.service, used.quantity, used.charged) == ("voice.day", 0, 0)
    assert report.lines[0].recurring_charged == Decimal("9.90")


def test_amounts_with_two_readings_name_the_option(tmp_path: Path) -> None:
    content = f"{HEADER}\n{ROW.replace(',5,', ',1.234,')}\n"
    assert "--decimal comma" in only_bad(read(tmp_path, bill_csv=content)).reason
    (report,) = read(tmp_path, reading(decimal="point")).reports
    assert report.lines[0].services[0].quantity == Decimal("1.234")


def test_a_separator_that_was_said_is_taken(tmp_path: Path) -> None:
    said = UsageOptions(reading=Reading(csv=CsvOptions(separator=";")))
    found = read(tmp_path, said, bill_csv=f"{HEADER}\n{ROW}\n")
    assert {reason for _, _, reason in reasons(found)} >= {"there is no column line_id"}


@pytest.mark.parametrize("filler", ["(" * 100_000, "§" + " " * 100_000 + "b", "x (" * 40_000, "in " * 40_000])
@pytest.mark.timeout(30)
def test_a_very_long_cell_is_refused_at_once(tmp_path: Path, filler: str) -> None:
    assert read(tmp_path, bill_csv=f"{HEADER},{filler}\n{ROW},\n").bad_rows
    assert read(tmp_path, bill_csv=f"{HEADER}\n{ROW.replace('L1', filler)}\n").bad_rows
    assert read(tmp_path, bill_csv=f"{HEADER}\n{ROW.replace('0.85', '1' + filler + '1')}\n").bad_rows


def test_a_tariff_called_total_makes_no_row_of_totals(tmp_path: Path) -> None:
    options = UsageOptions(left_out=["tariff"])
    content = f"tariff,{HEADER}\nFlat,{ROW}\nTotal Flat,{ROW.replace('L1', '')}\n"
    assert only_bad(read(tmp_path, options, bill_csv=content)).column == "line_id"


def test_rows_above_the_header_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, bill_csv=f"Bill of January\n\nAll amounts in euro\n{HEADER}\n{ROW}\n")
    assert found.files[0].note == "rows above the header that were passed over: 2"


def test_a_line_that_names_the_separator_is_counted(tmp_path: Path) -> None:
    content = f"sep=;\r\n{HEADER.replace(',', ';')}\r\n{ROW.replace(',', ';').replace('L1', '§')}\r\n"
    assert only_bad(read(tmp_path, bill_csv=content)).line == 3


def test_a_currency_behind_a_columns_name_is_compared_with_the_purchases(tmp_path: Path) -> None:
    content = f"{HEADER.replace('exit_fee', 'exit_fee in USD')}\n{ROW}\n"
    assert read(tmp_path, reading(currency="USD"), bill_csv=content).bad_rows == ()
    assert only_bad(read(tmp_path, reading(currency="EUR"))).reason == "is in USD, not in EUR"
