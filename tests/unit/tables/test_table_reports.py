import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from linepool.tables.badrows import BadRow, as_csv, as_objects, as_table, harmless, in_order

BAD = (
    BadRow("b.csv", "is empty", line=2, column="x", position=3),
    BadRow("a.xlsx", "is wrong", "Sheet", 10, "y", 1),
    BadRow("a.xlsx", "is wrong", "Sheet", 9, "y", 1),
    BadRow("b.csv", "is no number", line=2, column="w", position=0),
    BadRow("b.csv", "is not UTF-8"),
    BadRow("b.csv", "is not UTF-8"),
)


def test_bad_rows_stand_in_a_fixed_order_each_once() -> None:
    ordered = in_order(BAD)
    assert ordered == in_order(reversed(BAD))
    assert [(bad.file, bad.line, bad.column) for bad in ordered] == [
        ("a.xlsx", 9, "y"),
        ("a.xlsx", 10, "y"),
        ("b.csv", None, None),
        ("b.csv", 2, "w"),
        ("b.csv", 2, "x"),
    ]


def test_a_bad_row_is_told_for_people_and_for_programs() -> None:
    assert str(BAD[1]) == "a.xlsx, sheet Sheet, line 10, column y: is wrong"
    assert as_objects(BAD[:1]) == [
        {"file": "b.csv", "sheet": None, "line": 2, "column": "x", "reason": "is empty"}
    ]
    assert as_table(BAD[:1]).splitlines() == ["file   line  column  reason", "b.csv  2     x       is empty"]
    assert as_table(BAD).splitlines()[0].split() == ["file", "sheet", "line", "column", "reason"]


def test_a_name_cannot_write_to_the_terminal() -> None:
    bad = BadRow("\x1b[2Jevil.csv", "is bad", line=1, column="a\nb\u202e")
    assert as_table([bad]).isprintable() is False  # its two lines
    assert all(line.isprintable() for line in as_table([bad]).splitlines())
    assert str(bad).isprintable()


@given(st.text(min_size=1, max_size=10))
def test_no_cell_of_a_written_report_is_a_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(as_csv([BadRow(text, text, text, 1, text)]), newline="")))
    for cell in (rows[1][0], rows[1][1], rows[1][3], rows[1][4]):
        assert cell[0] not in "=+-@\t\r\n"
        assert cell.removeprefix("'") == text.removeprefix("'")


def test_what_is_no_formula_stays_as_it_is() -> None:
    assert harmless("Town Hall") == "Town Hall"
    assert harmless("=cmd|' /C calc'!A0").startswith("'=")
