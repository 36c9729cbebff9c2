import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linepool.cli import app
from tests.unit.usage.usage_files import HEADER, ROW


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bills = tmp_path / "bills"
    bills.mkdir()
    (bills / "a.csv").write_text(f"{HEADER}\n{ROW}\n")
    return bills


@pytest.mark.parametrize("command", ["usage", "group"])
@pytest.mark.parametrize("name", ["t.csv", "t.xlsx"])
def test_a_template_is_what_check_takes(tmp_path: Path, command: str, name: str) -> None:
    assert run(command, "template", tmp_path / name).exit_code == 0
    assert run(command, "check", tmp_path / name).exit_code == 0
    again = run(command, "template", tmp_path / name)
    assert (again.exit_code, "exists" in again.output) == (1, True)
    other = run(command, "template", tmp_path / "t.ods")
    assert (other.exit_code, ".csv or .xlsx" in other.output) == (1, True)


def test_a_template_can_be_printed(tmp_path: Path) -> None:
    printed = tmp_path / "t.csv"
    printed.write_text(run("usage", "template").output)
    assert run("usage", "check", printed).exit_code == 0


def test_what_an_import_would_do_is_said_for_programs(folder: Path) -> None:
    said = run("usage", "check", folder, "--json")
    assert said.exit_code == 0
    assert json.loads(said.output) == {
        "files": [{"file": "a.csv", "sheet": None, "rows": 1, "totals_rows": 0, "note": ""}],
        "reports": [
            {
                "buyer": "Library",
                "start": "2026-01-01",
                "end": "2026-01-31",
                "months": 1,
                "lines": 1,
                "recurring_charged": "9.90",
                "usage_charged": "0.85",
                "quantities": {"voice.day": {"quantity": "5", "unit": "MIN"}},
            }
        ],
        "bad_rows": [],
    }


def test_a_bad_row_makes_the_exit_code_one_and_is_written_for_a_spreadsheet(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "=b.csv").write_text(f"{HEADER}\n{ROW.replace('L1', '§')}\n")
    report = tmp_path / "bad.csv"
    said = run("usage", "check", folder, "--json", "--report", report)
    assert said.exit_code == 1
    told = json.loads(said.output)
    assert told["reports"] == []
    (bad,) = told["bad_rows"]
    assert (bad["file"], bad["line"], bad["column"]) == ("=b.csv", 2, "line_id")
    (row,) = csv.DictReader(io.StringIO(report.read_text("utf-8-sig")))
    assert (row["file"], row["line"], row["reason"]) == ("'=b.csv", "2", bad["reason"])
    kept = json.loads(run("usage", "check", folder, "--json", "--keep-good").output)
    assert [one["buyer"] for one in kept["reports"]] == ["Library"]
    assert kept["bad_rows"] == told["bad_rows"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--column", "no equals sign"), "THEIRS=OURS"),
        (("--column", "a=b"), "none of the columns"),
        (("--currency", "EURO"), "no currency"),
        (("--from", "January"), "must be a month as YYYY-MM"),
    ],
)
def test_an_option_that_says_nothing_is_refused_in_one_sentence(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = run("usage", "check", folder, *arguments)
    assert result.exit_code == 1
    assert result.output.startswith("linepool: ")
    assert result.output.count("\n") == 1
    assert said in result.output


def test_a_folder_that_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    result = run("usage", "check", tmp_path / "none")
    assert result.exit_code == 1
    assert result.output.startswith("linepool: ")
