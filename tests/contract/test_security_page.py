"""docs/security.md names all that OWASP's list has, each with tests that there are; and what no other test proves."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from docs import security_page
from docs.security_page import PAGE, named_tests

ROOT = Path(__file__).parents[2]
TOP_TEN = tuple(f"API{number}" for number in range(1, 11))
ASVS = (
    *(
        "2.3.1",
        "2.3.3",
        "2.3.4",
        "2.4.1",
        "6.2.1",
        "6.3.1",
        "6.3.8",
        "6.4.1",
        "6.5.1",
        "8.2.1",
        "8.2.2",
        "8.2.3",
    ),
    *(
        "8.4.1",
        "12.3.1",
        "13.2.2",
        "15.1.3",
        "15.3.1",
        "15.3.3",
        "15.4.2",
        "16.2.5",
        "16.3.1",
        "16.4.2",
        "16.5.3",
    ),
)
"""The items that must have a test, whatever else the page says."""
CLIENTS = {"httpx", "requests", "aiohttp", "urllib.request", "urllib3", "http.client", "ftplib"}


def items() -> list[str]:
    return [
        line.strip("|").split("|")[0].strip() for line in PAGE.read_text().splitlines() if line[:2] == "| "
    ]


def test_every_item_that_must_have_a_test_has_a_row() -> None:
    named = {word.strip(",") for item in items() for word in item.split()}
    assert {*TOP_TEN, *ASVS} <= named


def test_the_tests_that_the_page_names_are_many_and_are_there() -> None:
    assert len(set(named_tests())) > 60


def a_page(*tests: str) -> dict[str, Any]:
    return {
        "about": "",
        "items": {"Items": [{"item": "API1", "here": "x", "tests": [*tests]}]},
        "not_done": [],
    }


def test_a_test_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = "contract/test_security_page.py::test_of_nothing"
    monkeypatch.setattr(security_page, "_source", lambda: a_page(gone))
    with pytest.raises(ValueError, match=f"API1: there is no test {re.escape(gone)}"):
        security_page.security_page()


def test_an_item_without_a_test_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_page, "_source", a_page)
    with pytest.raises(ValueError, match="API1"):
        security_page.security_page()


def test_no_service_has_a_client_for_addresses_that_somebody_could_name() -> None:
    files = [file for room in ("services", "shared") for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    found = {str(file.relative_to(ROOT)): sorted(imported(file) & CLIENTS) for file in files}
    assert {file: clients for file, clients in found.items() if clients} == {}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return names | {name.partition(".")[0] for name in names}
