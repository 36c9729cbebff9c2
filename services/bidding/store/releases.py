"""The SQL of custodians' released keys."""

from datetime import datetime
from uuid import UUID

import asyncpg

Connection = asyncpg.Connection


async def is_obeyed(tx: Connection, cause_id: UUID) -> bool:
    """Whether this command released a key already."""
    obeyed: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM released_keys WHERE cause_id = $1)", cause_id
    )
    return obeyed


async def is_released(connection: Connection | asyncpg.Pool, purchase_id: UUID) -> bool:
    """Whether the key of the purchase's custodian was released."""
    released: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM released_keys WHERE purchase_id = $1)", purchase_id
    )
    return released


async def add_released_key(
    tx: Connection, purchase_id: UUID, private_key: str, *, at: datetime, cause_id: UUID
) -> None:
    """Keep a custodian's private key (base64) for as long as the opener may have to open the box once more."""
    await tx.execute(
        "INSERT INTO released_keys (purchase_id, private_key, released_at, cause_id) VALUES ($1, $2, $3, $4)",
        purchase_id,
        private_key,
        at,
        cause_id,
    )
