"""Plain SQL files, each applied once, in order, checked against its checksum ever after.

A file is named `0001_what_it_does.sql`. Files run in one transaction each, in the service's own schema; two processes that start
at once take turns by an advisory lock. Forward only: a mistake is mended by the next file.

Files only expand, so a process may meet a newer schema than it knows, beside a newer release or after going back to an older one,
and works on it. A file that takes something away names, in a first line `-- needs service/0007_new_column.sql`, the migration
that a process must know to do without it; a process that does not know that one refuses the schema.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import asyncpg

DELIVERY = Path(__file__).parent / "sql"
State = Literal["applied", "pending", "changed", "newer", "unknown"]
_LOCK = 0x6C696E65  # "line", so that no other use of advisory locks meets ours by accident


class MigrationError(Exception):
    """The schema is not what the files say; nothing was changed."""


@dataclass(frozen=True)
class Migration:
    """One file: `name` is the folder's role and the file's name, for example `delivery/0001_delivery.sql`."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return sha256(self.sql.encode()).hexdigest()

    @property
    def needs(self) -> str | None:
        """The migration that a process must know to work on what this one leaves; None where this one only expands."""
        found = re.match(r"-- needs (\S+)\n", self.sql)
        return found[1] if found else None


@dataclass(frozen=True)
class Status:
    """What is known of one migration.

    `newer`: it is of a later release, and this one can do with it. `unknown`: any other that has no file.
    """

    name: str
    state: State


def read(folder: Path, *, delivery: bool = True) -> list[Migration]:
    """Return delivery's own migrations, unless the process has no deliveries, then its own, each by their names."""
    return [
        Migration(f"{role}/{file.name}", file.read_text())
        for role, where in ((("delivery", DELIVERY),) if delivery else ()) + (("service", folder),)
        for file in sorted(where.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]


async def apply(connection: asyncpg.Connection, folder: Path, *, delivery: bool = True) -> list[str]:
    """Apply what is pending; return the names of what was applied.

    Raises:
        MigrationError: a file that was applied has changed or is gone since, or a newer one has taken away what this
            release needs.
    """
    await connection.execute("SELECT pg_advisory_lock($1, hashtext(current_schema()))", _LOCK)
    try:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        found = await status(connection, folder, delivery=delivery)
        _refuse_foreign(found)
        pending = {one.name for one in found if one.state == "pending"}
        if pending:
            await connection.execute("ALTER TABLE migrations ADD COLUMN IF NOT EXISTS needs text")
        applied = []
        for migration in read(folder, delivery=delivery):
            if migration.name in pending:
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "INSERT INTO migrations (name, checksum, needs) VALUES ($1, $2, $3)",
                        migration.name,
                        migration.checksum,
                        migration.needs,
                    )
                applied.append(migration.name)
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1, hashtext(current_schema()))", _LOCK)


async def check(connection: asyncpg.Connection, folder: Path, *, delivery: bool = True) -> None:
    """See that a process of this release can work on the schema as it is; nothing is changed.

    Raises:
        MigrationError: something is pending, or as for `apply`; the text is one sentence for the operator.
    """
    found = await status(connection, folder, delivery=delivery)
    _refuse_foreign(found)
    pending = [one.name for one in found if one.state == "pending"]
    if pending:
        schema = await connection.fetchval("SELECT current_schema()")
        raise MigrationError(
            f"the schema {schema or '(there is none)'} lacks {len(pending)} migrations, the first is {pending[0]}; "
            "apply them (`python -m linepool.jobs migrate`), or start with LINEPOOL_MIGRATE=on"
        )


async def status(connection: asyncpg.Connection, folder: Path, *, delivery: bool = True) -> list[Status]:
    """Compare the files with what the schema says was applied."""
    rows = (
        # A schema that an older release has made lacks the column `needs`.
        await connection.fetch(
            "SELECT name, checksum, to_jsonb(migrations) ->> 'needs' AS needs FROM migrations ORDER BY name"
        )
        if await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL")
        else []
    )
    applied = {row["name"]: row["checksum"] for row in rows}
    files = {one.name: one for one in read(folder, delivery=delivery)}
    found = [Status(name, _state(applied.get(name), one.checksum)) for name, one in files.items()]
    return found + [
        Status(row["name"], _state_without_file(row["name"], row["needs"], files.keys()))
        for row in rows
        if row["name"] not in files
    ]


def _state(applied: str | None, checksum: str) -> State:
    if applied is None:
        return "pending"
    return "applied" if applied == checksum else "changed"


def _state_without_file(name: str, needs: str | None, files: Collection[str]) -> State:
    role = name.partition("/")[0]
    follows = all(name > one for one in files if one.startswith(f"{role}/"))
    return "newer" if follows and (needs is None or needs in files) else "unknown"


def _refuse_foreign(found: Iterable[Status]) -> None:
    if wrong := [one for one in found if one.state in {"changed", "unknown"}]:
        raise MigrationError("; ".join(f"{one.name} is {one.state}" for one in wrong))
