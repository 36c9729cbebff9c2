"""`linepool compare`, `select`, `terms`: what came of the request."""

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Annotated, Any

import typer

from linepool.people.api import ApiError
from linepool.people.asking import (
    Json,
    PurchaseOption,
    Watch,
    chosen,
    one_sentence,
    read_json,
    say_done,
    say_json,
    say_outcome,
)
from linepool.people.showing import clean, console, moment, say, table
from linepool.people.watching import watch as follow
from shared.messages.providers import TermsDocument
from shared.terms_digest import terms_digest

terms = typer.Typer(help="The selected provider's terms.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(compare)
    app.command()(select)
    app.add_typer(terms, name="terms")


def compare(purchase: PurchaseOption = None, *, watch: Watch = False, as_json: Json = False) -> None:
    """Show what each reply would cost: the totals, and your own row."""
    with one_sentence():
        meant = chosen(purchase)
        found = meant.get("comparison")
        if as_json:
            say_json(found)
            return
        say(
            f"{len(found['evaluations'])} replies on {found['line_count']} lines of {found['buyer_count']} buyers; "
            f"{found['currency']}, {found['tax_basis']}, over the whole term"
        )
        table(
            ("rank", "reply", "provider", "total", "charged until now", "saving", "pay more"),
            (
                (
                    one["rank"],
                    one["reply_id"][:8],
                    one["provider_id"],
                    one["term_total"],
                    one["charged_over_term"],
                    one["saving"],
                    len(one["buyers_paying_more"]),
                )
                for one in found["evaluations"]
            ),
            right=("rank", "total", "charged until now", "saving", "pay more"),
        )
        names = {one["buyer_id"]: one["legal_name"] for one in meant.get("buyers")["buyers"]}
        for one in found["evaluations"]:
            console.print(f"\nRank {one['rank']}: {clean(one['tariff_name'])}")
            table(
                (
                    "buyer",
                    "total",
                    "charged until now",
                    "saving",
                    "exit fees",
                    "alone",
                    "gain from the group",
                ),
                (
                    (
                        names.get(row["buyer_id"], row["buyer_id"][:8]),
                        row["term_total"],
                        row["charged_over_term"],
                        row["saving"],
                        row["exit_fees"],
                        row["alone_total"],
                        row["gain_from_group"],
                    )
                    for row in sorted(one["buyers"], key=lambda row: Decimal(row["saving"]))
                ),
                right=("total", "charged until now", "saving", "exit fees", "alone", "gain from the group"),
            )
        if watch:
            follow(meant)


def select(
    reply: Annotated[str, typer.Argument(help="A reply's rank, or the beginning of its id.")],
    *,
    reason: Annotated[str, typer.Option(help="Why not the others; they are told.")],
    reasons: Annotated[
        Path | None, typer.Option(help="A JSON file of reasons for single replies: [{reply_id, reason}].")
    ] = None,
    purchase: PurchaseOption = None,
    as_json: Json = False,
) -> None:
    """Select one of the compared replies."""
    with one_sentence():
        meant = chosen(purchase)
        found = reply_of(meant.get("comparison")["evaluations"], reply)
        body = {
            "reply_id": found["reply_id"],
            "reason_for_others": reason,
            "reasons": read_json(reasons) if reasons else [],
        }
        done = f"{found['provider_id']} is selected, and told; the others are told why not."
        say_outcome(meant.order("select-reply", body), done, as_json=as_json)


def reply_of(evaluations: Sequence[dict[str, Any]], named: str) -> dict[str, Any]:
    """Return the evaluation that somebody means by its rank, or by the beginning of its reply's id.

    Ids may begin with any digit, so what is some reply's rank is meant as a rank; two replies of one rank are told apart by ids.

    Raises:
        ApiError: there is no such reply, or more than one.
    """
    found = [one for one in evaluations if str(one["rank"]) == named] or [
        one for one in evaluations if one["reply_id"].startswith(named.lower())
    ]
    if len(found) != 1:
        raise ApiError("reply_unknown", "There is no such reply, or more than one.")
    return found[0]


@terms.command(name="show")
def show_terms(purchase: PurchaseOption = None, *, as_json: Json = False) -> None:
    """Show the terms that lie before the group."""
    with one_sentence():
        meant = chosen(purchase)
        found = meant.get("terms")
        if as_json:
            say_json(found)
            return
        award = meant.get("award")
        say(
            f"{found['title']}, of {found['provider_id']}, selected {moment(award['selected_at'], meant.zone)}"
        )
        say(f"{found['state']}; SHA-256 {found['terms_sha256']}")
        console.print()
        say(found["text"])
        if document := found["document"]:
            console.print()
            say(
                f"with a document: {document['name']} ({document['media_type']}, {document['size']} bytes), "
                "see linepool terms document"
            )


@terms.command(name="document")
def fetch_document(
    out: Annotated[
        Path | None, typer.Option(help="Where to; in this folder, under its own name, otherwise.")
    ] = None,
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Fetch the document that belongs to the terms, and check that it is the one that an answer cites."""
    with one_sentence():
        meant = chosen(purchase)
        found = meant.get("terms")
        if found["document"] is None:
            raise ApiError("no_document", "These terms are their text alone: no document belongs to them.")
        document = TermsDocument.model_validate(found["document"])
        if terms_digest(found["text"], document) != found["terms_sha256"]:
            raise ApiError("terms_changed", "The hash of these terms is not that of their text and document.")
        content = meant.download("terms/document")
        if sha256(content).hexdigest() != document.sha256:
            raise ApiError("document_changed", "What came is not the document that belongs to these terms.")
        to = out or Path(PurePath(clean(document.name)).name)
        try:
            with to.open("xb") as file:
                file.write(content)
        except OSError as error:
            raise ApiError("not_written", f"{to} cannot be written ({error.strerror}).") from None
        shown = {"file": str(to), "size": len(content), "sha256": document.sha256}
        say_done(shown, f"{to}: {len(content)} bytes, SHA-256 {document.sha256}", as_json=as_json)


@terms.command()
def accept(
    sha256: Annotated[
        str, typer.Argument(help="The beginning of the hash of the terms that you read (8 digits or more).")
    ],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Accept exactly these terms."""
    with one_sentence():
        meant = chosen(purchase)
        found = _read(meant.get("terms"), sha256)
        say_outcome(
            meant.order("accept-terms", found),
            "The terms are accepted; the purchase is complete.",
            as_json=as_json,
        )


@terms.command()
def reject(
    sha256: Annotated[
        str, typer.Argument(help="The beginning of the hash of the terms that you read (8 digits or more).")
    ],
    reason: Annotated[str, typer.Option()],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Reject these terms; the provider may propose others."""
    with one_sentence():
        meant = chosen(purchase)
        found = _read(meant.get("terms"), sha256)
        say_outcome(
            meant.order("reject-terms", {**found, "reason": reason}),
            "The terms are rejected.",
            as_json=as_json,
        )


_SHORTEST = 8


def _read(found: dict[str, object], sha256: str) -> dict[str, object]:
    if len(sha256) < _SHORTEST or not str(found["terms_sha256"]).startswith(sha256.lower()):
        raise ApiError(
            "other_terms", "These are not the terms that lie before the group: linepool terms show"
        )
    return {"award": found["award"], "terms_sha256": found["terms_sha256"]}
