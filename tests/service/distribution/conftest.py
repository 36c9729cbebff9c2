"""The distribution service's schema in a database of its own, and a connection to it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.service.distribution.distribution_database import GateDatabase


@pytest.fixture
async def gates(database: str) -> GateDatabase:
    gates = GateDatabase(database)
    await gates.migrate()
    return gates


@pytest.fixture
async def connection(gates: GateDatabase) -> AsyncIterator[asyncpg.Connection]:
    opened = await gates.connect()
    yield opened
    await opened.close()
