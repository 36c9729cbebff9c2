"""Whose sign-in asks for a time-based code."""

from uuid import UUID

import asyncpg


async def enable(tx: asyncpg.Connection, person_id: UUID, number: int) -> bool:
    """Note a secret by its number; False if this one or a newer one was noted before."""
    noted = await tx.fetchval(
        "INSERT INTO second_factors (person_id, number, enabled) VALUES ($1, $2, true) "
        "ON CONFLICT (person_id) DO UPDATE SET number = excluded.number, enabled = true "
        "WHERE second_factors.number < excluded.number RETURNING true",
        person_id,
        number,
    )
    return noted is not None


async def disable(tx: asyncpg.Connection, person_id: UUID) -> int | None:
    """Note that no code is asked for; return the secret's number, or None where none was asked for."""
    number: int | None = await tx.fetchval(
        "UPDATE second_factors SET enabled = false WHERE person_id = $1 AND enabled RETURNING number",
        person_id,
    )
    return number
