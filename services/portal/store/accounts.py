"""Accounts: how persons are reached."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from services.portal.store.facts import is_erased
from shared.messages.aggregation import ContactRecorded


@dataclass(frozen=True)
class Account:
    """A person, and how they are reached."""

    person_id: UUID
    name: str
    email: str
    phone: str | None
    unconfirmed_email: str | None


_COLUMNS = "person_id, name, email, phone, unconfirmed_email"


async def keep(tx: asyncpg.Connection, contact: ContactRecorded) -> None:
    """Keep the newest word about a person, unless they are erased."""
    if await is_erased(tx, contact.person_id):
        return
    await tx.execute(
        "INSERT INTO accounts (person_id, name, email, phone, unconfirmed_email) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (person_id) DO UPDATE SET name = excluded.name, email = excluded.email, "
        "phone = excluded.phone, unconfirmed_email = excluded.unconfirmed_email",
        contact.person_id,
        contact.name,
        contact.email,
        contact.phone,
        contact.unconfirmed_email,
    )


async def erase(tx: asyncpg.Connection, person_id: UUID) -> None:
    """Erase a person's account, sessions and credentials."""
    for table in ("accounts", "sessions", "credentials", "code_steps"):
        await tx.execute(f"DELETE FROM {table} WHERE person_id = $1", person_id)


async def find(tx: asyncpg.Connection, person_id: UUID) -> Account | None:
    """Return a person's account."""
    row = await tx.fetchrow(f"SELECT {_COLUMNS} FROM accounts WHERE person_id = $1", person_id)
    return Account(**row) if row else None


async def with_email(tx: asyncpg.Connection, email: str) -> list[Account]:
    """Return the persons who are said to be reached at an address; those with a password of their own first, at most three."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM accounts a WHERE lower(email) = lower($1) ORDER BY EXISTS (SELECT FROM credentials c "
        "WHERE c.person_id = a.person_id AND c.kind = 'chosen') DESC, person_id LIMIT 3",
        email,
    )
    return [Account(**row) for row in rows]
