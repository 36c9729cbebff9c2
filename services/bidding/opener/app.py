"""Wiring of the opener: no Kafka, one job, and the four addresses that operators look at."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from faststream.asgi import AsgiResponse
from prometheus_client import make_asgi_app

from services.bidding.opener.opening import NO_TABLES, Opener
from services.bidding.opener.settings import Settings
from shared import migrations
from shared.postgres import TRANSIENT, connect, open_pool
from shared.service import NOT_NOW, START_ERRORS, CannotStart
from shared.status import ProcessStatus, QueueStatus

NAME = "opener"
MIGRATIONS = Path(__file__).parent / "migrations"
STANDSTILL_S = 300.0
"""A process that has not gone round for so long is not alive."""
PASSING: tuple[type[BaseException], ...] = (*TRANSIENT, *NO_TABLES)
log = structlog.get_logger()


@dataclass(frozen=True)
class Process:
    """The opener, wired but not started."""

    settings: Settings
    name: str = NAME

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Opener]:
        """Connect to the database, bring the own schema up to date, and make the opener.

        Raises:
            CannotStart: Postgres does not let it in.
            MigrationError: the schema is not one that it can work on.
        """
        settings = self.settings
        try:
            pool = await open_pool(settings.postgres_dsn.get_secret_value(), NAME, max_size=3)
        except START_ERRORS as error:
            raise CannotStart(f"Postgres does not let {NAME} in: {type(error).__name__}") from error
        try:
            async with connect(pool) as connection:
                prepare = migrations.apply if settings.migrate else migrations.check
                await prepare(connection, MIGRATIONS, delivery=False)
            yield Opener(
                settings.secret.get_secret_value(), pool, timedelta(seconds=settings.skew_allowance_s)
            )
        finally:
            await asyncio.wait_for(pool.close(), 10)

    def app(self) -> "App":
        """Return the ASGI application; nothing is connected before it starts."""
        return App(self)


class App:
    """Works from the start of the server to its end, and answers `/livez`, `/readyz`, `/metrics` and `/status`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._opener: Opener | None = None
        self._work: asyncio.Task[None] | None = None
        self._went_round = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as ASGI asks."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with self._process.open() as self._opener:
                self._work = asyncio.create_task(self._go_round(self._opener))
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self._work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._work
        except BaseException:
            if self._work is None:
                await send({"type": "lifespan.startup.failed"})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    async def _go_round(self, opener: Opener) -> None:
        while True:
            try:
                await opener.work()
            except PASSING as error:
                if opener.concerns.is_news("database", type(error).__name__):
                    log.warning("boxes wait", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 # whatever it is, the other boxes wait for the next round
                if opener.concerns.is_news("work", type(error).__name__):
                    opener.figures.alarm("opener_failed", error=type(error).__name__)
            self._went_round = time.monotonic()
            await asyncio.sleep(self._process.settings.opener_pause_s)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        opener = self._opener
        if scope["path"] == "/metrics" and opener is not None:
            await make_asgi_app(opener.figures.registry)(scope, receive, send)
            return
        if scope["path"] == "/livez":
            ok = self._work is not None and not self._work.done() and self._is_going_round()
            response = AsgiResponse(b"ok\n" if ok else b"stands still\n", 200 if ok else 500)
        elif scope["path"] == "/readyz":
            ok = await self._has_database()
            response = AsgiResponse(b"ready\n" if ok else b"database\n", 200 if ok else 503)
        elif scope["path"] == "/status":
            response = await self._status()
        else:
            response = AsgiResponse(b"", 404)
        await response(scope, receive, send)

    async def _status(self) -> AsgiResponse:
        waiting = 0.0
        if self._opener is not None:
            waiting = self._opener.figures.registry.get_sample_value("linepool_opener_boxes_waiting") or 0.0
        found = ProcessStatus(
            service=NAME,
            version=version("linepool"),
            missing="" if await self._has_database() else "database",
            ailing={} if self._is_going_round() else {NAME: "stands still"},
            queues={"boxes to open": QueueStatus(rows=int(waiting), age_s=0.0)},
        )
        return AsgiResponse(found.model_dump_json().encode(), 200, {"content-type": "application/json"})

    def _is_going_round(self) -> bool:
        return time.monotonic() - self._went_round < STANDSTILL_S

    async def _has_database(self) -> bool:
        if self._opener is None:
            return False
        try:
            await self._opener.pool.fetchval("SELECT 1")
        except NOT_NOW:
            return False
        return True


def build(settings: Settings | None = None) -> Process:
    """Return the opener; nothing connects before it is run."""
    return Process(settings or Settings())
