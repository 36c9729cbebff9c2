"""`linepool contact`: how one is reached. A new mail address counts once the code that is mailed there has come back."""

from dataclasses import replace
from typing import Annotated

import typer

from linepool.people import session
from linepool.people.asking import Json, one_sentence, say_done

app = typer.Typer(help="How Linepool reaches you.", no_args_is_help=True)


@app.command()
def change(
    email: Annotated[str | None, typer.Option(help="Your new mail address; a code is mailed there.")] = None,
    name: Annotated[str | None, typer.Option(help="Your name.")] = None,
    phone: Annotated[str | None, typer.Option(help="Your number, like +441632960011.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Change your name or number at once, and your address with `linepool contact confirm`."""
    with one_sentence():
        api = session.load().api
        me = api.get("/me")
        body = {"name": name or me["name"], "email": email or me["email"], "phone": phone or me["phone"]}
        outcome = api.put("/me/contact", body)
        same = body["email"].lower() == me["email"].lower()
        done = "Changed." if same else f"A code is on its way to {email}. Then: linepool contact confirm CODE"
        say_done(outcome, done, as_json=as_json)


@app.command()
def confirm(
    code: Annotated[str, typer.Argument(help="The code that was mailed to your new address.")],
    *,
    as_json: Json = False,
) -> None:
    """Let your new address count; you sign in with it from then on."""
    with one_sentence():
        signed = session.load()
        new = signed.api.get("/me")["unconfirmed_email"]
        outcome = signed.api.post("/me/address", {"code": code})
        if new is not None:
            session.save(replace(signed, email=new))
        done = f"Linepool reaches you at {new or 'your new address'} from now on."
        say_done(outcome, done, as_json=as_json)


@app.command()
def resend(*, as_json: Json = False) -> None:
    """Have a new code mailed to your new address; the one before is void."""
    with one_sentence():
        outcome = session.load().api.post("/me/address-code")
        say_done(outcome, "A new code is on its way.", as_json=as_json)
