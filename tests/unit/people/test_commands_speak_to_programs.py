"""Every command of people says what it did to programs too, with `--json`."""

from collections.abc import Iterator

import click
import pytest
import typer

from linepool.cli import app

OF_PEOPLE = ("linepool.people.", "linepool.members.", "linepool.usage.")
WRITE_A_FILE = {
    "group template": "prints a file of members to start from, or writes it",
    "usage template": "prints a usage file to start from, or writes it",
    "request template": "prints JSON, whatever is asked for",
}
"""Commands that have nothing else to say, and what they do."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command whose code belongs to people's command line."""
    yield from _below(typer.main.get_command(app), ())


def _below(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, typer.core.TyperGroup):
        for name, one in command.commands.items():
            yield from _below(one, (*path, name))
    elif command.callback is not None and command.callback.__module__.startswith(OF_PEOPLE):
        yield " ".join(path), command


def test_the_walk_finds_the_commands_of_every_room() -> None:
    names = {name for name, _ in commands()}
    rooms = {"login", "contact confirm", "group leave", "group import", "usage import", "request cancel"}
    assert rooms | {"select", "terms document"} <= names
    assert WRITE_A_FILE.keys() <= names


@pytest.mark.parametrize(("name", "command"), [*commands()], ids=[name for name, _ in commands()])
def test_a_command_of_people_has_json(name: str, command: click.Command) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) == (name not in WRITE_A_FILE)
