"""What an operator does at a service's database: look after parked messages, and see which migrations were applied."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.access.model import services
from shared import migrations

_HERE = Path(__file__).resolve().parents[1]


class OperatingError(Exception):
    """What was asked for cannot be done; the text is one sentence."""


def service_names() -> tuple[str, ...]:
    """Return the services."""
    return tuple(service.name for service in services())


@asynccontextmanager
async def database(dsn: str, service: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to a service's schema.

    Raises:
        OperatingError: there is no such service, or its database cannot be reached.
    """
    schema = next((one.schema for one in services() if one.name == service), None)
    if schema is None:
        raise OperatingError(f"there is no service {service}; there are {', '.join(service_names())}")
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


async def discard_parked(connection: asyncpg.Connection, parked_id: int) -> None:
    """Give a message up for ever; later ones of its key go on.

    Raises:
        OperatingError: there is no such message.
    """
    done = await connection.fetchval("DELETE FROM parked WHERE id = $1 RETURNING id", parked_id)
    if done is None:
        raise OperatingError(f"no parked message has the id {parked_id}")


async def migrations_of(connection: asyncpg.Connection, service: str) -> list[migrations.Status]:
    """Return each migration of a service and whether it was applied."""
    return await migrations.status(connection, _HERE / "services" / service / "migrations")
