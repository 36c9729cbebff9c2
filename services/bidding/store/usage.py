"""The SQL of groups and of this service's own copy of their usage."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from shared.messages.aggregation import GroupAggregated, UsageLinesReported

Connection = asyncpg.Connection


@dataclass(frozen=True)
class Group:
    """A closed group: who coordinates it, and the usage that it pinned."""

    coordinator_id: UUID
    period_months: int
    usage_digest: str


async def add_group(tx: Connection, event: GroupAggregated, *, cause_id: UUID) -> None:
    """Note what was frozen; a group closes once."""
    buyers = sorted(event.reports)
    await tx.execute(
        """
        INSERT INTO groups (
            purchase_id, coordinator_id, buyer_ids, report_ids, period_months, usage_digest, cause_id
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        event.purchase_id,
        event.coordinator_id,
        buyers,
        [event.reports[buyer] for buyer in buyers],
        event.period.months,
        event.usage_digest,
        cause_id,
    )


async def group(connection: Connection | asyncpg.Pool, purchase_id: UUID) -> Group | None:
    """Return the purchase's closed group, or None."""
    row = await connection.fetchrow(
        "SELECT coordinator_id, period_months, usage_digest FROM groups WHERE purchase_id = $1", purchase_id
    )
    return Group(**row) if row else None


async def add_usage_part(tx: Connection, event: UsageLinesReported, *, cause_id: UUID) -> None:
    """Keep a part of a report; the first one of its number stands."""
    await tx.execute(
        """
        INSERT INTO usage_parts (purchase_id, buyer_id, report_id, part, parts, body, cause_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        event.purchase_id,
        event.buyer_id,
        event.report_id,
        event.part,
        event.parts,
        event.to_bytes(),
        cause_id,
    )


async def missing_reports(connection: Connection | asyncpg.Pool, purchase_id: UUID) -> int:
    """Return how many of the pinned reports are not complete in this copy."""
    missing: int = await connection.fetchval(
        """
        SELECT count(*) FROM groups, unnest(buyer_ids, report_ids) AS pinned (buyer_id, report_id)
        WHERE purchase_id = $1 AND coalesce((
            SELECT count(*) < max(parts) FROM usage_parts AS p
            WHERE p.purchase_id = $1 AND p.buyer_id = pinned.buyer_id AND p.report_id = pinned.report_id
        ), true)
        """,
        purchase_id,
    )
    return missing


async def pinned_usage(connection: Connection | asyncpg.Pool, purchase_id: UUID) -> list[bytes]:
    """Return the parts of the pinned reports, each the body of a `UsageLinesReported`."""
    rows = await connection.fetch(
        """
        SELECT body FROM groups, unnest(buyer_ids, report_ids) AS pinned (buyer_id, report_id)
        JOIN usage_parts AS p USING (buyer_id, report_id)
        WHERE groups.purchase_id = $1 AND p.purchase_id = $1 ORDER BY buyer_id, part
        """,
        purchase_id,
    )
    return [row["body"] for row in rows]
