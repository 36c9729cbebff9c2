"""`linepool access` and `linepool keys`."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from deploy.access.apply import difference_of, settle
from deploy.access.broker import AccessError
from deploy.access.model import check_prefix
from deploy.access.render import everything, render
from linepool.provisioning.bundle import new_password
from linepool.provisioning.options import Given, Prefix, Replicas, console, in_groups, one_sentence, say
from linepool.provisioning.place import find_keys

access = typer.Typer(help="Topics, users, rules and quotas at the broker.", no_args_is_help=True)

Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted", help="Somebody else whose rules about our topics are in order, such as User:backup."
    ),
]


@access.command()
@in_groups
def apply(
    *,
    given: Given,
    passwords: Annotated[
        Path | None,
        typer.Option(
            help="JSON: passwords by user. Those of users that are made and not in it are chosen and added to it."
        ),
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Set the passwords of the file for all its users.")
    ] = False,
) -> None:
    """Bring the broker to what deploy/access/ says, and print what was changed."""
    with one_sentence():
        broker = given.broker()
        difference = difference_of(broker)
        known = _passwords(passwords)
        new = {user: new_password() for user in difference.users_missing if user not in known}
        if new and passwords is None:
            raise AccessError(f"{len(new)} users are missing: --passwords names the file for their passwords")
        if new and passwords is not None:
            known |= new
            _keep_passwords(passwords, known)
        wanted = known.keys() if rotate else set(difference.users_missing)
        settle(broker, difference, {user: known[user] for user in known if user in wanted})
        say(difference.repairs(), "Nothing had to be changed.")
        for left in difference.left_alone():
            console.print(f"left alone: {escape(left)}")


@access.command()
@in_groups
def diff(
    *,
    given: Given,
    trusted: Trusted = None,
) -> None:
    """Print what differs between the broker and deploy/access/; the exit code is 1 if anything does."""
    with one_sentence():
        found = list(difference_of(given.broker(), trusted or ()).sentences())
        say(found, "The broker is what it should be.")
    raise typer.Exit(1 if found else 0)


@access.command()
@in_groups
def check(
    *,
    given: Given,
    trusted: Trusted = None,
) -> None:
    """Say in one line whether the broker is what it should be; the exit code is 1 if it is not."""
    with one_sentence():
        found = list(difference_of(given.broker(), trusted or ()).sentences())
        more = f"; the first: {found[0]}" if found else ""
        console.print(
            f"access: {len(found)} differences{escape(more)}" if found else "access: as it should be"
        )
    raise typer.Exit(1 if found else 0)


@access.command(name="render")
def render_access(
    *,
    form: Annotated[
        Literal["shell", "json"], typer.Option("--format", help="A script of Kafka's own commands, or data.")
    ] = "shell",
    prefix: Prefix = None,
    provider_ids: Annotated[
        list[str] | None, typer.Option("--provider", help="A provider's id; again for more.")
    ] = None,
    replicas: Replicas = None,
) -> None:
    """Print what there must be at the broker, for one who administers it. No Kafka is asked."""
    with one_sentence():
        try:
            wanted = everything(check_prefix(prefix or ""), provider_ids or (), replicas)
        except ValueError as error:
            raise AccessError(str(error)) from None
        sys.stdout.write(render(wanted, form))


def keys() -> None:
    """Print the keys with which providers check receipts and seal keys, as JSON."""
    with one_sentence():
        sys.stdout.write(json.dumps(find_keys(None).as_json(), indent=2) + "\n")


def _passwords(file: Path | None) -> dict[str, str]:
    if file is None or not file.exists():
        return {}
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise AccessError(f"{file} holds passwords and others may read it: chmod 600")
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise AccessError(f"{file} is not a JSON object of passwords by user")
    return found


def _keep_passwords(file: Path, passwords: dict[str, str]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        json.dump(passwords, opened, indent=2)
