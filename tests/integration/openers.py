"""Openers held in the middle of their work, as long as a test likes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import asyncpg

from tests.integration.system import PATIENCE_S, RealSystem


@asynccontextmanager
async def admin(system: RealSystem) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(system.stack.admin_dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def eventually(
    holds: Callable[[], Coroutine[Any, Any, bool]], what: str, *, within: float = 60
) -> None:
    deadline = monotonic() + within
    while not await holds():
        assert monotonic() < deadline, f"{what} did not come within {within:.0f} s"
        await asyncio.sleep(0.05)


async def ask(system: RealSystem, statement: str, *arguments: object) -> Any:
    async with admin(system) as connection:
        return await connection.fetchval(statement, *arguments)


@asynccontextmanager
async def openings_held(system: RealSystem) -> AsyncIterator[None]:
    """Let no opener go on once it has noted an opening: it waits before its first reply is written."""
    async with admin(system) as holder:
        # Never committed: the holder may be the one that loses its database.
        await holder.transaction().start()
        await holder.execute("LOCK TABLE opener.openings IN SHARE MODE")
        yield


async def waiting_openers(system: RealSystem, *, openings: int, others: int = 0) -> None:
    """Wait until so many openers are in the middle of their work, and so many wait for what becomes of that."""

    async def waits() -> bool:
        return bool(
            await ask(
                system,
                """
                SELECT count(*) FILTER (WHERE relation = 'opener.openings'::regclass) = $1
                    AND count(*) FILTER (WHERE locktype = 'transactionid') = $2
                FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND usename = 'opener'
                """,
                openings,
                others,
            )
        )

    await eventually(
        waits, f"{openings} openers in the middle of their work, {others} behind", within=PATIENCE_S
    )
