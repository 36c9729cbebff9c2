"""Orders that were sent."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg


@dataclass(frozen=True)
class SentOrder:
    """An order that somebody sent."""

    order_id: UUID
    person_id: UUID
    purchase_id: UUID | None
    type: str
    body_sha256: str
    sent_at: datetime
    obeyed_at: datetime | None = None
    """Where it was obeyed by a word that is kept as no fact."""


async def note(tx: asyncpg.Connection, order: SentOrder) -> bool:
    """Note an order; False if one was noted before under its id."""
    noted = await tx.fetchval(
        "INSERT INTO orders (order_id, person_id, purchase_id, type, body_sha256, sent_at) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true",
        order.order_id,
        order.person_id,
        order.purchase_id,
        order.type,
        order.body_sha256,
        order.sent_at,
    )
    return noted is not None


async def find(tx: asyncpg.Connection, order_id: UUID) -> SentOrder | None:
    """Return an order that was sent."""
    row = await tx.fetchrow(
        "SELECT order_id, person_id, purchase_id, type, body_sha256, sent_at, obeyed_at FROM orders WHERE order_id = $1",
        order_id,
    )
    return SentOrder(**row) if row else None


async def note_obeyed(tx: asyncpg.Connection, order_id: UUID | None, at: datetime) -> None:
    """Note that an order was obeyed, if it was sent from here."""
    await tx.execute("UPDATE orders SET obeyed_at = $2 WHERE order_id = $1", order_id, at)
