"""Looking into the system that `linepool up` left running: its topics and its tables."""

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.access.model import roles
from linepool.client.journal import Entry, read_all, topic_names
from linepool.demo.state import State

_CELL = 60


class NotThereError(Exception):
    """There is no such topic, service or table; the text is one sentence."""


async def show_topics(state: State, console: Console) -> None:
    """Show every topic with its number of messages."""
    names = await topic_names(state.admin)
    entries = await read_all(state.admin, names)
    counted = {name: [entry for entry in entries if entry.topic == name] for name in names}
    table = Table("topic", "messages", "last type", box=None)
    for name, found in sorted(counted.items()):
        table.add_row(name, str(len(found)), found[-1].type_name if found else "")
    console.print(table)


async def show_topic(state: State, name: str, console: Console, *, body: bool, last: int) -> None:
    """Show the last messages of a topic, with their bodies if asked for.

    Raises:
        NotThereError: there is no such topic.
    """
    if name not in await topic_names(state.admin):
        raise NotThereError(f"there is no topic {name}; `linepool topics` lists them")
    entries = await read_all(state.admin, [name])
    table = Table("place", "appended", "type", "subject", "bytes", box=None)
    for entry in sorted(entries, key=lambda one: one.appended_at)[-last:]:
        table.add_row(*_row(entry))
        if body:
            table.add_row("", "", escape((entry.body or b"").decode("utf-8", "replace")))
    console.print(table)


async def show_tables(state: State, service: str, console: Console) -> None:
    """Show a service's tables with their number of rows.

    Raises:
        NotThereError: there is no such service.
    """
    connection = await _connect(state, service)
    try:
        names = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        )
        table = Table("table", "rows", box=None)
        for (name,) in names:
            table.add_row(name, str(await connection.fetchval(f'SELECT count(*) FROM "{name}"')))
        console.print(table)
    finally:
        await connection.close()


async def show_table(state: State, service: str, name: str, console: Console, *, limit: int) -> None:
    """Show rows of a table or view, cut to what fits.

    Raises:
        NotThereError: there is no such service or table.
    """
    connection = await _connect(state, service)
    try:
        if not await connection.fetchval("SELECT to_regclass(quote_ident($1)) IS NOT NULL", name):
            raise NotThereError(f"{service} has no table {name}; `linepool tables {service}` lists them")
        rows = await connection.fetch(f'SELECT * FROM "{name}" LIMIT $1', limit)
    finally:
        await connection.close()
    if not rows:
        console.print("no rows")
        return
    for row in rows:
        console.print("  ".join(f"[cyan]{key}[/cyan]={escape(_cut(value))}" for key, value in row.items()))


async def _connect(state: State, service: str) -> asyncpg.Connection:
    schema = next((one.schema for one in roles() if one.name == service), None)
    if schema is None:
        raise NotThereError(f"there is no service {service}; there are {', '.join(state.dsns)}")
    return await asyncpg.connect(
        state.dsns[service],
        server_settings={"search_path": schema, "timezone": "UTC", "default_transaction_read_only": "on"},
    )


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        f"{entry.partition}/{entry.offset}",
        f"{entry.appended_at:%H:%M:%S.%f}"[:-3],
        entry.type_name,
        escape(entry.envelope.subject or ""),
        str(len(entry.body or b"")),
    )


def _cut(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _CELL else f"{text[:_CELL]}..."
