"""The examples of docs/buyers.md do what the page says."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linepool.cli import app
from linepool.members.columns import SYNONYMS as MEMBER_SYNONYMS
from linepool.members.template import TEMPLATE as MEMBER_TEMPLATE
from linepool.tables.columns import plain
from linepool.usage.columns import CHARGES, UNITS
from linepool.usage.columns import SYNONYMS as USAGE_SYNONYMS
from linepool.usage.template import TEMPLATE as USAGE_TEMPLATE

PAGE = Path(__file__).parents[3] / "docs" / "buyers.md"
BLOCK = re.compile(r"^```(csv|sh run|text)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> Iterator[tuple[str, str, str]]:
    yield from BLOCK.findall(PAGE.read_text("utf-8"))


def test_the_pages_examples_say_what_stands_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = None
    compared = 0
    for kind, name, content in blocks():
        if kind == "csv":
            (tmp_path / name).write_text(content, "utf-8")
        elif kind == "sh run":
            said = ""
            for command in content.splitlines():
                program, *arguments = shlex.split(command)
                assert program == "linepool"
                said += CliRunner().invoke(app, arguments, catch_exceptions=False).output
        else:
            assert said == content
            compared += 1
    assert compared == 6


@pytest.mark.parametrize("synonyms", [USAGE_SYNONYMS, MEMBER_SYNONYMS])
def test_the_page_tells_no_name_that_is_not_known_and_most_that_are(
    synonyms: Mapping[str, tuple[str, ...]],
) -> None:
    page = PAGE.read_text("utf-8")
    rows = {
        column: [name.strip() for name in re.split(r"[,;]", names)]
        for column, names in re.findall(r"^\| `(\w+)` \|.*?([^|]*) \|$", page, re.MULTILINE)
    }
    for column, names in synonyms.items():
        if column.startswith("billing"):
            continue
        told = {plain(name) for name in rows[column]}
        assert told <= {plain(name) for name in names}, column


def test_the_page_tells_all_words_for_units_and_charges() -> None:
    page = PAGE.read_text("utf-8").casefold()
    for word in (*CHARGES, *(word for word in UNITS if word != "min")):
        assert f"`{word}`" in page


def test_the_page_tells_every_column_of_the_templates() -> None:
    page = PAGE.read_text("utf-8")
    for column in (*USAGE_TEMPLATE[0], *MEMBER_TEMPLATE[0]):
        if not column.startswith(("voice.night", "mobile")):
            assert f"`{column}`" in page
