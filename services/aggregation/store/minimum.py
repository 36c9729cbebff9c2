"""Every statement of the aggregation service about how large a group is, and how large it must become."""

from uuid import UUID

import asyncpg

from services.aggregation.domain.minimum import Minimum, Size
from shared.messages.aggregation import SetMinimum


async def keep_minimum(tx: asyncpg.Connection, command: SetMinimum) -> None:
    """Keep how large the group must become, in the place of what was said before."""
    await tx.execute(
        "INSERT INTO minimums (purchase_id, buyers, lines, decide_by_at, otherwise) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (purchase_id) DO UPDATE SET buyers = excluded.buyers, lines = excluded.lines, "
        "decide_by_at = excluded.decide_by_at, otherwise = excluded.otherwise",
        command.purchase_id,
        command.buyers,
        command.lines,
        command.decide_by,
        command.otherwise,
    )


async def minimum(tx: asyncpg.Connection, purchase_id: UUID) -> Minimum | None:
    """Return how large the group must become, if that was said."""
    row = await tx.fetchrow(
        "SELECT buyers, lines, decide_by_at, otherwise FROM minimums WHERE purchase_id = $1", purchase_id
    )
    return Minimum(Size(row["buyers"], row["lines"]), row["decide_by_at"], row["otherwise"]) if row else None


async def size(tx: asyncpg.Connection, purchase_id: UUID) -> Size:
    """Return how large the group is."""
    [row] = await tx.fetch(
        "SELECT (SELECT count(*) FROM buyers WHERE purchase_id = $1 AND left_at IS NULL) AS buyers, "
        "(SELECT count(*) FROM usage_lines l JOIN reports r USING (purchase_id, report_id) "
        "WHERE r.purchase_id = $1 AND r.state = 'counts') AS lines",
        purchase_id,
    )
    return Size(row["buyers"], row["lines"])


async def count_logged(tx: asyncpg.Connection, event_ids: list[UUID]) -> int:
    """Return how many of these events this database knows of."""
    count: int = await tx.fetchval("SELECT count(*) FROM log WHERE event_id = ANY($1)", event_ids)
    return count
