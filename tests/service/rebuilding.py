"""A service whose database is lost, and starts again on an empty one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from shared.adoption import adopt, load
from shared.postgres import connect
from tests.memory import Running, running


@asynccontextmanager
async def rebuilt(
    name: str, lost: Running, database: str, own_streams: Sequence[str]
) -> AsyncIterator[Running]:
    """Start the service again on an empty schema, with what it finds on its own streams adopted, before it handles anything."""
    kafka = lost.kafka
    kafka.services.remove(lost)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(f"ALTER SCHEMA {name} RENAME TO lost")
        await connection.execute(f"CREATE SCHEMA {name}")
    finally:
        await connection.close()
    try:
        async with running(lost.service, kafka) as again:
            async with connect(again.pool) as own:
                for stream in own_streams:
                    records = [(list(record.headers), record.value) for record in kafka.topics[stream]]
                    await adopt(own, stream, records)
                again.runtime.adoptions = await load(own)
            yield again
    finally:
        kafka.services.append(lost)
