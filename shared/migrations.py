"""Plain SQL files, each applied once, in order, checked against its checksum ever after.

A file is named `0001_what_it_does.sql`. Files run in one transaction each, in the service's own schema; two processes that start
at once take turns by an advisory lock. Forward only: a mistake is mended by the next file.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import asyncpg

DELIVERY = Path(__file__).parent / "sql"
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


@dataclass(frozen=True)
class Status:
    """What is known of one migration."""

    name: str
    state: Literal["applied", "pending", "changed", "unknown"]


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
        MigrationError: a file that was applied has changed or is gone since.
    """
    await connection.execute("SELECT pg_advisory_lock($1, hashtext(current_schema()))", _LOCK)
    try:
        found = await status(connection, folder, delivery=delivery)
        if wrong := [one for one in found if one.state in {"changed", "unknown"}]:
            raise MigrationError("; ".join(f"{one.name} is {one.state}" for one in wrong))
        pending = {one.name for one in found if one.state == "pending"}
        applied = []
        for migration in read(folder, delivery=delivery):
            if migration.name in pending:
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "INSERT INTO migrations (name, checksum) VALUES ($1, $2)",
                        migration.name,
                        migration.checksum,
                    )
                applied.append(migration.name)
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1, hashtext(current_schema()))", _LOCK)


async def status(connection: asyncpg.Connection, folder: Path, *, delivery: bool = True) -> list[Status]:
    """Compare the files with what the schema says was applied."""
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations "
        "(name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    known = {
        row["name"]: row["checksum"]
        for row in await connection.fetch("SELECT name, checksum FROM migrations")
    }
    files = read(folder, delivery=delivery)
    found = [Status(one.name, _state(known.get(one.name), one.checksum)) for one in files]
    return found + [Status(name, "unknown") for name in sorted(known.keys() - {one.name for one in files})]


def _state(known: str | None, checksum: str) -> Literal["applied", "pending", "changed"]:
    if known is None:
        return "pending"
    return "applied" if known == checksum else "changed"
