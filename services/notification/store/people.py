"""How persons are reached, and which secrets on their way to them are still good."""

from datetime import datetime
from uuid import UUID

import asyncpg

from services.notification.domain.mails import Reached
from shared.messages.aggregation import ContactRecorded


async def lock_contact(tx: asyncpg.Connection, person_id: UUID) -> Reached | None:
    """Return how a person is reached, locked until the transaction ends."""
    row = await tx.fetchrow(
        "SELECT email, unconfirmed_email, version FROM contacts WHERE person_id = $1 FOR UPDATE", person_id
    )
    return Reached(**row) if row else None


async def set_contact(tx: asyncpg.Connection, event: ContactRecorded, version: int | None) -> bool:
    """Keep how a person is reached; False where this or something newer is kept, or the person is erased."""
    kept = await tx.fetchval(
        "INSERT INTO contacts AS c (person_id, name, email, unconfirmed_email, version) SELECT $1, $2, $3, $4, $5 "
        "WHERE NOT EXISTS (SELECT FROM erased_people WHERE person_id = $1) "
        "ON CONFLICT (person_id) DO UPDATE SET name = excluded.name, email = excluded.email, "
        "unconfirmed_email = excluded.unconfirmed_email, version = excluded.version "
        "WHERE c.version IS NULL OR excluded.version IS NULL OR c.version < excluded.version RETURNING true",
        event.person_id,
        event.name,
        event.email,
        event.unconfirmed_email,
        version,
    )
    return kept is not None


async def erase_contact(tx: asyncpg.Connection, person_id: UUID, at: datetime) -> None:
    """Erase a person's name and addresses; what is still due to them is never sent."""
    await tx.execute("INSERT INTO erased_people (person_id) VALUES ($1) ON CONFLICT DO NOTHING", person_id)
    await tx.execute("DELETE FROM contacts WHERE person_id = $1", person_id)
    await tx.execute(
        "UPDATE mails SET failed_at = $2, sealed_password = NULL, former_email = NULL "
        "WHERE person_id = $1 AND delivered_at IS NULL AND failed_at IS NULL",
        person_id,
        at,
    )


async def note_secret(tx: asyncpg.Connection, key: str, number: int, *, closed: bool) -> None:
    """Note a secret, or that it is no longer good; what is known of it or a newer one stands."""
    await tx.execute(
        "INSERT INTO newest_secrets AS n (key, number, closed) VALUES ($1, $2, $3) "
        "ON CONFLICT (key) DO UPDATE SET number = excluded.number, closed = excluded.closed "
        "WHERE n.number < excluded.number OR (n.number = excluded.number AND excluded.closed)",
        key,
        number,
        closed,
    )
