"""`linepool group`: a group opens, its members come, and it closes."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from linepool.people import session
from linepool.people.api import Api
from linepool.people.asking import (
    Json,
    PurchaseOption,
    Watch,
    buyer_of,
    chosen,
    one_sentence,
    own_or_named,
    say_done,
    say_json,
    say_outcome,
)
from linepool.people.documents import parts_of
from linepool.people.showing import moment, say, table
from linepool.people.watching import watch as follow

app = typer.Typer()
Identifiers = Annotated[
    list[str],
    typer.Option(
        "--identifier", help="An entry in a register, as SCHEME:ID, for example XI-LEI:5493001KJTIIGC8Y1R12."
    ),
]
ContactName = Annotated[str, typer.Option(help="The contact person's name.")]
Email = Annotated[str, typer.Option(help="The contact person's mail address.")]
Phone = Annotated[str | None, typer.Option(help="The contact person's number, like +441632960011.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those that read files of members."""
    group.registered_commands.extend(app.registered_commands)


def identifiers_of(given: list[str]) -> list[dict[str, str]]:
    """Return register entries, as the API wants them."""
    return [{"scheme": one.partition(":")[0], "id": one.partition(":")[2]} for one in given]


def contact_of(name: str, email: str, phone: str | None) -> dict[str, Any]:
    """Return a person, as the API wants them."""
    return {"name": name, "email": email, "phone": phone}


@app.command(name="open")
def open_group(
    name: Annotated[str, typer.Argument(help="What the group is called.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, for example EUR.")],
    tax_basis: Annotated[Literal["net", "gross"], typer.Option(help="Whether amounts contain tax.")],
    *,
    contact: Annotated[
        str | None, typer.Option("--name", help="Your name, if you are not signed in.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Your mail address, if you are not signed in.")] = None,
    phone: Phone = None,
    portal: Annotated[
        str | None, typer.Option(envvar="LINEPOOL_PORTAL", help="If you are not signed in.")
    ] = None,
    letters: Annotated[bool, typer.Option(help="Demand a letter of agency of every buyer.")] = False,
    time_zone: Annotated[str, typer.Option(help="In which people read times.")] = "UTC",
    as_json: Json = False,
) -> None:
    """Open a group; its initial password is mailed to you."""
    with one_sentence():
        body: dict[str, Any] = {
            "name": name,
            "currency": currency,
            "tax_basis": tax_basis,
            "letters_required": letters,
            "time_zone": time_zone,
        }
        if email and contact and portal:
            body["contact"] = contact_of(contact, email, phone)
            opened = Api(portal).post("/purchases", body)
        else:
            opened = session.load().api.post("/purchases", body)
        say_done(
            opened,
            f"The group {name} opens as purchase {opened['purchase_id']}; its initial password is mailed to you.",
            as_json=as_json,
        )


@app.command(name="list")
def list_groups(*, as_json: Json = False) -> None:
    """List your groups and purchases."""
    with one_sentence():
        found = session.load().api.get("/purchases")
        if as_json:
            say_json(found)
            return
        table(
            ("purchase", "name", "you are", "stage", "waits for"),
            (
                (
                    one["purchase_id"][:8],
                    one["name"],
                    ", ".join(one["roles"]),
                    one["progress"]["stage"].replace("_", " "),
                    one["progress"]["waits_for"],
                )
                for one in found
            ),
        )


@app.command()
def show(purchase: PurchaseOption = None, *, watch: Watch = False, as_json: Json = False) -> None:
    """Show a group: its buyers, what they have reported, and what the purchase waits for."""
    with one_sentence():
        meant = chosen(purchase)
        buyers = meant.get("buyers")
        if as_json:
            say_json({**meant.shown, **buyers})
            return
        progress = meant.shown["progress"]
        say(f"{meant.shown['name']}, purchase {meant.id}")
        say(f"{progress['stage'].replace('_', ' ')} since {moment(progress['since'], meant.zone)}")
        if progress["waits_for"]:
            say(f"It waits for {progress['waits_for']}.")
        say(f"{buyers['count']} buyers, {buyers['usage_lines']} lines of usage")
        table(
            ("buyer", "legal name", "lines", "verified", "letter until"),
            (
                (
                    one["buyer_id"][:8],
                    one["legal_name"],
                    one["usage_lines"],
                    one["verified"],
                    one["letter_until"],
                )
                for one in buyers["buyers"]
            ),
            right=("lines",),
        )
        for one in buyers["invitations"]:
            say(f"Invited until {moment(one['expires_at'], meant.zone)}: {one['legal_name']}")
        if watch:
            follow(meant)


