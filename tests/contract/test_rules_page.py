"""docs/rules.md names every rule of procurement with the test that proves it, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rules.md"
MODULES = ("test_peppol_rules.py", "test_eu_annex_iv.py")
# The rules that must have a test, whatever else the page says.
PEPPOL = ("br53-003", "br53-005", "br53-007", "br54-004", "br54-006", "br54-007", "br54-010", "br48-003")
ANNEX_IV = tuple(f"({letter})" for letter in "abcdefg")


def rows() -> dict[str, tuple[str, str, str]]:
    """Return by rule what it asks, the module and the name of its test."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and (named := re.fullmatch(r"`(test_\w+\.py)` `(test_\w+)`", cells[-1])):
            assert cells[0] not in found
            found[cells[0]] = cells[1], named[1], named[2]
    return found


def docstrings() -> dict[tuple[str, str], str]:
    """Return the docstring of every test of the rules."""
    return {
        (module, node.name): ast.get_docstring(node) or ""
        for module in MODULES
        for node in ast.parse((ROOT / "tests" / "integration" / module).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_rule_has_its_row_and_every_test_its_rule() -> None:
    assert set(rows()) == {*PEPPOL, *ANNEX_IV}
    assert {(module, name) for _, module, name in rows().values()} == set(docstrings())


def test_a_test_is_named_after_its_rule_and_says_what_the_page_says() -> None:
    for rule, (asked, module, name) in rows().items():
        word = rule.replace("-", "_") if rule in PEPPOL else f"annex_iv_{rule.strip('()')}"
        title = f"Peppol {rule}" if rule in PEPPOL else f"Annex IV {rule}"
        assert name.startswith(f"test_{word}_")
        assert docstrings()[module, name] == f"{title}: {asked}."
