"""Real handlers on a real Postgres, with Kafka in memory (`tests.memory`).

    async def test_a_group_is_drafted(rfp: Running, kafka: MemoryKafka) -> None:
        kafka.event(GroupAggregated(...))       # or kafka.command(command, actor), kafka.from_provider(pid, message)
        await kafka.settle()                    # deliver, fire due timers, retry what is parked, send the outbox, until quiet
        assert kafka.messages("rfp.events") == [...]
        assert await rfp.pool.fetchval("SELECT ...")

`kafka.copies = 3` delivers every record three times. `rfp.rewind()` reads all topics again. Ask for the fixture of the one
service under test; every service has one, named after it. Other services are played by `kafka.event(...)`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any

import pytest

from tests.memory import TEST_SETTINGS, MemoryKafka, Running, running


@pytest.fixture
def kafka() -> MemoryKafka:
    """Empty topics."""
    return MemoryKafka()


def start(
    name: str, database: str, kafka: MemoryKafka, **settings: Any
) -> AbstractAsyncContextManager[Running]:
    """Start one service by name; `settings` override the test settings."""
    module = import_module(f"services.{name}.app")
    own = import_module(f"services.{name}.settings").Settings
    return running(module.build(own(**{**TEST_SETTINGS, "postgres_dsn": database, **settings})), kafka)


@pytest.fixture
async def aggregation(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    async with start("aggregation", database, kafka) as service:
        yield service


@pytest.fixture
async def rfp(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    async with start("rfp", database, kafka) as service:
        yield service


@pytest.fixture
async def distribution(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    async with start("distribution", database, kafka) as service:
        yield service


@pytest.fixture
async def bidding(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    async with start("bidding", database, kafka, seal="none") as service:
        yield service


@pytest.fixture
async def notification(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    async with start("notification", database, kafka) as service:
        yield service
