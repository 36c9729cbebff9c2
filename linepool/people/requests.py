"""`linepool request`: what the group asks for, of whom, and how it goes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
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
    say_json,
    say_outcome,
)
from linepool.people.documents import parts_of
from linepool.people.showing import moment, say, table
from linepool.people.watching import watch as follow

app = typer.Typer(help="The request: what the group asks for, and of whom.", no_args_is_help=True)
TEMPLATE = {
    "title": "Mobile and fixed voice for our sites",
    "description": "Voice for all sites, one bill for each member.",
    "services": [{"service": "voice.day", "unit": "MIN", "description": "Calls by day"}],
    "places": ["Berlin"],
    "contract_months": 24,
    "mode": "transmit",
    "buyers_shown": "named",
}


@app.command()
def template() -> None:
    """Print an example of what `describe` reads; replies count for four weeks from now."""
    deadline = (datetime.now(UTC) + timedelta(weeks=4)).replace(minute=0, second=0, microsecond=0)
    say_json({**TEMPLATE, "deadline": f"{deadline:%Y-%m-%dT%H:%M:%SZ}"})


@app.command()
def describe(
    file: Annotated[
        Path, typer.Argument(help="What `template` prints, in your words.", exists=True, dir_okay=False)
    ],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Say what the request asks for."""
    with one_sentence():
        say_outcome(
            chosen(purchase).order("describe-need", read_json(file)),
            "The need is described.",
            as_json=as_json,
        )


@app.command(name="to")
def list_providers(
    provider: Annotated[list[str] | None, typer.Argument(help="Providers' ids.")] = None,
    *,
    category: Annotated[str | None, typer.Option(help="By rule: every provider of this category ...")] = None,
    region: Annotated[str | None, typer.Option(help="... in this region.")] = None,
    purchase: PurchaseOption = None,
    as_json: Json = False,
) -> None:
    """Say who may see the request and reply: by ids, or by a rule."""
    with one_sentence():
        rule = {"category": category, "region": region} if category and region else None
        body = {"provider_ids": provider or [], "rule": rule}
        say_outcome(chosen(purchase).order("set-provider-list", body), "The list is set.", as_json=as_json)


@app.command()
def attach(
    file: Annotated[Path, typer.Argument(help="At most 10 MiB.", exists=True, dir_okay=False)],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Attach a document to the draft."""
    with one_sentence():
        meant = chosen(purchase)
        for part in parts_of(file):
            outcome = meant.order("attach-document", part, wait=part["part"] == part["document"]["parts"])
        say_outcome(outcome, f"{file.name} is attached.", as_json=as_json)


@app.command()
def issue(purchase: PurchaseOption = None, *, watch: Watch = False, as_json: Json = False) -> None:
    """Freeze the request; it leaves once the officer has verified the group."""
    with one_sentence():
        meant = chosen(purchase)
        say_outcome(meant.order("issue-request"), "The request is issued.", as_json=as_json)
        if watch:
            follow(meant)


@app.command(name="release-key")
def release_key(
    file: Annotated[
        Path, typer.Argument(help="What `linepool custodian release` printed.", exists=True, dir_okay=False)
    ],
    purchase: PurchaseOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Hand in the custodian's key, once the deadline has passed: only then can replies that are sealed twice be opened."""
    with one_sentence():
        released = read_json(file)
        if not isinstance(released, dict) or "private_key" not in released:
            raise ApiError("file_unreadable", f"{file} holds no released key.")
        say_outcome(
            chosen(purchase).order("release-custodian-key", {"private_key": released["private_key"]}),
            "The custodian's key is handed in; the replies are opened.",
            as_json=as_json,
        )


@app.command()
def cancel(
    reason: Annotated[str, typer.Option()], purchase: PurchaseOption = None, *, as_json: Json = False
) -> None:
    """Call the purchase off; everyone who was shown anything is told."""
    with one_sentence():
        say_outcome(
            chosen(purchase).order("cancel-request", {"reason": reason}),
            "The purchase is called off.",
            as_json=as_json,
        )


@app.command()
def show(purchase: PurchaseOption = None, *, as_json: Json = False) -> None:
    """Show the request, and for the coordinator what each listed provider was shown."""
    with one_sentence():
        meant = chosen(purchase)
        request = meant.get("request")
        listed = meant.get("providers") if request["provider_ids"] is not None else None
        if as_json:
            say_json({**request, "providers": listed})
            return
        state = f"version {request['request_version']}" if request["request_version"] else "a draft"
        say(f"{request['title']} ({state}), {request['mode']}, buyers {request['buyers_shown']}")
        say(
            f"Replies until {moment(request['deadline'], meant.zone)}, for {request['contract_months']} months"
        )
        if custodian := request["custodian"]:
            state = "its key was handed in" if request["custodian_released"] else "its key is not here"
            say(f"Sealed twice, for {custodian['name']} too: {state}. Public key: {custodian['public_key']}")
        table(
            ("service", "unit", "description"),
            ((one["service"], one["unit"], one["description"]) for one in request["services"]),
        )
        if listed is not None:
            table(
                ("provider", "name", "invited", "access", "read", "replied"),
                (
                    (
                        one["provider_id"],
                        one["name"],
                        moment(one["invited_at"], meant.zone),
                        moment(one["access_granted_at"], meant.zone),
                        moment(one["acknowledged_at"], meant.zone),
                        {None: "sealed", True: "yes", False: "declined" if one["declined"] else "no"}[
                            one["replied"]
                        ],
                    )
                    for one in listed
                ),
            )


@app.command()
def questions(purchase: PurchaseOption = None, *, as_json: Json = False) -> None:
    """Show what providers asked, and the answers."""
    with one_sentence():
        found = chosen(purchase).get("questions")
        if as_json:
            say_json(found)
            return
        for one in found:
            say(f"{one['question_id'][:8]}  {one['question']}")
            say(f"          {one['answer'] or '(not answered yet)'}")


@app.command()
def answer(
    question: Annotated[str, typer.Argument(help="The beginning of the question's id.")],
    text: Annotated[str, typer.Argument(metavar="ANSWER")],
    *,
    restated: Annotated[
        str | None, typer.Option(help="The question in other words, where its own tell who asked.")
    ] = None,
    purchase: PurchaseOption = None,
    as_json: Json = False,
) -> None:
    """Answer a question; everyone who was shown the request is told at the same time."""
    with one_sentence():
        meant = chosen(purchase)
        found = [one for one in meant.get("questions") if one["question_id"].startswith(question.lower())]
        if len(found) != 1:
            raise ApiError("question_unknown", "There is no such question, or more than one.")
        body: dict[str, Any] = {"question_id": found[0]["question_id"], "answer": text, "restated": restated}
        say_outcome(
            meant.order("answer-question", body),
            "The answer goes to everyone who was shown the request.",
            as_json=as_json,
        )
