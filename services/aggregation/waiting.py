"""Which groups wait to be closed."""

import asyncpg

from shared.waiting import Step, Waiting, Waits

FORMING = Step("forming", "person", "the coordinator to close the group")


async def find(connection: asyncpg.Connection) -> list[Waiting]:
    """Return the groups that are neither closed nor given up, since when they are open."""
    rows = await connection.fetch(
        "SELECT purchase_id, opened_at FROM groups WHERE closed_at IS NULL AND dissolved_at IS NULL"
    )
    return [Waiting(row["purchase_id"], FORMING.name, row["opened_at"]) for row in rows]


WAITS = Waits((FORMING,), find)
