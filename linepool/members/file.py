"""A file of members: what an import of it would add, and every row that it could not."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linepool.members.columns import our_member_column
from linepool.members.rows import Member, missing_columns, read_members
from linepool.tables.badrows import BadRow, Policy, in_order
from linepool.tables.cells import TableError
from linepool.tables.columns import Columns, columns_of, said
from linepool.tables.reading import Reading, bad_file, read_bytes, read_table

REQUIRED = "legal_name"


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What is said about the file that does not stand in it."""

    reading: Reading = field(default_factory=Reading)
    columns: Mapping[str, str] = field(default_factory=dict)
    """What a column of the file is of ours."""
    left_out: Sequence[str] = ()
    """Columns of the file that say nothing that is needed."""


@dataclass(frozen=True, slots=True)
class MemberImport:
    """What a file of members comes to."""

    members: tuple[Member, ...]
    """The good rows, in the file's order."""
    bad_rows: tuple[BadRow, ...]
    note: str = ""
    """What was found out about the file and not said; empty where nothing was."""

    def to_add(self, policy: Policy) -> tuple[Member, ...]:
        """Return the members that are added: with `all_or_nothing` none where a row is bad."""
        return () if self.bad_rows and policy == "all_or_nothing" else self.members


def read_file(path: Path, options: MemberOptions) -> MemberImport:
    """Read a file of members, CSV or XLSX.

    Raises:
        ColumnError: the options name a column that is none.
    """
    canonical = said(our_member_column, options.columns, options.left_out)
    try:
        table = read_table(path.name, read_bytes(path), options.reading, canonical, REQUIRED)
    except (TableError, OSError) as error:
        return MemberImport((), (bad_file(path.name, error),))
    columns, bad_columns = columns_of(table, canonical, None)
    faults = [*bad_columns, *missing_columns(table, columns)]
    if faults:
        return MemberImport((), in_order(faults), table.note)
    read, bad = read_members(table, columns, options.reading.conventions)
    doubles = list(_doubles(read, columns))
    doubled = {one.line for one in doubles}
    members = tuple(member for member in read if member.place.line not in doubled)
    return MemberImport(members, in_order([*bad, *doubles]), table.note)


def _doubles(members: Sequence[Member], columns: Columns) -> Iterator[BadRow]:
    """Give all rows that share a name, an identifier or a mail address: which of them is right nobody can tell."""
    met: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for member in members:
        for key in dict.fromkeys(_keys(member, columns)):
            met[key].append(member)
    for (column, _), same in met.items():
        for member in same if len(same) > 1 else ():
            other = same[0] if same[0] is not member else same[1]
            yield columns.at(member.place, column, f"is the same as in line {other.place.line}")


def _keys(member: Member, columns: Columns) -> Iterator[tuple[str, str]]:
    yield "legal_name", " ".join(member.legal_name.casefold().split())
    yield "contact_email", member.contact_email.casefold()
    for identifier in member.identifiers:
        column = identifier.scheme if columns.has(identifier.scheme) else "identifiers"
        yield column, f"{identifier.scheme} {re.sub(r'[^A-Z0-9]', '', identifier.id.upper())}"
