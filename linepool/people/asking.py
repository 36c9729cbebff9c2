"""What every command needs: who asks, about which purchase, and one sentence when something goes wrong."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from linepool.people import session
from linepool.people.advice import next_step
from linepool.people.api import Api, ApiError
from linepool.people.showing import say

Json = Annotated[bool, typer.Option("--json", help="Say it for programs.")]
PurchaseOption = Annotated[
    str | None,
    typer.Option(
        "--purchase",
        "-p",
        help="A purchase's name, or the beginning of its id (default: the last one you used).",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Go on, and show what happens live.")]


@dataclass(frozen=True)
class Purchase:
    """The purchase that a command is about. `shown` is what the portal says of it."""

    api: Api
    shown: dict[str, Any]

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.shown["purchase_id"])

    @property
    def zone(self) -> str:
        """The time zone in which its people read times."""
        return str(self.shown["time_zone"])

    def get(self, what: str) -> Any:
        """Return what the portal shows of it. Raises ApiError."""
        return self.api.get(f"/purchases/{self.id}/{what}")

    def download(self, what: str) -> bytes:
        """Return a document of it. Raises ApiError."""
        return self.api.download(f"/purchases/{self.id}/{what}")

    def order(self, name: str, body: dict[str, Any] | None = None, *, wait: bool = True) -> Any:
        """Give an order about it. Raises ApiError."""
        return self.api.post(f"/purchases/{self.id}/{name}", body, wait=wait)


def chosen(named: str | None) -> Purchase:
    """Return the purchase that somebody means, and remember it. Raises ApiError."""
    signed = session.load()
    found = signed.api.get("/purchases")
    meant = [one for one in found if _is_meant(one, named)] if named else found
    if named is None and signed.purchase:
        meant = [one for one in found if one["purchase_id"] == signed.purchase] or meant
    if not meant:
        raise ApiError("purchase_unknown", "You belong to no such purchase.")
    if len(meant) > 1:
        names = ", ".join(f"{one['name']} ({one['purchase_id'][:8]})" for one in meant)
        raise ApiError("purchase_ambiguous", f"Say which purchase you mean with --purchase: {names}.")
    session.save(replace(signed, purchase=meant[0]["purchase_id"]))
    return Purchase(signed.api, meant[0])


def _is_meant(purchase: dict[str, Any], named: str) -> bool:
    return purchase["name"] == named or str(purchase["purchase_id"]).startswith(named.lower())


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what was refused, and in another what to do about it; exit with 1."""
    try:
        yield
    except ApiError as error:
        lines = [error.detail, *(f"{where}: {why}" for where, why in error.faults)]
        advice = next_step(error.reason)
        sys.stderr.write("".join(f"linepool: {line}\n" for line in [*lines, *([advice] if advice else [])]))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def say_json(shown: Any) -> None:
    """Print something for programs."""
    sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


def say_done(shown: Any, done: str, *, as_json: bool) -> None:
    """Say that something is done: in a sentence, or for programs."""
    if as_json:
        say_json(shown)
    else:
        say(done)


def say_outcome(outcome: dict[str, Any], done: str, *, as_json: bool) -> None:
    """Say what came of an order."""
    if as_json:
        say_json(outcome)
    elif outcome["facts"]:
        say(done)
    else:
        say(f"The order is on its way; its number is {outcome['order_id']}.")


def read_json(file: Any) -> Any:
    """Return the content of a JSON file that somebody wrote. Raises ApiError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ApiError("file_unreadable", f"{file} cannot be read: {error}.") from None


def buyer_of(buyers: dict[str, Any], named: str) -> str:
    """Return the id of the buyer that somebody means. Raises ApiError."""
    meant = [
        one
        for one in buyers["buyers"]
        if one["legal_name"] == named or one["buyer_id"].startswith(named.lower())
    ]
    if len(meant) != 1:
        raise ApiError("buyer_unknown", f"The group has {'several' if meant else 'no'} such buyers: {named}.")
    return str(meant[0]["buyer_id"])


def own_or_named(purchase: Purchase, named: str | None) -> str:
    """Return the id of the buyer that somebody means, by default the one they speak for. Raises ApiError."""
    own = purchase.shown["buyer_ids"]
    if named is None and len(own) == 1:
        return str(own[0])
    if named is None:
        raise ApiError("buyer_needed", "Say which buyer you mean with --buyer.")
    return buyer_of(purchase.get("buyers"), named)
