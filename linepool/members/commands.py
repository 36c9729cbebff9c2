"""`linepool group check` and `template`: what an import of members would do, and a file to start from."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from linepool.members.file import MemberImport, MemberOptions, read_file
from linepool.members.template import TEMPLATE
from linepool.people.asking import PurchaseOption, chosen
from linepool.people.asking import one_sentence as one_refusal
from linepool.people.importing import import_members
from linepool.people.showing import say
from linepool.tables.badrows import Policy
from linepool.tables.cells import shown
from linepool.tables.options import (
    AsJson,
    ColumnNames,
    EncodingName,
    KeepGood,
    LeftOut,
    ReportFile,
    Separator,
    Sheet,
    names_of,
    one_sentence,
    policy_of,
    reading_of,
    tell,
)
from linepool.tables.writing import written

IMPORT = "import"
group = typer.Typer(help="A group and its members.", no_args_is_help=True)


def read(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The members, CSV or XLSX.")],
    *,
    columns: ColumnNames = None,
    leave_out: LeftOut = None,
    encoding: EncodingName = None,
    separator: Separator = None,
    sheet: Sheet = None,
    keep_good: KeepGood = False,
    as_json: AsJson = False,
    report: ReportFile = None,
    invite: Annotated[
        bool,
        typer.Option("--invite", help="Invite them, so that each joins by itself, instead of adding them."),
    ] = False,
    purchase: PurchaseOption = None,
) -> None:
    """Read a file of members, and add whom it names where that was asked for."""
    with one_sentence(), one_refusal():
        reading = reading_of("auto", "iso", None, encoding, separator, sheet)
        found = read_file(file, MemberOptions(reading, names_of(columns), leave_out or ()))
        policy = policy_of(keep_good)
        sentences = _sentences(found, policy)
        shown = _as_object(found, policy)
        if context.info_name == IMPORT and found.to_add(policy):
            done: list[str] = []
            import_members(
                chosen(purchase), found.to_add(policy), done.append if as_json else say, invite=invite
            )
            sentences, shown = [], {**shown, "done": done}
        tell(shown, sentences, found.bad_rows, report, as_json=as_json)


group.command(
    "check", help="Read a file of members and say whom an import would add; exit code 1 where a row is bad."
)(read)
group.command(IMPORT, help="Read a file of members and add or invite them; exit code 1 where a row is bad.")(
    read
)


@group.command()
def template(
    file: Annotated[
        Path | None, typer.Argument(help="A new file, .csv or .xlsx (default: print CSV).")
    ] = None,
) -> None:
    """Write a file of members to start from."""
    with one_sentence():
        sys.stdout.write(written(TEMPLATE, "Members", file) or "")


def _as_object(found: MemberImport, policy: Policy) -> dict[str, Any]:
    return {
        "note": found.note,
        "members": [
            {
                "legal_name": member.legal_name,
                "identifiers": [f"{one.scheme} {one.id}" for one in member.identifiers],
                "billing_preferences": None if member.billing is None else member.billing.model_dump(),
            }
            for member in found.to_add(policy)
        ],
    }


def _sentences(found: MemberImport, policy: Policy) -> list[str]:
    told = [found.note.capitalize() + "."] if found.note else []
    members = found.to_add(policy)
    told += [
        f"An import would add {shown(member.legal_name)} ({', '.join(f'{one.scheme} {one.id}' for one in member.identifiers)})."
        for member in members
    ]
    if not members:
        held_back = " The good rows alone: --keep-good." if found.members else ""
        told.append(f"An import would add nobody.{held_back}")
    return told
