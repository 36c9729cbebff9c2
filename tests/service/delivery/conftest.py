"""A service made for tests of delivery, on a real Postgres."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.service import Service, serve
from shared.settings import ServiceSettings
from tests.memory import TEST_SETTINGS, MemoryKafka, Running, running
from tests.service.delivery.delivery_desk import EFFECTS, Desk, a_desk


@pytest.fixture
def desk() -> Desk:
    return a_desk()


@pytest.fixture
def begin(
    database: str, kafka: MemoryKafka, desk: Desk, tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[Running]]:
    """Starts the service, as often as a test likes."""
    (tmp_path / "0001_effects.sql").write_text(EFFECTS)

    @asynccontextmanager
    async def start(**other: Any) -> AsyncIterator[Running]:
        settings = ServiceSettings(**{**TEST_SETTINGS, "postgres_dsn": database, **other})
        service: Service = serve("rfp", settings, desk.streams, migrations=tmp_path, timers=desk.timers)
        async with running(service, kafka) as started:
            yield started

    return start


@pytest.fixture
async def service(begin: Callable[..., AbstractAsyncContextManager[Running]]) -> AsyncIterator[Running]:
    async with begin() as started:
        yield started
