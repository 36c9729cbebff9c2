"""`linepool person export|erase`: what is kept about a person, and no longer."""

import asyncio
import json
import sys
from dataclasses import asdict
from time import monotonic
from typing import Annotated, Any
from uuid import UUID

import typer

from linepool.client.authorities import open_operator
from linepool.client.connection import Connection
from linepool.demo import state
from linepool.persons.finding import Found, Person, find, who_is
from linepool.persons.papers import Paper, papers_about
from linepool.provisioning.options import Given, console, in_groups, one_sentence
from linepool.provisioning.place import find_operator, who_operates

app = typer.Typer(help="What is kept about a person, and its erasure.", no_args_is_help=True)
PersonId = Annotated[UUID, typer.Argument(metavar="PERSON", help="The person's id.")]
Dsn = Annotated[
    str | None,
    typer.Option(
        envvar="LINEPOOL_POSTGRES_DSN",
        help="A database where all schemas may be read (default: what `linepool up` runs).",
    ),
]
_PATIENCE_S = 60.0
_LOOK_EVERY_S = 1.0


@app.command()
@in_groups
def export(
    person: PersonId,
    *,
    dsn: Dsn = None,
    given: Given,
) -> None:
    """Print as JSON how a person is reached, and where that stands: tables, records and documents with the day they are gone."""
    with one_sentence():
        broker = given.broker()
        admin = Connection(
            broker.bootstrap_servers,
            broker.admin.username,
            broker.admin.password,
            broker.ca_file,
            broker.prefix,
        )
        known, found, papers = asyncio.run(_found(_dsn(dsn), admin, person))
        shown = _as_json(known, found, papers)
        sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False, default=str) + "\n")


@app.command()
@in_groups
def erase(
    person: PersonId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dsn: Dsn = None,
    given: Given,
) -> None:
    """Erase how a person is reached, and prove it: no table holds it, and each record that still does is named, until when.

    So is each document that was filed about them, which stays its time as proof of what a verification rests on.
    Refused while a purchase that is not over needs them. The exit code is 0 only if no table holds anything any more.
    """
    if not yes:
        typer.confirm(
            f"Nobody will be able to reach {person} any more, nor can they sign in. Erase?", abort=True
        )
    with one_sentence():
        broker = given.broker()
        admin = Connection(
            broker.bootstrap_servers,
            broker.admin.username,
            broker.admin.password,
            broker.ca_file,
            broker.prefix,
        )
        clean = asyncio.run(_erase(_dsn(dsn), admin, find_operator(broker), person))
    raise typer.Exit(0 if clean else 1)


def _dsn(given: str | None) -> str:
    return given or state.load().admin_dsn


async def _found(dsn: str, kafka: Connection, person_id: UUID) -> tuple[Person, Found, list[Paper]]:
    known = await who_is(kafka, person_id)
    return known, await find(dsn, kafka, known.words), await papers_about(kafka, person_id)


async def _erase(dsn: str, kafka: Connection, operator: Connection, person_id: UUID) -> bool:
    known = await who_is(kafka, person_id)
    async with open_operator(operator, who_operates()) as orders:
        outcome = await orders.outcome(await orders.erase(person_id))
    if outcome.refused is not None:
        console.print(f"Refused: {outcome.refused.detail}")
        return False
    until = monotonic() + _PATIENCE_S
    found = await find(dsn, kafka, known.words)
    while found.tables and monotonic() < until:
        await asyncio.sleep(_LOOK_EVERY_S)
        found = await find(dsn, kafka, known.words)
    for table in found.tables:
        console.print(f"still in {table.table}: {table.rows} rows")
    if not found.tables:
        console.print("No table holds anything that reaches this person.")
    for record in found.records:
        gone = (
            f"by {record.gone_by:%Y-%m-%d %H:%M} UTC"
            if record.gone_by
            else "when the topic is compacted, within a day"
        )
        console.print(f"{record.topic} {record.partition}/{record.offset} ({record.type}) is gone {gone}")
    for paper in await papers_about(kafka, person_id):
        _tell(paper)
    return not found.tables


def _tell(paper: Paper) -> None:
    until = f"until {paper.gone_by:%Y-%m-%d %H:%M} UTC" if paper.gone_by else "as long as its topic"
    console.print(
        f"{paper.topic} keeps a document about this person {until}, as proof of what a verification rests on: "
        f"{paper.kind.replace('_', ' ')} of purchase {str(paper.purchase_id)[:8]}, "
        f"filed {paper.filed_at:%Y-%m-%d %H:%M} UTC, SHA-256 {paper.sha256[:12]}"
    )


def _as_json(known: Person, found: Found, papers: list[Paper]) -> dict[str, Any]:
    return {
        "person_id": known.person_id,
        "contacts": [one.model_dump(mode="json", exclude={"person_id"}) for one in known.contacts],
        "tables": [asdict(one) for one in found.tables],
        "records": [asdict(one) for one in found.records],
        "papers": [asdict(one) for one in papers],
    }
