"""`linepool custodian`: for whoever keeps the second key of a purchase. No command asks any server anything."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from linepool.custodian.keys import CustodianError, key_for, make_secret, read_secret, released_key
from shared.sealing import private_key_b64, public_key_b64

app = typer.Typer(help="The second key of a purchase, kept by an independent party.", no_args_is_help=True)

Secret = Annotated[
    Path, typer.Option("--keys", envvar="LINEPOOL_CUSTODIAN_KEYS", help="The file that `keys` made.")
]
PurchaseId = Annotated[UUID, typer.Argument(help="The purchase's whole id, as the coordinator says it.")]
Deadline = Annotated[
    str, typer.Argument(help="Until when replies count, exactly as in the request: 2026-05-01T12:00:00Z.")
]


@app.command()
def keys(
    file: Annotated[Path, typer.Argument(help="Where the secret goes; whoever has it has all keys.")],
) -> None:
    """Make a secret from which the keys of all purchases follow. Keep a copy in a safe place."""
    with one_sentence():
        make_secret(file)
        sys.stdout.write(f"{file} is made, and readable by you alone.\n")


@app.command()
def public(purchase: PurchaseId, deadline: Deadline, *, secret: Secret) -> None:
    """Print the public key for a purchase: the coordinator names it in the request, providers may ask you for it."""
    with one_sentence():
        key = key_for(read_secret(secret), purchase, _time(deadline))
        sys.stdout.write(f"{public_key_b64(key)}\n")


@app.command()
def release(purchase: PurchaseId, deadline: Deadline, *, secret: Secret) -> None:
    """Print the private key for this purchase alone, for the coordinator to hand in; refused before the deadline."""
    with one_sentence():
        key = released_key(read_secret(secret), purchase, _time(deadline), datetime.now(UTC))
        released = {
            "purchase_id": str(purchase),
            "public_key": public_key_b64(key),
            "private_key": private_key_b64(key),
        }
        sys.stdout.write(json.dumps(released, indent=2) + "\n")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CustodianError(f"{text} is no time such as 2026-05-01T12:00:00Z.") from None
    if time.tzinfo is None:
        raise CustodianError(f"{text} does not say its offset: 2026-05-01T12:00:00Z is in UTC.")
    return time.astimezone(UTC)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what went wrong; exit with 1."""
    try:
        yield
    except CustodianError as error:
        sys.stderr.write(f"linepool: {error}\n")
        raise typer.Exit(1) from None
