"""A real Postgres for every test that asks for one, and a database of its own for each such test."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.local.postgres import LocalPostgres

SERVICES = ("aggregation", "rfp", "distribution", "bidding", "notification", "portal")
ROLES = (*SERVICES, "opener")
ROLE_PASSWORD = "for-tests"  # of a server that ends with the tests
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """One server for the session."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    server = LocalPostgres(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def database(postgres: LocalPostgres) -> AsyncIterator[str]:
    """A fresh database with a role and an empty schema for each service and the opener; yields the super user's address."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.admin_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlunsplit(urlsplit(postgres.admin_dsn)._replace(path=f"/{name}"))
    connection = await asyncpg.connect(dsn)
    for role in ROLES:
        # Roles belong to the server, so an earlier test may have made this one.
        if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{ROLE_PASSWORD}'")
        await connection.execute(f"CREATE SCHEMA {role} AUTHORIZATION {role}")
    await connection.close()
    try:
        yield dsn
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
