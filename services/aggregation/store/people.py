"""Persons, their passwords and addresses, invitations and auditors."""

from datetime import datetime
from uuid import UUID

import asyncpg

from services.aggregation.domain.people import Credential, Invitation, InvitationState, Person


async def lock_person(tx: asyncpg.Connection, person_id: UUID) -> Person | None:
    """Return a person, locked until the transaction ends."""
    row = await tx.fetchrow(
        "SELECT person_id, address_digest, pending_digest, confirmed_at IS NOT NULL AS confirmed, chosen, codes, "
        "code_assigned_at, code_open, erased_at FROM people WHERE person_id = $1 FOR UPDATE",
        person_id,
    )
    return Person(**row) if row else None


async def record_again(
    tx: asyncpg.Connection, person_id: UUID, recorded_by: UUID, address_digest: str, recorded_at: datetime
) -> None:
    """Note what was decided before a restore of how a person is reached, unless something newer is noted."""
    await tx.execute(
        "INSERT INTO people (person_id, recorded_by, address_digest, recorded_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (person_id) DO UPDATE SET recorded_by = excluded.recorded_by, "
        "address_digest = excluded.address_digest, recorded_at = excluded.recorded_at "
        "WHERE people.recorded_at < excluded.recorded_at AND people.erased_at IS NULL",
        person_id,
        recorded_by,
        address_digest,
        recorded_at,
    )


async def expect(tx: asyncpg.Connection, person_id: UUID, recorded_by: UUID, address_digest: str) -> None:
    """Note a person of whom more was decided before a restore than is noted here again yet."""
    await tx.execute(
        "INSERT INTO people (person_id, recorded_by, address_digest) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        person_id,
        recorded_by,
        address_digest,
    )


async def is_recorded_since(tx: asyncpg.Connection, person_id: UUID, at: datetime) -> bool:
    """Whether what is noted of how a person is reached was decided then or later."""
    since: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM people WHERE person_id = $1 AND recorded_at >= $2)", person_id, at
    )
    return since


async def contact_version(tx: asyncpg.Connection, person_id: UUID) -> int | None:
    """Return the version of what was last said of how a person is reached; None where nothing was."""
    version: int | None = await tx.fetchval(
        "SELECT version FROM subjects WHERE stream = 'aggregation.contacts' AND subject = $1", str(person_id)
    )
    return version


async def speak_for_oneself(tx: asyncpg.Connection, person_id: UUID) -> None:
    """Note that a person has spoken: nobody else changes from now on how they are reached."""
    await tx.execute("UPDATE people SET recorded_by = person_id WHERE person_id = $1", person_id)


async def confirm(tx: asyncpg.Connection, person_id: UUID, confirmed_at: datetime) -> bool:
    """Note that mail reaches a person; False if that was known."""
    confirmed = await tx.fetchval(
        "UPDATE people SET confirmed_at = $2 WHERE person_id = $1 AND confirmed_at IS NULL RETURNING true",
        person_id,
        confirmed_at,
    )
    return confirmed is not None


async def choose(tx: asyncpg.Connection, person_id: UUID) -> int:
    """Count a chosen password; return its number."""
    number: int = await tx.fetchval(
        "UPDATE people SET chosen = chosen + 1 WHERE person_id = $1 RETURNING chosen", person_id
    )
    return number


async def change_contact(
    tx: asyncpg.Connection,
    person_id: UUID,
    *,
    address_digest: str,
    pending_digest: str | None,
    recorded_at: datetime,
) -> None:
    """Note that a person has said how they are reached, and which address waits for its code; None: none does."""
    await tx.execute(
        "UPDATE people SET recorded_by = person_id, address_digest = $2, pending_digest = $3, code_open = false, "
        "recorded_at = $4 WHERE person_id = $1 AND erased_at IS NULL",
        person_id,
        address_digest,
        pending_digest,
        recorded_at,
    )


async def assign_code(tx: asyncpg.Connection, person_id: UUID, assigned_at: datetime) -> int:
    """Count a code; return its number."""
    number: int = await tx.fetchval(
        "UPDATE people SET codes = codes + 1, code_open = true, code_assigned_at = $2 WHERE person_id = $1 "
        "RETURNING codes",
        person_id,
        assigned_at,
    )
    return number


async def change_address(tx: asyncpg.Connection, person_id: UUID, confirmed_at: datetime) -> None:
    """Let the address count that waited."""
    await tx.execute(
        "UPDATE people SET address_digest = pending_digest, pending_digest = NULL, code_open = false, "
        "confirmed_at = coalesce(confirmed_at, $2), recorded_at = $2 WHERE person_id = $1",
        person_id,
        confirmed_at,
    )


