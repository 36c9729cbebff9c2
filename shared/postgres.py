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


_NOTICED_MS = 10_000
"""After so long the server notices that a client's machine is gone: about when Kafka gives away that one's partitions."""
_SERVER_SETTINGS = {
    "timezone": "UTC",
    # A machine that dies closes no connection. What its processes had locked, the relay's turn first of all, would stay
    # locked for the two hours that an idle connection is believed by default.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": str(_NOTICED_MS),
}


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
        server_settings={
            **_SERVER_SETTINGS,
            "search_path": schema,
            "application_name": f"linepool-{schema}",
        },
    )


@asynccontextmanager
async def connect(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Take a connection from the pool and give it back; what the pool lends has all that a connection has."""
    async with pool.acquire() as lent:
        yield cast("asyncpg.Connection", lent)
