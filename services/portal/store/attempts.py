"""What was tried, to limit how often."""

from collections.abc import Sequence

import asyncpg

_LOCK = 0x74727973  # "trys"


async def note(tx: asyncpg.Connection, key: str) -> None:
    """Note an attempt."""
    await tx.execute("INSERT INTO attempts (key) VALUES ($1)", key)


async def count(tx: asyncpg.Connection, key: str, seconds: float) -> int:
    """Return how many attempts there were in the last seconds."""
    counted: int = await tx.fetchval(
        "SELECT count(*) FROM attempts WHERE key = $1 AND at > clock_timestamp() - make_interval(secs => $2)",
        key,
        seconds,
    )
    return counted


async def purge(tx: asyncpg.Connection, seconds: float) -> None:
    """Forget what was tried longer ago."""
    await tx.execute("DELETE FROM attempts WHERE at < clock_timestamp() - make_interval(secs => $1)", seconds)


async def lock(tx: asyncpg.Connection, keys: Sequence[str]) -> None:
    """Let nobody else count or note attempts under these keys until the transaction ends."""
    for key in sorted(keys):
        await tx.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK, key)
