"""Brings a Postgres database to one role and one schema per service and process. Running it again sets passwords only."""

from collections.abc import Mapping

import asyncpg

from deploy.access.model import Principal, roles

# The name is quoted by Postgres itself; DDL takes no parameters.
_QUOTED = "SELECT format($1, VARIADIC $2::text[])"


async def apply_roles(admin_dsn: str, passwords: Mapping[str, str]) -> None:
    """Give everyone with a role in principals.yaml that role (LOGIN, its password) and its schema, and nothing else.

    `admin_dsn` names the database and a role that may create roles and owns the database or is a super user.
    `passwords` goes by role. PUBLIC loses the database and the schema `public`. The server's log keeps to the
    bare message for everything in this database: details and statements would quote data.
    Raises KeyError for a role without a password, asyncpg.PostgresError when Postgres refuses.
    """
    connection = await asyncpg.connect(admin_dsn)
    try:
        # One at a time: two who apply at once would meet in the catalogue.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('linepool deploy/access'))")
            await _close_database(connection)
            for principal in roles():
                await _give_schema(connection, principal, passwords)
    finally:
        await connection.close()


async def _close_database(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    database = await connection.fetchval("SELECT current_database()")
    await _run(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database)
    await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    if await _is_super_user(connection):
        await _run(connection, "ALTER DATABASE %I SET log_error_verbosity = 'terse'", database)
        await _run(connection, "ALTER DATABASE %I SET log_min_error_statement = 'panic'", database)


async def _give_schema(
    connection: "asyncpg.Connection[asyncpg.Record]", principal: Principal, passwords: Mapping[str, str]
) -> None:
    role, schema = principal.role, principal.schema
    if role is None or schema is None:
        raise ValueError(f"{principal.name} has no role or no schema in principals.yaml")
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await _run(connection, "CREATE ROLE %I", role)
    await _run(
        connection,
        "ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %L",
        role,
        passwords[role],
    )
    if not await _is_super_user(connection):
        # Only a member may make the role an owner.
        await _run(connection, "GRANT %I TO CURRENT_USER", role)
    database = await connection.fetchval("SELECT current_database()")
    await _run(connection, "GRANT CONNECT ON DATABASE %I TO %I", database, role)
    await _run(connection, "CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I", schema, role)
    await _run(connection, "ALTER SCHEMA %I OWNER TO %I", schema, role)
    await _run(connection, "ALTER ROLE %I IN DATABASE %I SET search_path = %I", role, database, schema)


async def _is_super_user(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))


async def _run(connection: "asyncpg.Connection[asyncpg.Record]", statement: str, *names: str) -> None:
    await connection.execute(await connection.fetchval(_QUOTED, statement, list(names)))
