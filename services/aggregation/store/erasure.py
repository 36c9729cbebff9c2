"""Who is needed by a purchase that is not over, and what is erased of a person."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

OVER_AFTER = timedelta(days=400)
_ABOUT = (
    "((d.party = 'coordinator' AND d.party_id = $1) OR (d.party = 'buyer' AND EXISTS (SELECT FROM buyers b "
    "WHERE b.purchase_id = d.purchase_id AND b.buyer_id = d.party_id AND contact_id = $1)))"
)


async def end_purchase(tx: asyncpg.Connection, purchase_id: UUID) -> None:
    """Note that a purchase is over."""
    await tx.execute(
        "INSERT INTO ended_purchases (purchase_id) VALUES ($1) ON CONFLICT DO NOTHING", purchase_id
    )


async def lock_groups(tx: asyncpg.Connection, person_id: UUID) -> None:
    """Lock every group that has a part for a person."""
    await tx.execute(
        "SELECT FROM groups g WHERE coordinator_id = $1 "
        "OR EXISTS (SELECT FROM buyers b WHERE b.purchase_id = g.purchase_id AND contact_id = $1) "
        "OR EXISTS (SELECT FROM invitations i WHERE i.purchase_id = g.purchase_id AND contact_id = $1) "
        "OR EXISTS (SELECT FROM auditors a WHERE a.purchase_id = g.purchase_id AND person_id = $1) "
        "ORDER BY purchase_id FOR UPDATE",
        person_id,
    )


async def is_needed(tx: asyncpg.Connection, person_id: UUID, now: datetime) -> bool:
    """Whether a purchase that is not over has a person as its coordinator, a contact, an invited one or an auditor.

    One that nobody ends is over 400 days after its group was closed, or opened: its usage and documents are gone by then too.
    """
    needed: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM groups g WHERE dissolved_at IS NULL "
        "AND coalesce(closed_at, opened_at) > $2::timestamptz - $3::interval "
        "AND NOT EXISTS (SELECT FROM ended_purchases e WHERE e.purchase_id = g.purchase_id) AND ("
        "coordinator_id = $1 "
        "OR EXISTS (SELECT FROM buyers b "
        "WHERE b.purchase_id = g.purchase_id AND contact_id = $1 AND left_at IS NULL) "
        "OR EXISTS (SELECT FROM invitations i "
        "WHERE i.purchase_id = g.purchase_id AND contact_id = $1 AND state = 'invited') "
        "OR EXISTS (SELECT FROM auditors a "
        "WHERE a.purchase_id = g.purchase_id AND person_id = $1 AND dismissed_at IS NULL)))",
        person_id,
        now,
        OVER_AFTER,
    )
    return needed


async def erase(tx: asyncpg.Connection, person_id: UUID, erased_at: datetime) -> bool:
    """Note that a person is erased, with all by which their address could be recognised; False if they were."""
    erased = await tx.fetchval(
        "UPDATE people SET erased_at = $2, address_digest = NULL, pending_digest = NULL, code_open = false "
        "WHERE person_id = $1 AND erased_at IS NULL RETURNING true",
        person_id,
        erased_at,
    )
    if erased is None:
        return False
    # The invitations' purchases are over: taken back, they say nothing more under the person's keys.
    await tx.execute(
        "UPDATE invitations SET address_digest = NULL, "
        "state = CASE WHEN state = 'invited' THEN 'revoked' ELSE state END WHERE contact_id = $1",
        person_id,
    )
    await tx.execute("UPDATE credentials SET address_digest = NULL WHERE person_id = $1", person_id)
    return True


async def erase_documents(tx: asyncpg.Connection, person_id: UUID) -> None:
    """Erase documents that a person stood behind, with their names and signers; what letters allowed, and hashes, stay."""
    for table in ("document_parts", "documents"):
        await tx.execute(f"DELETE FROM {table} AS d WHERE {_ABOUT}", person_id)


async def erase_what_was_adopted(tx: asyncpg.Connection, person_id: UUID) -> None:
    """Erase the bodies of what was read back about a person after a restore; their hashes stay for the log."""
    await tx.execute(
        "UPDATE adopted SET body_sha256 = sha256(body), body = ''::bytea WHERE body <> ''::bytea AND ("
        "(stream IN ('aggregation.contacts', 'aggregation.credentials') "
        "AND (subject = $1 OR starts_with(subject, $1 || '/'))) "
        "OR CASE stream WHEN 'aggregation.evidence' THEN EXISTS (SELECT FROM "
        "jsonb_to_record(convert_from(body, 'UTF8')::jsonb) AS d (purchase_id uuid, party text, party_id uuid) "
        f"WHERE {_ABOUT.replace('$1', '$1::text::uuid')}) END)",
        str(person_id),
    )


async def credential_keys(tx: asyncpg.Connection, person_id: UUID) -> list[str]:
    """Return every key under which `aggregation.credentials` has ever said something about a person."""
    rows = await tx.fetch(
        "SELECT subject FROM subjects WHERE stream = 'aggregation.credentials' "
        "AND (subject = $1 OR starts_with(subject, $1 || '/')) ORDER BY subject",
        str(person_id),
    )
    return [row["subject"] for row in rows]
