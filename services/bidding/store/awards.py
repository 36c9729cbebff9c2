"""The SQL of awards and their terms."""

from uuid import UUID

import asyncpg

from services.bidding.domain.award import Award, RankedReply, Terms

Connection = asyncpg.Connection


async def ranked_replies(tx: Connection, purchase_id: UUID) -> list[RankedReply]:
    """Return the compared replies by rank."""
    rows = await tx.fetch(
        """
        SELECT id AS reply_id, provider_id, rank FROM replies
        WHERE purchase_id = $1 AND rank IS NOT NULL ORDER BY rank
        """,
        purchase_id,
    )
    return [RankedReply(**row) for row in rows]


async def awards(tx: Connection, purchase_id: UUID) -> list[Award]:
    """Return the purchase's awards in the order of their numbers."""
    rows = await tx.fetch(
        "SELECT number, provider_id, reply_id, standing FROM awards WHERE purchase_id = $1 ORDER BY number",
        purchase_id,
    )
    return [Award(**row) for row in rows]


async def is_obeyed(tx: Connection, cause_id: UUID) -> bool:
    """Whether this command made an award or answered terms already."""
    obeyed: bool = await tx.fetchval(
        """
        SELECT EXISTS (SELECT FROM awards WHERE cause_id = $1)
            OR EXISTS (SELECT FROM terms WHERE answered_by = $1)
        """,
        cause_id,
    )
    return obeyed


async def add_award(
    tx: Connection, purchase_id: UUID, *, number: int, provider_id: str, reply_id: UUID, cause_id: UUID
) -> None:
    """Note an award that stands."""
    await tx.execute(
        """
        INSERT INTO awards (purchase_id, number, provider_id, reply_id, cause_id) VALUES ($1, $2, $3, $4, $5)
        """,
        purchase_id,
        number,
        provider_id,
        reply_id,
        cause_id,
    )


async def terms(tx: Connection, purchase_id: UUID) -> list[Terms]:
    """Return all terms that were presented for the purchase's awards."""
    rows = await tx.fetch("SELECT id, award, sha256, answer FROM terms WHERE purchase_id = $1", purchase_id)
    return [Terms(**row) for row in rows]


async def answer_terms(tx: Connection, terms_id: UUID, answer: str, *, cause_id: UUID) -> None:
    """Note what the group said to the terms."""
    await tx.execute(
        "UPDATE terms SET answer = $2, answered_by = $3 WHERE id = $1", terms_id, answer, cause_id
    )
