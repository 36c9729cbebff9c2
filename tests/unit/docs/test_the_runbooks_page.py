"""No command sequence of docs/runbooks.md is left out by the tests that run them, which a build has no time for."""

from pathlib import Path

from tests.integration.runbooks import blocks

RUN_BY = Path(__file__).parents[2] / "integration" / "test_runbooks.py"


def test_every_sequence_of_the_page_is_run_by_a_test() -> None:
    said = RUN_BY.read_text()
    assert [name for name in blocks() if f'"{name}"' not in said] == []
