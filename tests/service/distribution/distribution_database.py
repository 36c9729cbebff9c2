"""The distribution service's tables on a real Postgres, and its handlers in transactions of their own."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from shared import migrations
from shared.adoption import Adoptions
from shared.messages.base import Message
from shared.outbox import Publisher
from shared.outcomes import NotYet
from tests.service.distribution.distribution_facts import HANDLERS

MIGRATIONS = Path(__file__).parents[3] / "services" / "distribution" / "migrations"


class GateDatabase:
    """Hands out connections to the service's schema, and delivers facts to its handlers."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self.dsn, server_settings={"search_path": "distribution", "timezone": "UTC"}, command_timeout=30
        )

    async def migrate(self) -> None:
        connection = await self.connect()
        await migrations.apply(connection, MIGRATIONS)
        await connection.close()

    async def handle(
        self,
        connection: asyncpg.Connection,
        fact: Message,
        *,
        cause: UUID | None = None,
        barrier: asyncio.Barrier | None = None,
        adoptions: Adoptions | None = None,
    ) -> NotYet | None:
        """Handle one fact as delivery does; at the barrier its transaction has begun, and no more."""
        async with connection.transaction():
            now = await connection.fetchval("SELECT clock_timestamp()")
            if barrier is not None:
                await barrier.wait()
            cause = cause or uuid4()
            publish = Publisher(
                tx=connection,
                service="distribution",
                topic_prefix="",
                cause=cause,
                correlation=cause,
                started_at=now,
                adoptions=adoptions or Adoptions(),
            )
            result: NotYet | None = await HANDLERS[type(fact)](fact, connection, publish)
            return result
