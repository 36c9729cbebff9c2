"""The page about tests names each guard, and each guard still finds the line that it breaks."""

import re
from pathlib import Path

import pytest

from tests.guards import GUARDS, Guard

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "testing.md"


def test_the_page_s_table_is_the_guards_and_the_files_that_they_break() -> None:
    _, _, table = PAGE.read_text("utf-8").partition("| guard | broken in |")
    rows = re.findall(r"^\| ([^|]+) \| `([^|]+)` \| [^|]+ \|$", table, re.MULTILINE)
    assert sorted((name.replace("`", ""), file) for name, file in rows) == sorted(
        (guard.name, guard.file) for guard in GUARDS
    )


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_what_a_guard_breaks_stands_in_its_file_exactly_once(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text("utf-8").count(guard.old) == 1
