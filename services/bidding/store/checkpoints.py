"""The SQL of published checkpoints: what was said, how far each chain went then, and what is still to be proved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from linepool.receipts.chain import Head
from services.bidding.domain.chain import Schedule

Connection = asyncpg.Connection
CheckpointId = tuple[UUID, int]
"""A purchase and the number of one of its checkpoints."""


@dataclass(frozen=True)
class Published:
    """A checkpoint as it was said; `heads` are the chains under it, None where a restore has lost them."""

    purchase_id: UUID
    number: int
    made_at: datetime
    root: bytes
    heads: Mapping[str, Head] | None
    adopted: bool = False
    """Said before the database was restored."""


async def begin(tx: Connection, purchase_id: UUID, at: datetime) -> None:
    """Let checkpoints of a locked box be due from now on; what begins them again changes nothing."""
    await tx.execute(
        "UPDATE boxes SET checkpoints_from = $2 WHERE purchase_id = $1 AND checkpoints_from IS NULL",
        purchase_id,
        at,
    )


async def schedules(
    connection: Connection | asyncpg.Pool, purchase_id: UUID | None = None
) -> dict[UUID, Schedule]:
    """Return the schedules that have not ended: all of them, or this purchase's."""
    rows = await connection.fetch(
        """
        SELECT purchase_id, checkpoints_from, coalesce(last.number, 0) AS number, last.made_at,
            -- Not once it is closed: a sealed box that waits for its opener is closed anew after a restore, and would get
            -- its last checkpoint twice.
            stage IN ('opened', 'compared', 'cancelled') AS is_over
        FROM boxes LEFT JOIN LATERAL (
            SELECT number, made_at FROM published_checkpoints AS published
            WHERE published.purchase_id = boxes.purchase_id ORDER BY number DESC LIMIT 1
        ) AS last ON true
        WHERE checkpoints_from IS NOT NULL AND NOT checkpoints_ended AND request_version IS NOT NULL
            AND ($1::uuid IS NULL OR purchase_id = $1)
        ORDER BY purchase_id
        """,
        purchase_id,
    )
    return {
        row["purchase_id"]: Schedule(
            row["checkpoints_from"], row["number"], row["made_at"], is_over=row["is_over"]
        )
        for row in rows
    }


async def end(tx: Connection, purchase_id: UUID) -> None:
    """Let no checkpoint of a locked box be due any more."""
    await tx.execute("UPDATE boxes SET checkpoints_ended = true WHERE purchase_id = $1", purchase_id)


async def add(tx: Connection, one: Published) -> None:
    """Keep a checkpoint; one that is known already stays as it is."""
    await tx.execute(
        """
        INSERT INTO published_checkpoints
            (purchase_id, number, made_at, root, provider_ids, chain_numbers, chain_heads, adopted)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (purchase_id, number) DO NOTHING
        """,
        one.purchase_id,
        one.number,
        one.made_at,
        one.root,
        None if one.heads is None else list(one.heads),
        None if one.heads is None else [head.number for head in one.heads.values()],
        None if one.heads is None else [head.hash for head in one.heads.values()],
        one.adopted,
    )


async def known(connection: Connection) -> set[tuple[UUID, int]]:
    """Return purchase and number of every checkpoint."""
    rows = await connection.fetch("SELECT purchase_id, number FROM published_checkpoints")
    return {(row["purchase_id"], row["number"]) for row in rows}


async def to_prove(connection: asyncpg.Pool, limit: int) -> list[CheckpointId]:
    """Return checkpoints that may be proved, as nothing about their purchase is secret any more, and were not."""
    rows = await connection.fetch(
        """
        SELECT purchase_id, number FROM published_checkpoints JOIN boxes USING (purchase_id)
        WHERE proved_at IS NULL AND published_checkpoints.provider_ids IS NOT NULL
            AND (opened_at IS NOT NULL OR cancelled_by IS NOT NULL)
        ORDER BY purchase_id, number LIMIT $1
        """,
        limit,
    )
    return [(row["purchase_id"], row["number"]) for row in rows]


async def lock_unproved(tx: Connection, purchase_id: UUID, number: int) -> Published | None:
    """Lock a checkpoint until the transaction ends; None where it was proved meanwhile."""
    row = await tx.fetchrow(
        """
        SELECT purchase_id, number, made_at, root, provider_ids, chain_numbers, chain_heads, adopted
        FROM published_checkpoints
        WHERE purchase_id = $1 AND number = $2 AND proved_at IS NULL FOR UPDATE
        """,
        purchase_id,
        number,
    )
    return None if row is None else _published(row)


async def note_proved(tx: Connection, purchase_id: UUID, number: int, at: datetime) -> None:
    """Note that each provider was told how its chain stands under a locked checkpoint."""
    await tx.execute(
        "UPDATE published_checkpoints SET proved_at = $3 WHERE purchase_id = $1 AND number = $2",
        purchase_id,
        number,
        at,
    )


def _published(row: Any) -> Published:
    heads = None
    if row["provider_ids"] is not None:
        chains = zip(row["provider_ids"], row["chain_numbers"], row["chain_heads"], strict=True)
        heads = {provider_id: Head(number, head) for provider_id, number, head in chains}
    return Published(row["purchase_id"], row["number"], row["made_at"], row["root"], heads, row["adopted"])
