"""`linepool login`, `logout`, `whoami`, `join`: who one is."""

import sys
from typing import Annotated, Any

import typer

from linepool.people import session
from linepool.people.api import Api, ApiError
from linepool.people.asking import Json, one_sentence, say_done, say_json
from linepool.people.session import SignedIn
from linepool.people.showing import moment, say

Portal = Annotated[str, typer.Option(envvar="LINEPOOL_PORTAL", help="The portal's address, https://...")]
FromStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin", help="Read the password, and a new one on a second line, from standard input."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (login, logout, whoami, join):
        app.command()(command)


def login(
    portal: Portal,
    email: Annotated[str, typer.Option(prompt="Mail address", help="Where Linepool's mails reach you.")],
    *,
    code: Annotated[str | None, typer.Option(help="Six digits of your second factor.")] = None,
    forgotten: Annotated[bool, typer.Option(help="Have a new initial password mailed to you.")] = False,
    from_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Sign in. The first time: with the initial password that was mailed to you, choosing your own."""
    with one_sentence():
        api = Api(portal)
        if forgotten:
            api.post("/password/reissue", {"email": email})
            done = "If this address is known, a new initial password is on its way to it."
            say_done({"email": email}, done, as_json=as_json)
            return
        given = sys.stdin.read().splitlines() if from_stdin else []
        body: dict[str, Any] = {
            "email": email,
            "password": given[0] if given else typer.prompt("Password", hide_input=True),
        }
        if len(given) > 1:
            body["new_password"] = given[1]
        if code:
            body["code"] = code
        signed = _sign_in(api, body, ask=not from_stdin)
        session.save(SignedIn(portal, email, signed["token"], signed["ends_at"]))
        done = f"You are signed in until {moment(signed['ends_at'])}."
        say_done({"portal": portal, "email": email, "ends_at": signed["ends_at"]}, done, as_json=as_json)


def _sign_in(api: Api, body: dict[str, Any], *, ask: bool) -> Any:
    while True:
        try:
            return api.post("/sessions", body)
        except ApiError as error:
            if not ask or error.reason not in {"new_password_needed", "code_needed"}:
                raise
            if error.reason == "code_needed":
                body = {**body, "code": typer.prompt("Code of your second factor")}
            else:
                body = {**body, "new_password": _new_password()}


def _new_password() -> str:
    chosen: str = typer.prompt(
        "Choose a password of 15 characters or more", hide_input=True, confirmation_prompt=True
    )
    return chosen


def logout(*, as_json: Json = False) -> None:
    """Sign out."""
    with one_sentence():
        signed = session.load()
        try:
            signed.api.delete("/sessions/current")
        finally:
            session.forget()
        shown = {"portal": signed.portal, "email": signed.email, "ends_at": None}
        say_done(shown, "You are signed out.", as_json=as_json)


def whoami(*, as_json: Json = False) -> None:
    """Say who is signed in, and where."""
    with one_sentence():
        signed = session.load()
        me = signed.api.get("/me")
        if as_json:
            say_json(me)
            return
        say(f"{me['name']} <{me['email']}>, at {signed.portal} until {moment(signed.ends_at)}.")


def join(
    portal: Portal,
    secret: Annotated[
        str, typer.Argument(help="The 26 characters at the end of the link that was mailed to you.")
    ],
    *,
    legal_name: Annotated[
        str | None, typer.Option(help="Your organisation's legal name, if not as in the invitation.")
    ] = None,
    identifier: Annotated[
        list[str],
        typer.Option(help="An entry in a register, as SCHEME:ID, for example XI-LEI:5493001KJTIIGC8Y1R12."),
    ],
    code: Annotated[str | None, typer.Option(help="Six digits of your second factor.")] = None,
    from_stdin: FromStdin = False,
    as_json: Json = False,
) -> None:
    """Accept an invitation: your organisation joins the group, and you are signed in."""
    with one_sentence():
        api = Api(portal)
        secret = secret.rstrip("/").rpartition("/")[2]
        invitation = api.post("/invitations/look", {"secret": secret})
        body: dict[str, Any] = {
            "secret": secret,
            "legal_name": legal_name or invitation["legal_name"],
            "identifiers": [
                {"scheme": one.partition(":")[0], "id": one.partition(":")[2]} for one in identifier
            ],
        }
        if not invitation["has_password"]:
            body["new_password"] = sys.stdin.readline().rstrip("\n") if from_stdin else _new_password()
        if code:
            body["code"] = code
        joined = api.post("/invitations/accept", body)
        me = Api(portal, joined["token"]).get("/me")
        session.save(SignedIn(portal, me["email"], joined["token"], joined["ends_at"], joined["purchase_id"]))
        shown = {
            "purchase_id": joined["purchase_id"],
            "portal": portal,
            "email": me["email"],
            "ends_at": joined["ends_at"],
        }
        done = f"{body['legal_name']} joins {invitation['group']}; you are signed in until {moment(joined['ends_at'])}."
        say_done(shown, done, as_json=as_json)
