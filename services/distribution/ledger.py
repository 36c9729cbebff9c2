"""The SQL of disclosure: opening a gate, and who was shown what. All inside the delivery's transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.distribution.domain import Request

Connection = asyncpg.Connection


async def lock_providers(tx: Connection, provider_ids: Sequence[str]) -> set[str]:
    """Return which of the providers are suspended; none can be suspended until the transaction ends.

    The share lock makes an opening and a suspension take turns, where a plain read could miss a suspension
    that is committed before the opening is. Openings do not wait for each other.
    """
    rows = await tx.fetch(
        """
        SELECT provider_id, suspended FROM providers WHERE provider_id = ANY($1)
        ORDER BY provider_id FOR SHARE
        """,
        provider_ids,
    )
    return {row["provider_id"] for row in rows if row["suspended"]}


async def open_gate(
    tx: Connection, purchase_id: UUID, version: int, *, qualification: int, adopted_at: datetime | None
) -> datetime | None:
    """Open a version by a qualification; return when, or None if it may not be opened.

    Everything that must hold at the moment of opening is checked here once more, against the database's clock
    at that moment. `adopted_at` is the time of the same decision where it was made before a restore: then
    that time counts, and nothing that came after it.
    """
    opened_at: datetime | None = await tx.fetchval(
        """
        WITH moment AS MATERIALIZED (SELECT coalesce($4::timestamptz, clock_timestamp()) AS at)
        UPDATE requests AS request
        SET opened_at = moment.at, qualification = held.number
        FROM moment, gates AS gate, qualifications AS held
        WHERE request.purchase_id = $1 AND request.request_version = $2
            AND gate.purchase_id = request.purchase_id
            AND held.purchase_id = request.purchase_id AND held.number = $3
            AND request.opened_at IS NULL
            AND request.deadline > moment.at
            AND held.snapshot = request.snapshot
            AND held.valid_until > moment.at
            AND ($4::timestamptz IS NOT NULL OR (
                gate.cancelled_by IS NULL
                AND gate.deadline_passed_by IS NULL
                AND NOT EXISTS (
                    SELECT FROM lapses
                    WHERE lapses.purchase_id = held.purchase_id AND lapses.number = held.number
                )
            ))
            AND EXISTS (
                SELECT FROM bid_boxes AS box
                WHERE box.purchase_id = request.purchase_id AND box.request_version = request.request_version
            )
            AND NOT EXISTS (
                SELECT FROM documents AS document
                WHERE document.purchase_id = request.purchase_id
                    AND document.request_version = request.request_version AND NOT document.complete
            )
        RETURNING request.opened_at
        """,
        purchase_id,
        version,
        qualification,
        adopted_at,
    )
    return opened_at


async def add_disclosures(
    tx: Connection, request: Request, causes: Mapping[str, UUID], *, qualification: int, at: datetime
) -> None:
    """Write into the ledger to whom the version is shown; `causes` are the decisions, by provider."""
    await tx.executemany(
        """
        INSERT INTO disclosures (
            purchase_id, request_version, provider_id, content_sha256, qualification, disclosed_at, cause_id
        ) VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
            (
                request.purchase_id,
                request.version,
                provider_id,
                request.documents[0].sha256,
                qualification,
                at,
                cause_id,
            )
            for provider_id, cause_id in causes.items()
        ],
    )


async def disclosed_to(tx: Connection, purchase_id: UUID) -> list[str]:
    """Return everyone who was shown any version of the purchase's request, sorted."""
    rows = await tx.fetch(
        "SELECT DISTINCT provider_id FROM disclosures WHERE purchase_id = $1 ORDER BY provider_id",
        purchase_id,
    )
    return [row["provider_id"] for row in rows]
