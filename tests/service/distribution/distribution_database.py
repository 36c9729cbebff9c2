"""The distribution service's tables on a real Postgres, and its handlers in transactions of their own."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
from distribution_facts import HANDLERS

from shared.adoption import Adoptions
from shared.messages.base import Message
from shared.outbox import Publisher


class GateDatabase:
    """Hands out connections to the service's schema, and delivers facts to its handlers."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self.dsn, server_settings={"search_path": "distribution", "timezone": "UTC"}, command_timeout=30
        )

    async def handle(
        self,
        connection: asyncpg.Connection,
        fact: Message,
        *,
        cause: UUID | None = None,
        barrier: asyncio.Barrier | None = None,
        adoptions: Adoptions | None = None,
    ) -> None:
        """Handle one fact as delivery does; at the barrier its transaction has begun and done nothing else."""
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
            await HANDLERS[type(fact)](fact, connection, publish)
