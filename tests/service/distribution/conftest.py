"""A Postgres with the distribution service's schema."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from distribution_database import GateDatabase

from deploy.local.postgres import LocalPostgres
from shared import migrations

SERVICE = Path(__file__).parents[3] / "services" / "distribution"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    server = LocalPostgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="session")
async def database(postgres: LocalPostgres) -> GateDatabase:
    connection = await asyncpg.connect(postgres.admin_dsn)
    await connection.execute("CREATE SCHEMA distribution")
    await connection.close()
    database = GateDatabase(postgres.admin_dsn)
    connection = await database.connect()
    await migrations.apply(connection, SERVICE / "migrations")
    await connection.close()
    return database


@pytest_asyncio.fixture
async def connection(database: GateDatabase) -> AsyncIterator[asyncpg.Connection]:
    opened = await database.connect()
    yield opened
    await opened.close()
