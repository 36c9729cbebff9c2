"""A group of options reaches a command as one value, and the shell sees each of them."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from linepool.provisioning.options import Given, in_groups


@dataclass(frozen=True)
class Trip:
    """Where to, and whether back."""

    to: Annotated[str, typer.Option(help="A town.")] = "Aal"
    back: Annotated[bool, typer.Option("--and-back")] = False


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()

    @made.command()
    @in_groups
    def go(name: str, *, trip: Trip, given: Given, quietly: bool = False) -> None:
        """Go somewhere."""
        typer.echo(f"{name} {trip.to} {trip.back} {given.kafka} {given.prefix} {quietly}")

    return made


def said(app: typer.Typer, *words: str, environment: dict[str, str] | None = None) -> str:
    done = CliRunner().invoke(app, words, env=environment)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_each_option_of_a_group_is_an_option_of_the_command(app: typer.Typer) -> None:
    assert said(app, "Ann") == "Ann Aal False None None False"
    words = ("Ann", "--to", "Bel", "--and-back", "--quietly", "--kafka", "broker:9092")
    assert said(app, *words) == "Ann Bel True broker:9092 None True"


def test_an_option_of_a_group_may_come_from_the_environment(app: typer.Typer) -> None:
    assert (
        said(app, "Ann", environment={"LINEPOOL_TOPIC_PREFIX": "north."}) == "Ann Aal False None north. False"
    )


def test_help_names_every_option_and_no_group(app: typer.Typer) -> None:
    shown = said(app, "--help")
    assert "Go somewhere." in shown
    for option in ("--to", "--and-back", "--quietly", "--kafka", "--ca-file", "--prefix"):
        assert option in shown
    assert "--trip" not in shown
    assert "--given" not in shown