async def address_digest(tx: asyncpg.Connection, person_id: UUID) -> str | None:
    """Return by what the address that counts is recognised."""
    digest: str | None = await tx.fetchval(
        "SELECT address_digest FROM people WHERE person_id = $1", person_id
    )
    return digest


async def is_auditor(tx: asyncpg.Connection, purchase_id: UUID, person_id: UUID) -> bool:
    """Whether a person is auditor of the purchase now."""
    auditor: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM auditors WHERE purchase_id = $1 AND person_id = $2 AND dismissed_at IS NULL)",
        purchase_id,
        person_id,
    )
    return auditor


async def newest_credential(
    tx: asyncpg.Connection, purchase_id: UUID, person_id: UUID, now: datetime
) -> Credential | None:
    """Return a person's newest initial password for a purchase."""
    row = await tx.fetchrow(
        "SELECT number, assigned_at, spent_at IS NOT NULL AS spent, address_digest, "
        "(SELECT count(*) FROM credentials WHERE purchase_id = $1 AND person_id = $2 "
        "AND assigned_at > $3::timestamptz - interval '1 day') AS in_a_day "
        "FROM credentials WHERE purchase_id = $1 AND person_id = $2 ORDER BY number DESC LIMIT 1",
        purchase_id,
        person_id,
        now,
    )
    return Credential(**row) if row else None


async def spend(
    tx: asyncpg.Connection, purchase_id: UUID, person_id: UUID, number: int, spent_at: datetime
) -> None:
    """Note that an initial password is spent."""
    await tx.execute(
        "UPDATE credentials SET spent_at = $4 WHERE purchase_id = $1 AND person_id = $2 AND number = $3",
        purchase_id,
        person_id,
        number,
        spent_at,
    )


async def invitation(tx: asyncpg.Connection, invitation_id: UUID) -> Invitation | None:
    """Return an invitation."""
    row = await tx.fetchrow(
        "SELECT invitation_id, purchase_id, legal_name, contact_id, number, state, assigned_at, address_digest "
        "FROM invitations WHERE invitation_id = $1",
        invitation_id,
    )
    return Invitation(**row) if row else None


async def invite(tx: asyncpg.Connection, invitation: Invitation) -> None:
    """Add an invitation."""
    await tx.execute(
        "INSERT INTO invitations "
        "(invitation_id, purchase_id, legal_name, contact_id, number, state, assigned_at, address_digest) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        invitation.invitation_id,
        invitation.purchase_id,
        invitation.legal_name,
        invitation.contact_id,
        invitation.number,
        invitation.state,
        invitation.assigned_at,
        invitation.address_digest,
    )


async def renew(
    tx: asyncpg.Connection, invitation_id: UUID, assigned_at: datetime, address_digest: str | None
) -> None:
    """Count a new link, and note which address it goes to."""
    await tx.execute(
        "UPDATE invitations SET number = number + 1, assigned_at = $2, address_digest = $3 WHERE invitation_id = $1",
        invitation_id,
        assigned_at,
        address_digest,
    )


async def end_invitation(tx: asyncpg.Connection, invitation_id: UUID, state: InvitationState) -> None:
    """Note that an invitation was accepted or taken back."""
    await tx.execute("UPDATE invitations SET state = $2 WHERE invitation_id = $1", invitation_id, state)


async def appoint(tx: asyncpg.Connection, purchase_id: UUID, person_id: UUID, at: datetime) -> bool:
    """Note an auditor; False if they are one already."""
    appointed = await tx.fetchval(
        "INSERT INTO auditors AS a (purchase_id, person_id, appointed_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (purchase_id, person_id) DO UPDATE SET appointed_at = excluded.appointed_at, dismissed_at = NULL "
        "WHERE a.dismissed_at IS NOT NULL RETURNING true",
        purchase_id,
        person_id,
        at,
    )
    return appointed is not None


async def dismiss(tx: asyncpg.Connection, purchase_id: UUID, person_id: UUID, at: datetime) -> bool:
    """Note that an auditor is none any more; False if they were none."""
    dismissed = await tx.fetchval(
        "UPDATE auditors SET dismissed_at = $3 WHERE purchase_id = $1 AND person_id = $2 AND dismissed_at IS NULL "
        "RETURNING true",
        purchase_id,
        person_id,
        at,
    )
    return dismissed is not None
