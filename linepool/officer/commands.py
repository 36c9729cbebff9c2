"""What the officer does by `linepool officer`. What is shown is read from the topics each time; nothing is kept here."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from linepool.client.authorities import Officer
from linepool.client.orders import Outcome
from linepool.officer.asking import at_kafka, fail, one_sentence, write_json
from linepool.officer.cases import Case, Subject
from linepool.officer.documents import read_papers, save
from linepool.officer.finding import Method, known_cases, make_finding, send_finding
from linepool.officer.naming import find_case, find_subject
from linepool.officer.place import Given, find_officer, who_verifies
from linepool.officer.telling import as_json, details_of, lines_of, standing, visible, wanted
from linepool.provisioning.options import CaFile, Prefix
from shared.messages.aggregation import ContactRecorded
from shared.messages.rfp import RecordVerification

app = typer.Typer(help="The officer: who waits to be verified, and what was found.", no_args_is_help=True)
console = Console(highlight=False, soft_wrap=True)

Kafka = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        envvar="LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
        help="host:port (default: what `linepool up` runs). The password comes from LINEPOOL_OFFICER_PASSWORD.",
    ),
]
Purchase = Annotated[str, typer.Argument(help="The purchase's id, or its beginning.")]
PartyName = Annotated[
    str,
    typer.Argument(metavar="PARTY", help="`coordinator`, a buyer's legal name, or the beginning of its id."),
]
Looked = Annotated[
    Method,
    typer.Option(help="What you looked at; it says which level the finding has."),
]
Reference = Annotated[
    str, typer.Option(help="Where the evidence is kept, such as a register extract's number.")
]
Evidence = Annotated[
    list[str] | None,
    typer.Option(help="The hash of a filed document that you looked at, or its beginning; again for more."),
]
Until = Annotated[
    str | None,
    typer.Option(help="Until when the finding holds: a day, to its end in UTC (default: a year from now)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def queue(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Groups that wait for nothing, too.")] = False,
    as_json_: AsJson = False,
    kafka: Kafka = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Show which groups wait, since when, how each party stands, and which documents there are. It names no person."""

    async def at(officer: Officer) -> list[Case]:
        return [one for one in (await known_cases(officer)).values() if everything or one.waits(_now())]

    cases = sorted(
        at_kafka(Given(kafka, ca_file, prefix), at), key=lambda one: (one.waiting_since or _now(), one.name)
    )
    if as_json_:
        write_json([as_json(one, _now()) for one in cases])
        return
    for case in cases:
        for line in lines_of(case, _now()):
            console.print(escape(visible(line)))
    if not cases:
        console.print("No group waits.")


@app.command()
def show(
    purchase: Purchase,
    party: Annotated[str | None, typer.Argument(help="Only this party.")] = None,
    *,
    save_to: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the documents there, hash checked.")
    ] = None,
    as_json_: AsJson = False,
    kafka: Kafka = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Show a group's parties: identities, whom they are reached through, documents and findings. It shows personal data."""

    async def at(officer: Officer) -> tuple[Case, dict[str, ContactRecorded]]:
        case = find_case(await known_cases(officer), purchase)
        if party is not None:
            subject = find_subject(case, party)
            case.subjects = {subject.who: subject}
        contacts = {str(one.person_id): one for one in officer.journal.all_of(ContactRecorded)}
        return case, contacts

    given = Given(kafka, ca_file, prefix)
    case, contacts = at_kafka(given, at, reads=("aggregation.contacts",))
    if as_json_:
        write_json(as_json(case, _now(), contacts))
    else:
        console.print(escape(visible(f"{case.name}, purchase {case.purchase_id}; needs {wanted(case)}")))
        for subject in case.subjects.values():
            for line in details_of(subject, contacts.get(str(subject.person_id)), _now()):
                console.print(escape(visible(line)))
    if save_to is not None:
        _save(given, case, save_to)


@app.command()
def verify(
    purchase: Purchase,
    party: PartyName,
    *,
    method: Looked,
    reference: Reference,
    evidence: Evidence = None,
    until: Until = None,
    as_json_: AsJson = False,
    kafka: Kafka = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Find that a party is who it says, for exactly the group that was closed."""

    def finding(case: Case, subject: Subject) -> RecordVerification:
        return make_finding(case, subject, "verified", method, reference, evidence, until, None)

    _record(Given(kafka, ca_file, prefix), purchase, party, finding, as_json_=as_json_)


@app.command()
def refuse(
    purchase: Purchase,
    party: PartyName,
    *,
    reason: Annotated[str, typer.Option(help="Why; the group is told.")],
    method: Looked,
    reference: Reference,
    evidence: Evidence = None,
    as_json_: AsJson = False,
    kafka: Kafka = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Find that a party is not who it says; a later finding may verify it."""

    def finding(case: Case, subject: Subject) -> RecordVerification:
        return make_finding(case, subject, "refused", method, reference, evidence, None, reason)

    _record(Given(kafka, ca_file, prefix), purchase, party, finding, as_json_=as_json_)


def _record(
    given: Given,
    purchase: str,
    party: str,
    finding_of: Callable[[Case, Subject], RecordVerification],
    *,
    as_json_: bool,
) -> None:
    async def at(officer: Officer) -> tuple[Outcome, Case, Subject]:
        return await send_finding(officer, purchase, party, finding_of)

    with one_sentence():
        outcome, case, subject = at_kafka(given, at, person_id=who_verifies())
    if outcome.refused is not None:
        if as_json_:
            write_json({"refused": outcome.refused.reason, "detail": outcome.refused.detail})
        fail(f"the finding does not count: {outcome.refused.detail}")
    if as_json_:
        write_json(as_json(case, _now()))
        return
    qualified = (
        f"the group is qualified until {case.qualified.valid_until:%Y-%m-%d %H:%M} UTC"
        if case.qualified is not None and case.is_qualified(_now())
        else f"the group is not qualified; it needs {wanted(case)}"
    )
    console.print(escape(visible(f"{subject.legal_name}: {standing(subject, _now())}; {qualified}.")))


def _save(given: Given, case: Case, folder: Path) -> None:
    wanted_hashes = {document.sha256 for subject in case.subjects.values() for document in subject.filed}
    with one_sentence():
        papers = asyncio.run(read_papers(find_officer(given), case.purchase_id))
        theirs = [one for one in papers if (one.party, one.party_id) in case.subjects]
        written, left_out = save(theirs, folder, wanted_hashes)
    for file in written:
        Console(stderr=True, highlight=False, soft_wrap=True).print(escape(str(file)))
    missing = wanted_hashes - {one.document.sha256 for one in theirs}
    left_out += [
        f"{sha256[:12]} is not on {given.prefix or ''}aggregation.evidence" for sha256 in sorted(missing)
    ]
    if left_out:
        fail("; ".join(left_out))


def _now() -> datetime:
    return datetime.now(UTC)