@app.command()
def invite(
    legal_name: Annotated[str, typer.Argument(help="The organisation that you invite.")],
    name: ContactName,
    email: Email,
    phone: Phone = None,
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Invite an organisation: its contact person gets a link that works once."""
    with one_sentence():
        body = {"legal_name": legal_name, "contact": contact_of(name, email, phone)}
        say_outcome(
            chosen(purchase).order("invite-buyer", body), f"{legal_name} is invited.", as_json=as_json
        )


@app.command()
def renew(
    invitation: Annotated[str, typer.Argument(help="The invitation's id.")],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Send a new link for an invitation; the one before no longer works."""
    with one_sentence():
        say_outcome(
            chosen(purchase).order("renew-invitation", {"invitation_id": invitation}),
            "A new link is mailed.",
            as_json=as_json,
        )


@app.command()
def revoke(
    invitation: Annotated[str, typer.Argument(help="The invitation's id.")],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Take an invitation back."""
    with one_sentence():
        say_outcome(
            chosen(purchase).order("revoke-invitation", {"invitation_id": invitation}),
            "The invitation is taken back.",
            as_json=as_json,
        )


@app.command()
def add(
    legal_name: Annotated[str, typer.Argument(help="The organisation that you add on its behalf.")],
    identifier: Identifiers,
    name: ContactName,
    email: Email,
    phone: Phone = None,
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Add an organisation on its behalf; its contact person is told."""
    with one_sentence():
        body = {
            "legal_name": legal_name,
            "identifiers": identifiers_of(identifier),
            "contact": contact_of(name, email, phone),
        }
        say_outcome(chosen(purchase).order("add-buyer", body), f"{legal_name} has joined.", as_json=as_json)


@app.command()
def remove(
    buyer: Annotated[str, typer.Argument(help="The buyer's id, or its legal name.")],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Take a buyer out of the group."""
    with one_sentence():
        meant = chosen(purchase)
        say_outcome(
            meant.order("remove-buyer", {"buyer_id": buyer_of(meant.get("buyers"), buyer)}),
            f"{buyer} has left.",
            as_json=as_json,
        )


@app.command()
def leave(
    buyer: Annotated[
        str | None, typer.Option(help="The buyer's id or legal name (default: your own).")
    ] = None,
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Leave the group, with what you reported, as long as it is open."""
    with one_sentence():
        meant = chosen(purchase)
        say_outcome(
            meant.order("leave-group", {"buyer_id": own_or_named(meant, buyer)}),
            "Your organisation has left the group.",
            as_json=as_json,
        )


@app.command()
def minimum(
    *,
    buyers: Annotated[int, typer.Option(min=0)] = 0,
    lines: Annotated[int, typer.Option(min=0)] = 0,
    by: Annotated[datetime, typer.Option(help="Until when, in UTC.", formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d"])],
    otherwise: Annotated[
        Literal["coordinator_decides", "dissolve"], typer.Option(help="What follows if it stays smaller.")
    ] = "coordinator_decides",
    purchase: PurchaseOption = None,
    as_json: Json = False,
) -> None:
    """Say how large the group must become, and until when."""
    with one_sentence():
        body = {"buyers": buyers, "lines": lines, "decide_by": f"{by.isoformat()}Z", "otherwise": otherwise}
        say_outcome(chosen(purchase).order("set-minimum", body), "The minimum is set.", as_json=as_json)


@app.command()
def letter(
    file: Annotated[Path, typer.Argument(help="The signed letter of agency.", exists=True, dir_okay=False)],
    *,
    buyer: Annotated[
        str | None, typer.Option(help="The buyer's id or legal name (default: your own).")
    ] = None,
    signer: Annotated[str, typer.Option(help="Who signed it.")],
    signed_on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])],
    valid_from: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"])],
    valid_until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"])],
    service: Annotated[
        list[str], typer.Option(help="A service that it covers, for example voice.day; may be repeated.")
    ],
    purchase: PurchaseOption = None,
    as_json: Json = False,
) -> None:
    """File a buyer's letter of agency."""
    with one_sentence():
        meant = chosen(purchase)
        agency = {
            "services": service,
            "valid_from": _day(valid_from),
            "valid_until": _day(valid_until),
            "signed_on": _day(signed_on),
        }
        about = {"buyer_id": own_or_named(meant, buyer), "agency": agency, "signer": signer}
        for part in parts_of(file):
            outcome = meant.order(
                "file-letter", {**about, **part}, wait=part["part"] == part["document"]["parts"]
            )
        say_outcome(outcome, f"{file.name} is filed.", as_json=as_json)


@app.command()
def evidence(
    file: Annotated[Path, typer.Argument(help="A document about who you are.", exists=True, dir_okay=False)],
    *,
    kind: Annotated[
        Literal["register_extract", "identity_document", "authorisation", "other"], typer.Option()
    ],
    buyer: Annotated[
        str | None, typer.Option(help="The buyer's id or legal name (default: your own).")
    ] = None,
    coordinator: Annotated[bool, typer.Option("--coordinator", help="It is about the coordinator.")] = False,
    purchase: PurchaseOption = None,
    as_json: Json = False,
) -> None:
    """File evidence of identity, which the officer and nobody else reads."""
    with one_sentence():
        meant = chosen(purchase)
        party = (
            {"party": "coordinator", "party_id": meant.api.get("/me")["person_id"]}
            if coordinator
            else {
                "party": "buyer",
                "party_id": own_or_named(meant, buyer),
            }
        )
        for part in parts_of(file):
            outcome = meant.order(
                "file-evidence",
                {**party, "kind": kind, **part},
                wait=part["part"] == part["document"]["parts"],
            )
        say_outcome(outcome, f"{file.name} is filed.", as_json=as_json)


@app.command()
def close(purchase: PurchaseOption = None, *, as_json: Json = False) -> None:
    """Freeze the membership and its usage."""
    with one_sentence():
        say_outcome(chosen(purchase).order("close-group"), "The group is closed.", as_json=as_json)


@app.command()
def dissolve(
    reason: Annotated[str, typer.Option()], purchase: PurchaseOption = None, *, as_json: Json = False
) -> None:
    """Give the group up before it is closed; everyone in it is told."""
    with one_sentence():
        say_outcome(
            chosen(purchase).order("dissolve-group", {"reason": reason}),
            "The group is dissolved.",
            as_json=as_json,
        )


def _day(time: datetime) -> str:
    day: date = time.date()
    return day.isoformat()
