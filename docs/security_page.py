"""docs/security.md: what OWASP's lists ask for, what is done about it here, and the tests that prove it."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "security.yaml"
PAGE = ROOT / "docs" / "security.md"


def security_page() -> str:
    """Return the page. Raises ValueError where it names a test that there is not, or an item without one."""
    source = _source()
    parts = [source["about"]]
    for title, rows in source["items"].items():
        parts += [f"## {title}", "", "| item | what is done here | proven by |", "| --- | --- | --- |"]
        for row in rows:
            named = "<br>".join(f"`{file}` `{name}`" for file, name in _tests_of(row))
            parts.append(f"| {row['item']} | {row['here']} | {named} |")
        parts.append("")
    parts += ["## What is not done", "", *(f"- {one}" for one in source["not_done"])]
    return "\n".join(parts) + "\n"


def named_tests() -> list[tuple[str, str]]:
    """Return (file below tests/, name) of every test that the page names."""
    return [one for rows in _source()["items"].values() for row in rows for one in _tests_of(row)]


@cache
def _source() -> Mapping[str, Any]:
    source: Mapping[str, Any] = yaml.safe_load(SOURCE.read_text("utf-8"))
    return source


def _tests_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(file, name) for file, _, name in (one.partition("::") for one in row["tests"])]
    missing = [f"{file}::{name}" for file, name in found if name not in _tests_in(file)]
    if missing or not found:
        raise ValueError(f"{row['item']}: there is no test {', '.join(missing)}")
    return found


@cache
def _tests_in(file: str) -> frozenset[str]:
    path = ROOT / "tests" / file
    if not path.exists():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )
