"""Sessions, known by the hash of their token."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg


@dataclass(frozen=True)
class Session:
    """A person is signed in until `ends_at`."""

    session_id: UUID
    person_id: UUID
    began_at: datetime
    seen_at: datetime
    ends_at: datetime


async def begin(tx: asyncpg.Connection, session: Session, token_sha256: str) -> None:
    """Begin a session."""
    await tx.execute(
        "INSERT INTO sessions (session_id, token_sha256, person_id, began_at, seen_at, ends_at) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        session.session_id,
        token_sha256,
        session.person_id,
        session.began_at,
        session.seen_at,
        session.ends_at,
    )


async def of_person(tx: asyncpg.Connection, person_id: UUID) -> list[Session]:
    """Return the sessions of a person that have not ended."""
    rows = await tx.fetch(
        "SELECT session_id, person_id, began_at, seen_at, ends_at FROM sessions "
        "WHERE person_id = $1 AND ends_at > clock_timestamp() ORDER BY began_at",
        person_id,
    )
    return [Session(**row) for row in rows]


async def end(tx: asyncpg.Connection, person_id: UUID, session_id: UUID) -> bool:
    """End a session of a person; False if they have no such one."""
    ended = await tx.fetchval(
        "DELETE FROM sessions WHERE person_id = $1 AND session_id = $2 RETURNING true", person_id, session_id
    )
    return ended is not None


async def end_others(tx: asyncpg.Connection, person_id: UUID, but: UUID | None) -> None:
    """End all sessions of a person but one."""
    await tx.execute(
        "DELETE FROM sessions WHERE person_id = $1 AND session_id IS DISTINCT FROM $2", person_id, but
    )


async def purge(tx: asyncpg.Connection) -> None:
    """Forget sessions that have ended."""
    await tx.execute("DELETE FROM sessions WHERE ends_at < clock_timestamp()")


async def find(tx: asyncpg.Connection, token_sha256: str, idle_hours: float) -> Session | None:
    """Return the session of a token, if it has not ended, and note that it was seen."""
    row = await tx.fetchrow(
        "UPDATE sessions SET seen_at = clock_timestamp() WHERE token_sha256 = $1 AND ends_at > clock_timestamp() "
        "AND seen_at > clock_timestamp() - make_interval(secs => $2) "
        "RETURNING session_id, person_id, began_at, seen_at, ends_at",
        token_sha256,
        idle_hours * 3600,
    )
    return Session(**row) if row else None
