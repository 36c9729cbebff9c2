"""The pool, and which database errors pass by themselves."""

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
    asyncpg.InterfaceError,  # the connection went away under us
    asyncpg.InternalClientError,
)
"""Errors after which the same message is tried again, because it is not the message's fault."""


async def open_pool(dsn: str, schema: str, *, max_size: int = 10) -> asyncpg.Pool:
    """Open connections whose search path is the service's own schema, with times in UTC."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=60,
        server_settings={"search_path": schema, "timezone": "UTC", "application_name": f"linepool-{schema}"},
    )
