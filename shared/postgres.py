"""The pool, and which database errors pass by themselves."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

TRANSIENT: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TransactionRollbackError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover is under way
    asyncpg.InterfaceError,  # the connection went away under us
    asyncpg.InternalClientError,
)
"""Errors after which the same message is tried again, because it is not the message's fault."""


async def open_pool(
    dsn: str,
    schema: str,
    *,
    max_size: int = 10,
    look_at: Callable[[asyncpg.Connection], Coroutine[Any, Any, None]] | None = None,
) -> asyncpg.Pool:
    """Open connections whose search path is the service's own schema, with times in UTC; `look_at` sees each new one first."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=60,
        init=look_at,
        server_settings={"search_path": schema, "timezone": "UTC", "application_name": f"linepool-{schema}"},
    )


@asynccontextmanager
async def connect(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Take a connection from the pool and give it back; what the pool lends has all that a connection has."""
    async with pool.acquire() as lent:
        yield cast("asyncpg.Connection", lent)
