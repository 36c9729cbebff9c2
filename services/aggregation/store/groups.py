"""Groups, their buyers and people; usage is in `reports`."""

import json
from datetime import datetime
from uuid import UUID

import asyncpg

from services.aggregation.domain.groups import Buyer, Group
from shared.messages.aggregation import BillingPreferences, Identifier, OpenGroup


async def record_order(tx: asyncpg.Connection, cause_id: UUID, purchase_id: UUID) -> bool:
    """Note that this order is obeyed; False if it was noted before."""
    noted = await tx.fetchval(
        "INSERT INTO orders (cause_id, purchase_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
        cause_id,
        purchase_id,
    )
    return noted is not None


async def add_group(
    tx: asyncpg.Connection, command: OpenGroup, coordinator_id: UUID, opened_at: datetime
) -> bool:
    """Add the group; False if the purchase has one."""
    added = await tx.fetchval(
        "INSERT INTO groups (purchase_id, name, currency, tax_basis, coordinator_id, opened_at, letters_required) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING true",
        command.purchase_id,
        command.name,
        command.currency,
        command.tax_basis,
        coordinator_id,
        opened_at,
        command.letters_required,
    )
    return added is not None


async def lock_group(tx: asyncpg.Connection, purchase_id: UUID) -> Group | None:
    """Return the group, locked until the transaction ends."""
    row = await tx.fetchrow(
        "SELECT purchase_id, name, currency, tax_basis, coordinator_id, closed_at IS NOT NULL AS closed, "
        "dissolved_at IS NOT NULL AS dissolved, letters_required "
        "FROM groups WHERE purchase_id = $1 FOR UPDATE",
        purchase_id,
    )
    return Group(**row) if row else None


async def close_group(
    tx: asyncpg.Connection, purchase_id: UUID, usage_digest: str, snapshot: str, closed_at: datetime
) -> None:
    """Freeze the group with its hashes."""
    await tx.execute(
        "UPDATE groups SET usage_digest = $2, snapshot = $3, closed_at = $4 WHERE purchase_id = $1",
        purchase_id,
        usage_digest,
        snapshot,
        closed_at,
    )


async def dissolve_group(tx: asyncpg.Connection, purchase_id: UUID, dissolved_at: datetime) -> None:
    """Keep that the group is given up."""
    await tx.execute("UPDATE groups SET dissolved_at = $2 WHERE purchase_id = $1", purchase_id, dissolved_at)


async def record_person(
    tx: asyncpg.Connection, person_id: UUID, recorded_by: UUID, address_digest: str, recorded_at: datetime
) -> bool:
    """Note who says how a person is reached; False if that is for another to say.

    The first to name a person may correct what they said, until the person speaks for themselves. An address that is confirmed
    changes only by confirming another.
    """
    noted = await tx.fetchval(
        "INSERT INTO people (person_id, recorded_by, address_digest, recorded_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (person_id) DO UPDATE SET recorded_by = excluded.recorded_by, "
        "address_digest = excluded.address_digest, recorded_at = excluded.recorded_at "
        "WHERE (people.recorded_by = excluded.recorded_by OR excluded.recorded_by = people.person_id) "
        "AND people.confirmed_at IS NULL AND people.erased_at IS NULL RETURNING true",
        person_id,
        recorded_by,
        address_digest,
        recorded_at,
    )
    return noted is not None


async def add_credential(
    tx: asyncpg.Connection,
    *,
    purchase_id: UUID,
    person_id: UUID,
    cause_id: UUID,
    assigned_at: datetime,
    expires_at: datetime,
    address_digest: str | None,
) -> int:
    """Note that a password is assigned; return its number."""
    number: int = await tx.fetchval(
        "INSERT INTO credentials (purchase_id, person_id, number, cause_id, assigned_at, expires_at, address_digest) "
        "SELECT $1, $2, 1 + coalesce(max(number), 0), $3, $4, $5, $6 FROM credentials "
        "WHERE purchase_id = $1 AND person_id = $2 RETURNING number",
        purchase_id,
        person_id,
        cause_id,
        assigned_at,
        expires_at,
        address_digest,
    )
    return number


async def buyers(tx: asyncpg.Connection, purchase_id: UUID) -> list[Buyer]:
    """Return all members and former members."""
    rows = await tx.fetch(
        "SELECT buyer_id, legal_name, identifiers, contact_id, left_at IS NOT NULL AS left FROM buyers "
        "WHERE purchase_id = $1 ORDER BY buyer_id",
        purchase_id,
    )
    return [_buyer(row) for row in rows]


async def buyer(tx: asyncpg.Connection, purchase_id: UUID, buyer_id: UUID) -> Buyer | None:
    """Return one member or former member."""
    row = await tx.fetchrow(
        "SELECT buyer_id, legal_name, identifiers, contact_id, left_at IS NOT NULL AS left FROM buyers "
        "WHERE purchase_id = $1 AND buyer_id = $2",
        purchase_id,
        buyer_id,
    )
    return _buyer(row) if row else None


def _buyer(row: asyncpg.Record) -> Buyer:
    identifiers = tuple(Identifier.model_validate(one) for one in json.loads(row["identifiers"]))
    return Buyer(row["buyer_id"], row["legal_name"], identifiers, row["contact_id"], row["left"])


async def add_buyer(tx: asyncpg.Connection, purchase_id: UUID, buyer: Buyer, joined_at: datetime) -> None:
    """Add a member."""
    await tx.execute(
        "INSERT INTO buyers (purchase_id, buyer_id, legal_name, identifiers, contact_id, joined_at) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        purchase_id,
        buyer.buyer_id,
        buyer.legal_name,
        json.dumps([one.model_dump() for one in buyer.identifiers]),
        buyer.contact_id,
        joined_at,
    )


async def remove_buyer(tx: asyncpg.Connection, purchase_id: UUID, buyer_id: UUID, left_at: datetime) -> None:
    """Take a member out."""
    await tx.execute(
        "UPDATE buyers SET left_at = $3 WHERE purchase_id = $1 AND buyer_id = $2",
        purchase_id,
        buyer_id,
        left_at,
    )


async def set_preferences(
    tx: asyncpg.Connection, purchase_id: UUID, buyer_id: UUID, preferences: BillingPreferences
) -> None:
    """Keep how a buyer wants to be billed, in the place of what it said before."""
    await tx.execute(
        "UPDATE buyers SET preferences = $3 WHERE purchase_id = $1 AND buyer_id = $2",
        purchase_id,
        buyer_id,
        preferences.model_dump_json(),
    )


async def preferences(tx: asyncpg.Connection, purchase_id: UUID) -> dict[UUID, BillingPreferences]:
    """Return how the members want to be billed; those who have not said it are missing."""
    rows = await tx.fetch(
        "SELECT buyer_id, preferences FROM buyers "
        "WHERE purchase_id = $1 AND left_at IS NULL AND preferences IS NOT NULL ORDER BY buyer_id",
        purchase_id,
    )
    return {row["buyer_id"]: BillingPreferences.model_validate_json(row["preferences"]) for row in rows}
