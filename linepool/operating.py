"""What an operator does at a service's database: look after parked messages, and see which migrations were applied."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.access.model import roles, services
from shared import migrations

_SERVICES = Path(__file__).resolve().parents[1] / "services"
_OPENER = "opener"
"""It belongs to bidding and has no deliveries: its schema lacks their tables."""


class OperatingError(Exception):
    """What was asked for cannot be done; the text is one sentence."""


def service_names() -> tuple[str, ...]:
    """Return the services."""
    return tuple(service.name for service in services())


def process_names() -> tuple[str, ...]:
    """Return everything that has a schema: the services and the opener."""
    return tuple(one.name for one in roles())


@asynccontextmanager
async def database(
    dsn: str, service: str, *, among: Collection[str] | None = None
) -> AsyncIterator[asyncpg.Connection]:
    """Connect to the schema of one of the services, or of what else may be named (`among`).

    Raises:
        OperatingError: there is no such service, or its database cannot be reached.
    """
    names = service_names() if among is None else among
    schema = next((one.schema for one in roles() if one.name == service and service in names), None)
    if schema is None:
        raise OperatingError(f"there is no service {service}; there are {', '.join(names)}")
    try:
        connection = await asyncpg.connect(dsn, server_settings={"search_path": schema, "timezone": "UTC"})
    except (OSError, asyncpg.PostgresError) as error:
        raise OperatingError(
            f"the database of {service} does not let us in: {type(error).__name__}"
        ) from error
    try:
        yield connection
    finally:
        await connection.close()


async def list_parked(connection: asyncpg.Connection, console: Console) -> None:
    """Show every parked message, without its body."""
    rows = await connection.fetch("SELECT * FROM parked ORDER BY consumer, key, id")
    table = Table("id", "consumer", "key", "state", "reason", "tries", "parked at", "next try", box=None)
    for row in rows:
        key = row["key"].decode("utf-8", "replace")
        times = (f"{row['parked_at']:%Y-%m-%d %H:%M:%S}", f"{row['retry_at']:%H:%M:%S}")
        table.add_row(
            *(escape(str(value)) for value in (row["id"], row["consumer"], key, row["state"], row["reason"])),
            str(row["attempts"]),
            *times,
        )
    console.print(table if rows else "nothing is parked")


async def show_parked(
    connection: asyncpg.Connection, parked_id: int, console: Console, *, body: bool
) -> None:
    """Show where a parked message came from, its headers and its size; its body only where asked for.

    Raises:
        OperatingError: there is no such message.
    """
    row = await connection.fetchrow("SELECT * FROM parked WHERE id = $1", parked_id)
    if row is None:
        raise OperatingError(f"no parked message has the id {parked_id}")
    console.print(
        f"{escape(row['topic'])} {row['partition']}/{row['offset']}, {row['state']}: {escape(row['reason'])}"
    )
    for name, value in json.loads(row["headers"]):
        text = "null" if value is None else bytes.fromhex(value).decode("utf-8", "backslashreplace")
        console.print(f"  {escape(name)}: {escape(text)}")
    console.print(f"{len(row['body'] or b'')} bytes")
    if body:
        console.print(escape((row["body"] or b"").decode("utf-8", "backslashreplace")))


async def retry_parked(connection: asyncpg.Connection, parked_id: int) -> None:
    """Let the service try a message again now, with as many tries as a new one has.

    Raises:
        OperatingError: there is no such message.
    """
    done = await connection.fetchval(
        "UPDATE parked SET retry_at = clock_timestamp(), attempts = 0, "
        "state = CASE state WHEN 'stuck' THEN 'failed' ELSE state END WHERE id = $1 RETURNING id",
        parked_id,
    )
    if done is None:
        raise OperatingError(f"no parked message has the id {parked_id}")


async def retry_stuck(connection: asyncpg.Connection) -> int:
    """Let the service try everything again now that it has given up, each with as many tries as a new one; return how many."""
    done = await connection.fetch(
        "UPDATE parked SET retry_at = clock_timestamp(), attempts = 0, state = 'failed' WHERE state = 'stuck' RETURNING id"
    )
    return len(done)


async def discard_parked(connection: asyncpg.Connection, parked_id: int) -> None:
    """Give a message up for ever; later ones of its key go on.

    Raises:
        OperatingError: there is no such message.
    """
    done = await connection.fetchval("DELETE FROM parked WHERE id = $1 RETURNING id", parked_id)
    if done is None:
        raise OperatingError(f"no parked message has the id {parked_id}")


async def migrations_of(connection: asyncpg.Connection, name: str) -> list[migrations.Status]:
    """Return each migration of a service or of the opener, and whether it was applied."""
    return await migrations.status(connection, _migrations(name), delivery=name != _OPENER)


async def migrate(connection: asyncpg.Connection, name: str) -> list[str]:
    """Apply what is pending of a service or of the opener, under a lock; return the names of what was applied.

    Raises:
        MigrationError: a file that was applied has changed or is gone since.
    """
    return await migrations.apply(connection, _migrations(name), delivery=name != _OPENER)


def _migrations(name: str) -> Path:
    return _SERVICES / ("bidding/opener" if name == _OPENER else name) / "migrations"
