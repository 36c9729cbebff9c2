"""Every statement of the aggregation service about usage reports and their lines."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.aggregation.domain.groups import Report, ReportState
from shared.messages.aggregation import LineUsage, Period, ReportUsage


async def all_reports(tx: asyncpg.Connection, purchase_id: UUID) -> list[Report]:
    """Return all reports of the group in the order in which they began."""
    rows = await tx.fetch(
        "SELECT report_id, buyer_id, number, state, period_start, period_end, period_months, parts FROM reports "
        "WHERE purchase_id = $1 ORDER BY number",
        purchase_id,
    )
    return [
        Report(
            row["report_id"],
            row["buyer_id"],
            row["number"],
            row["state"],
            Period(start=row["period_start"], end=row["period_end"], months=row["period_months"]),
            row["parts"],
        )
        for row in rows
    ]


async def known_parts(tx: asyncpg.Connection, purchase_id: UUID, report_id: UUID) -> dict[int, str]:
    """Return the hashes of the parts taken, by number."""
    rows = await tx.fetch(
        "SELECT part, sha256 FROM report_parts WHERE purchase_id = $1 AND report_id = $2",
        purchase_id,
        report_id,
    )
    return {row["part"]: row["sha256"] for row in rows}


async def begin_report(tx: asyncpg.Connection, command: ReportUsage, number: int) -> None:
    """Add the report that this part begins, unless another part began it."""
    await tx.execute(
        "INSERT INTO reports (purchase_id, report_id, buyer_id, number, state, "
        "period_start, period_end, period_months, parts) "
        "VALUES ($1, $2, $3, $4, 'collecting', $5, $6, $7, $8) ON CONFLICT (purchase_id, report_id) DO NOTHING",
        command.purchase_id,
        command.report_id,
        command.buyer_id,
        number,
        command.period.start,
        command.period.end,
        command.period.months,
        command.parts,
    )


async def add_part(tx: asyncpg.Connection, command: ReportUsage, sha256: str) -> set[str]:
    """Keep the part; return the ids of its lines that another part has brought already."""
    await tx.execute(
        "INSERT INTO report_parts (purchase_id, report_id, part, sha256) VALUES ($1, $2, $3, $4)",
        command.purchase_id,
        command.report_id,
        command.part,
        sha256,
    )
    ids = [line.line_id for line in command.lines]
    added = await tx.fetch(
        "INSERT INTO usage_lines (purchase_id, report_id, line_id, part, position, usage) "
        "SELECT $1, $2, line_id, $3, position, usage::jsonb "
        "FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS new (line_id, usage, position) "
        "ON CONFLICT ON CONSTRAINT usage_lines_once_per_report DO NOTHING RETURNING line_id",
        command.purchase_id,
        command.report_id,
        command.part,
        ids,
        [line.model_dump_json() for line in command.lines],
    )
    return set(ids) - {row["line_id"] for row in added}


async def end_reports(
    tx: asyncpg.Connection, purchase_id: UUID, report_ids: Sequence[UUID], state: ReportState
) -> None:
    """Give reports a state in which they count for nothing, and delete their lines."""
    await tx.execute(
        "DELETE FROM usage_lines WHERE purchase_id = $1 AND report_id = ANY($2)", purchase_id, report_ids
    )
    await tx.execute(
        "UPDATE reports SET state = $3 WHERE purchase_id = $1 AND report_id = ANY($2)",
        purchase_id,
        report_ids,
        state,
    )


async def withdraw_reports(tx: asyncpg.Connection, purchase_id: UUID, buyer_id: UUID) -> None:
    """Let nothing count that a buyer has reported."""
    standing = await tx.fetch(
        "SELECT report_id FROM reports "
        "WHERE purchase_id = $1 AND buyer_id = $2 AND state IN ('collecting', 'counts')",
        purchase_id,
        buyer_id,
    )
    await end_reports(tx, purchase_id, [row["report_id"] for row in standing], "withdrawn")


async def let_report_count(tx: asyncpg.Connection, purchase_id: UUID, report_id: UUID) -> None:
    """Let a complete report count."""
    await tx.execute(
        "UPDATE reports SET state = 'counts' WHERE purchase_id = $1 AND report_id = $2",
        purchase_id,
        report_id,
    )


async def lines_of_part(
    tx: asyncpg.Connection, purchase_id: UUID, report_id: UUID, part: int
) -> tuple[LineUsage, ...]:
    """Return the lines of one part in their order."""
    rows = await tx.fetch(
        "SELECT usage FROM usage_lines WHERE purchase_id = $1 AND report_id = $2 AND part = $3 ORDER BY position",
        purchase_id,
        report_id,
        part,
    )
    return tuple(LineUsage.model_validate_json(row["usage"]) for row in rows)


async def count_lines(tx: asyncpg.Connection, purchase_id: UUID, report_id: UUID) -> int:
    """Return how many lines a report has."""
    count: int = await tx.fetchval(
        "SELECT count(*) FROM usage_lines WHERE purchase_id = $1 AND report_id = $2", purchase_id, report_id
    )
    return count


async def counting_lines(tx: asyncpg.Connection, purchase_id: UUID) -> list[tuple[UUID, str]]:
    """Return all lines that count, as (buyer id, the line's JSON)."""
    rows = await tx.fetch(
        "SELECT r.buyer_id, l.usage FROM usage_lines l JOIN reports r USING (purchase_id, report_id) "
        "WHERE r.purchase_id = $1 AND r.state = 'counts'",
        purchase_id,
    )
    return [(row["buyer_id"], row["usage"]) for row in rows]
