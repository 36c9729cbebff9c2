"""The portal on a real Postgres, with Kafka in memory, asked over HTTP in this process."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.portal.api import make_api
from services.portal.api.asking import Portal
from services.portal.settings import Settings
from services.portal.store.sessions import Session, begin
from tests.memory import TEST_SETTINGS, MemoryKafka, Running
from tests.service.conftest import start


@dataclass
class Visiting:
    """Asks the portal as different people."""

    portal: Running
    kafka: MemoryKafka
    client: httpx.AsyncClient

    async def signed_in(self, person_id: UUID) -> dict[str, str]:
        """Return the headers of somebody who is signed in."""
        token = token_urlsafe(32)
        now = datetime.now(UTC)
        session = Session(uuid4(), person_id, now, now, now + timedelta(hours=1))
        async with self.portal.pool.acquire() as db:
            await begin(db, session, sha256(token.encode()).hexdigest())
        return {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask."""
        return await self.client.get(f"/v1{path}", headers=headers)

    async def post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Order."""
        return await self.client.post(f"/v1{path}", json=body, headers=headers)


@pytest.fixture
async def portal(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    async with start("portal", database, kafka) as service:
        yield service


@pytest.fixture
async def visiting(portal: Running, kafka: MemoryKafka) -> AsyncIterator[Visiting]:
    settings = Settings(
        **{**TEST_SETTINGS, "postgres_dsn": "postgresql://unused.invalid/x", "order_wait_s": 0}
    )
    api = make_api(Portal(portal.service.wiring, settings))
    transport = httpx.ASGITransport(app=api)
    async with httpx.AsyncClient(transport=transport, base_url="https://portal.invalid") as client:
        yield Visiting(portal, kafka, client)
