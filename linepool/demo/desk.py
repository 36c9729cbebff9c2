"""What a person can do with the system that `linepool up` left running: select, accept, look at topics and tables."""

from uuid import UUID

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.access.model import services
from linepool.client.journal import Entry, read_all, topic_names
from linepool.client.people import coordinator, open_people
from linepool.demo.choosing import REASON
from linepool.demo.state import State
from shared.envelope import Actor
from shared.messages.bidding import ProviderSelected, TermsAccepted, TermsPresented

PATIENCE = 30.0
_CELL = 60


class DeskError(Exception):
    """What was asked for cannot be done; the text is one sentence."""


async def select(state: State, wanted: str, console: Console) -> None:
    """Select a reply, named by its rank or the beginning of its id; show the winner's terms when they come.

    Raises:
        DeskError: there is no such reply, or the order was refused.
        TimeoutError: nothing came of it.
    """
    found = [one for one in state.replies if wanted == str(one.rank) or one.reply_id.startswith(wanted)]
    if len(found) != 1:
        raise DeskError(f"{wanted} names {len(found)} of the {len(state.replies)} compared replies")
    async with open_people(state.portal) as people:
        order = await people.select_reply(
            coordinator_of(state), state.purchase, reply_id=UUID(found[0].reply_id), reason_for_others=REASON
        )
        outcome = await people.outcome(order, within=PATIENCE)
        if outcome.refused:
            raise DeskError(f"{outcome.refused.reason}: {outcome.refused.detail}")
        for event in outcome.events:
            if isinstance(event, ProviderSelected):
                console.print(f"Award {event.award} goes to {escape(found[0].provider)}.")
        presented = await people.journal.wait_for(
            lambda entry: entry.says(TermsPresented, state.purchase),
            within=PATIENCE,
            what="the winner's terms",
        )
    _show(presented, console)


async def accept(state: State, console: Console) -> None:
    """Accept the terms that lie before the group.

    Raises:
        DeskError: there are none, or the order was refused.
        TimeoutError: nothing came of it.
    """
    async with open_people(state.portal) as people:
        await people.journal.catch_up()
        presented = people.journal.all_of(TermsPresented, state.purchase)
        if not presented:
            raise DeskError("no terms lie before the group; select a reply first")
        _show(presented[-1], console)
        order = await people.accept_terms(
            coordinator_of(state),
            state.purchase,
            award=presented[-1].award,
            terms_sha256=presented[-1].terms_sha256,
        )
        outcome = await people.outcome(order, within=PATIENCE)
        if outcome.refused:
            raise DeskError(f"{outcome.refused.reason}: {outcome.refused.detail}")
        for event in outcome.events:
            if isinstance(event, TermsAccepted):
                console.print("Accepted: exactly these terms. The purchase is complete.")


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
        DeskError: there is no such topic.
    """
    if name not in await topic_names(state.admin):
        raise DeskError(f"there is no topic {name}; `linepool topics` lists them")
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
        DeskError: there is no such service.
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
        DeskError: there is no such service or table.
    """
    connection = await _connect(state, service)
    try:
        if not await connection.fetchval("SELECT to_regclass(quote_ident($1)) IS NOT NULL", name):
            raise DeskError(f"{service} has no table {name}; `linepool tables {service}` lists them")
        rows = await connection.fetch(f'SELECT * FROM "{name}" LIMIT $1', limit)
    finally:
        await connection.close()
    if not rows:
        console.print("no rows")
        return
    for row in rows:
        console.print("  ".join(f"[cyan]{key}[/cyan]={escape(_cut(value))}" for key, value in row.items()))


def coordinator_of(state: State) -> Actor:
    """Return the waiting purchase's coordinator."""
    return coordinator(UUID(state.coordinator_id))


async def _connect(state: State, service: str) -> asyncpg.Connection:
    schema = next((one.schema for one in services() if one.name == service), None)
    if schema is None:
        raise DeskError(f"there is no service {service}; there are {', '.join(state.dsns)}")
    return await asyncpg.connect(
        state.dsns[service],
        server_settings={"search_path": schema, "timezone": "UTC", "default_transaction_read_only": "on"},
    )


def _show(presented: TermsPresented, console: Console) -> None:
    console.print(f"[bold]{escape(presented.title)}[/bold] (award {presented.award})")
    console.print(escape(presented.text))
    console.print(f"SHA-256 {presented.terms_sha256}")


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
