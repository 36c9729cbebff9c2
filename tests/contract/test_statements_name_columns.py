"""A statement names its columns: a newer release's must not reach an older process, or change what it has prepared."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.released import ROOT, migration_files

TABLES = {
    name
    for file in migration_files().values()
    for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", file.read_text())
}
FILES = sorted(
    str(file.relative_to(ROOT)) for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py")
)


def open_to_any_column(sql: str) -> list[str]:
    """Return the tables of which a statement takes whatever columns they have."""
    found = [table for table in re.findall(r"(?<![\w.(])\*\s+FROM\s+(?:\w+\.)?(\w+)", sql) if table in TABLES]
    for alias in re.findall(r"(\w+)\.\*", sql):
        named = re.findall(rf"(?:FROM|JOIN|,)\s+(?:\w+\.)?(\w+)\s+(?:AS\s+)?{alias}\b", sql)
        found += [table for table in (*named, alias) if table in TABLES]
    return found


def texts(file: Path) -> Iterator[str]:
    """Yield every text in a module's code; of one with places to fill in, what stands between them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else "x" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("name", FILES)
def test_no_statement_takes_whatever_columns_a_table_has(name: str) -> None:
    assert [table for text in texts(ROOT / name) for table in open_to_any_column(text)] == []


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM boxes WHERE true", ["boxes"]),
        ("SELECT DISTINCT ON (consumer, key) *\n  FROM parked", ["parked"]),
        ("SELECT a.* FROM accounts a", ["accounts"]),
        ("SELECT request.*, 1 FROM gates JOIN requests AS request USING (x)", ["requests"]),
        ("SELECT boxes.* FROM boxes", ["boxes"]),
        ("SELECT count(*) FROM boxes", []),
        ("SELECT * FROM unnest($1::uuid[])", []),
        ("SELECT box.* FROM (SELECT purchase_id FROM boxes) AS box", []),
    ],
)
def test_a_statement_that_does_is_found(sql: str, found: list[str]) -> None:
    assert open_to_any_column(sql) == found
