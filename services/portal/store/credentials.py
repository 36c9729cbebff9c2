"""How secrets are checked, as aggregation.credentials says it, and which of them the portal has accepted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from services.portal.store.facts import is_erased

Kind = Literal["chosen", "initial", "invitation", "address_code", "second_factor"]


@dataclass(frozen=True)
class Credential:
    """What stands under one key. `verifier`: an argon2id string, or the SHA-256 of an invitation's secret."""

    key: str
    person_id: UUID
    kind: Kind
    number: int
    state: Literal["standing", "closed", "void"] = "standing"
    purchase_id: UUID | None = None
    invitation_id: UUID | None = None
    verifier: str | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None
    failures: int = 0


_COLUMNS = (
    "key, person_id, kind, number, state, purchase_id, invitation_id, verifier, expires_at, used_at, failures"
)


async def keep(tx: asyncpg.Connection, credential: Credential) -> None:
    """Keep a credential in the place of those with lower numbers."""
    await _put(tx, credential, "standing", "credentials.number < excluded.number")


async def close(tx: asyncpg.Connection, credential: Credential) -> None:
    """Accept a credential no more, nor any with a lower number."""
    await _put(tx, credential, "closed", "credentials.number <= excluded.number")


async def _put(tx: asyncpg.Connection, credential: Credential, state: str, where: str) -> None:
    if await is_erased(tx, credential.person_id):
        return
    await tx.execute(
        "INSERT INTO credentials "
        "(key, person_id, kind, number, state, purchase_id, invitation_id, verifier, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (key) DO UPDATE SET number = excluded.number, "
        "state = excluded.state, verifier = excluded.verifier, expires_at = excluded.expires_at, failures = 0, "
        "used_at = CASE WHEN excluded.state = 'closed' THEN credentials.used_at END "
        f"WHERE {where}",
        credential.key,
        credential.person_id,
        credential.kind,
        credential.number,
        state,
        credential.purchase_id,
        credential.invitation_id,
        credential.verifier,
        credential.expires_at,
    )


async def erase(tx: asyncpg.Connection, key: str) -> None:
    """Erase what stands under a key."""
    await tx.execute("DELETE FROM credentials WHERE key = $1", key)


async def standing(tx: asyncpg.Connection, person_id: UUID, kind: Kind) -> list[Credential]:
    """Return a person's credentials of a kind that can be accepted now; the newest purchase's first."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM credentials WHERE person_id = $1 AND kind = $2 AND state = 'standing' AND used_at IS NULL "
        "AND (expires_at IS NULL OR expires_at > clock_timestamp()) ORDER BY expires_at DESC NULLS LAST, key",
        person_id,
        kind,
    )
    return [Credential(**row) for row in rows]


async def invitation(tx: asyncpg.Connection, sha256: str) -> Credential | None:
    """Return the invitation whose link's secret has this hash, if it can be accepted now."""
    row = await tx.fetchrow(
        f"SELECT {_COLUMNS} FROM credentials WHERE kind = 'invitation' AND verifier = $1 AND state = 'standing' "
        "AND used_at IS NULL AND expires_at > clock_timestamp()",
        sha256,
    )
    return Credential(**row) if row else None


async def use(tx: asyncpg.Connection, key: str, number: int) -> bool:
    """Accept a secret once; False if somebody else was faster, or it is void by now."""
    used = await tx.fetchval(
        "UPDATE credentials SET used_at = clock_timestamp() WHERE key = $1 AND number = $2 AND state = 'standing' "
        "AND used_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) RETURNING true",
        key,
        number,
    )
    return used is not None


async def note_failure(tx: asyncpg.Connection, key: str, most: int) -> None:
    """Note that something else was tried in a secret's place; with too many failures it is void."""
    await tx.execute(
        "UPDATE credentials SET failures = failures + 1, "
        "state = CASE WHEN failures + 1 >= $2 THEN 'void' ELSE state END WHERE key = $1 AND state = 'standing'",
        key,
        most,
    )


async def purchases_with_password(tx: asyncpg.Connection, person_id: UUID) -> list[UUID]:
    """Return the purchases for which a person was ever assigned an initial password, the newest first."""
    rows = await tx.fetch(
        "SELECT purchase_id FROM credentials WHERE person_id = $1 AND kind = 'initial' "
        "ORDER BY state = 'closed', expires_at DESC NULLS LAST, key",
        person_id,
    )
    return [row["purchase_id"] for row in rows]


async def has_spent(tx: asyncpg.Connection, person_id: UUID, purchase_id: UUID) -> bool:
    """Whether a person has spent the newest initial password for this purchase, here or as aggregation says."""
    spent: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM credentials WHERE person_id = $1 AND purchase_id = $2 AND kind = 'initial' "
        "AND (used_at IS NOT NULL OR state = 'closed'))",
        person_id,
        purchase_id,
    )
    return spent


async def newest_number(tx: asyncpg.Connection, key: str) -> int:
    """Return the newest number under a key; 0 where there is none."""
    number: int | None = await tx.fetchval("SELECT number FROM credentials WHERE key = $1", key)
    return number or 0


async def use_step(tx: asyncpg.Connection, person_id: UUID, step: int) -> bool:
    """Use a time-based code's step; False if it or a newer one was used before."""
    used = await tx.fetchval(
        "INSERT INTO code_steps AS c (person_id, step) VALUES ($1, $2) "
        "ON CONFLICT (person_id) DO UPDATE SET step = excluded.step WHERE c.step < excluded.step RETURNING true",
        person_id,
        step,
    )
    return used is not None
