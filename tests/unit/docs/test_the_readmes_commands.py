"""Every command that the README tells people to type is one, with these arguments and options."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from linepool.cli import app

README = Path(__file__).parents[3] / "README.md"
BLOCK = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:^|; |`)(?:\.venv/bin/)?linepool ([^`;#>\n]+)")


def commands() -> list[str]:
    text = README.read_text("utf-8")
    shown = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    quoted = re.findall(r"`linepool [^`<]+`", text)
    found = [command.strip() for line in (*shown, *quoted) for command in COMMAND.findall(line)]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("command", commands())
def test_what_the_readme_tells_to_type_is_a_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINEPOOL_PORTAL", "https://portal.example")
    for name in ("members.csv", "need.json", "usage.csv"):
        (tmp_path / name).touch()
    # Types ask for a folder or file that is there; what they hold is another test's matter.
    at: click.Command = typer.main.get_command(app)
    words = shlex.split(command)
    while words and isinstance(at, typer.core.TyperGroup):
        assert words[0] in at.commands, command
        at = at.commands[words.pop(0)]
    if isinstance(at, typer.core.TyperGroup):
        return
    with CliRunner().isolation(input="ada@harbour.example\n"):
        at.make_context(command, words).close()


def test_the_readme_tells_of_signing_in_forming_asking_choosing_and_accepting() -> None:
    told = {" ".join(command.split()[:2]) for command in commands()}
    assert {"group open", "group close", "usage import", "request issue", "terms accept"} <= told
    assert {"login", "compare"} <= set(commands())
