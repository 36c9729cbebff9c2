"""Puts a service together: consumers, relay, timers, jobs, and the four addresses that operators look at."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

import asyncpg
import structlog
import uvicorn
from aiokafka.errors import KafkaError
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.kafka import KafkaBroker
from prometheus_client import make_asgi_app
from pydantic import ValidationError

from shared import migrations, workers
from shared.kafka import partitions_of, reader, security, sender, why_refused
from shared.logs import set_up_logging
from shared.migrations import MigrationError
from shared.postgres import TRANSIENT, connect, open_pool
from shared.readback import adopt_forgotten
from shared.relay import Relay
from shared.restores import Progress, end_process
from shared.runtime import Job, Runtime
from shared.settings import ProcessSettings, ServiceSettings
from shared.status import status_of
from shared.streams import Streams, make_broker
from shared.telemetry import Metrics
from shared.timers import Timers
from shared.tracing import Traces
from shared.waiting import Looking, Waits
from shared.watchdog import Watchdog
from shared.wiring import Wiring

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
START_ERRORS: tuple[type[BaseException], ...] = (*TRANSIENT, asyncpg.PostgresError)

NOT_NOW: tuple[type[BaseException], ...] = (RuntimeError, *TRANSIENT)


class CannotStart(Exception):  # noqa: N818 # says what is wrong
    """A service cannot start; the text is one sentence for the operator."""


@dataclass
class Service:
    """One service, wired but not started."""

    name: str
    settings: ServiceSettings
    streams: Streams
    migrations: Path
    timers: Timers = field(default_factory=Timers)
    jobs: Sequence[Job] = ()
    on_adopted: Sequence[Job] = ()
    """What is put right by what was adopted, before anything is handled."""
    waits: Waits = field(default_factory=Waits)
    """What purchases may wait for here."""
    ways_in: Mapping[str, ASGI] = field(default_factory=dict)
    """Applications that answer under a path of their own, such as `/v1/`, beside the addresses for operators."""
    wiring: Wiring = field(init=False)
    broker: KafkaBroker = field(init=False)
    watchdog: Watchdog = field(init=False)
    looking: Looking = field(init=False)

    def __post_init__(self) -> None:
        self.wiring = Wiring(self.name)
        self.broker = make_broker(self.settings, self.wiring, security(self.settings))
        self.streams.attach(self.broker, self.wiring, self.settings)
        self.watchdog = Watchdog(self.wiring)
        self.looking = Looking(self.waits)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Runtime]:
        """Connect to the database, bring its schema up to date, and make the runtime."""
        dsn = self.settings.postgres_dsn.get_secret_value()
        progress = Progress()
        try:
            pool = await open_pool(dsn, self.name, look_at=progress.look)
        except START_ERRORS as error:
            raise CannotStart(f"Postgres does not let {self.name} in: {type(error).__name__}") from error
        try:
            async with connect(pool) as connection:
                prepare = migrations.apply if self.settings.migrate else migrations.check
                await prepare(connection, self.migrations)
            self.wiring.runtime = Runtime(
                self.name,
                self.settings,
                pool,
                Metrics.create(self.name),
                progress=progress,
                traces=Traces.from_environment(self.name),
            )
            yield self.wiring.runtime
        finally:
            if self.wiring.runtime is not None and self.wiring.runtime.traces is not None:
                await asyncio.to_thread(self.wiring.runtime.traces.close)
            self.wiring.runtime = None
            await asyncio.wait_for(pool.close(), 10)

    def work(self, runtime: Runtime, make_sender: Callable[[], Any]) -> list[Any]:
        """Return what runs beside the consumers, as coroutines."""
        return [
            Relay(runtime, make_sender).run(),
            workers.forever(
                "timers", partial(workers.fire_timer, runtime, self.timers), workers.TIMER_POLL_S
            ),
            workers.forever(
                "parked", partial(workers.retry_parked, self.wiring, self.broker), workers.PARKED_POLL_S
            ),
            workers.forever("purge", partial(workers.purge, runtime), 3600),
            workers.forever("measure", partial(workers.measure, runtime, self.looking), 5),
            workers.forever("watchdog", self.watchdog.look, 2),
            *(workers.keep_running(job, runtime) for job in self.jobs),
        ]

    def app(self) -> ASGI:
        """Return the ASGI application; nothing is connected before it starts."""
        own = self._own_app()

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            path = scope.get("path", "")
            app = next((app for at, app in self.ways_in.items() if path.startswith(at)), own)
            await app(scope, receive, send)

        return answer

    def _own_app(self) -> AsgiFastStream:
        tasks: list[asyncio.Task[None]] = []

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            async with self.open() as runtime, self._reading(runtime):
                await adopt_forgotten(runtime)
                for put_right in self.on_adopted:
                    await put_right(runtime)
                runtime.progress.react = end_process
                # FastStream would serve health checks for ever without a broker; this fails instead.
                await self.broker.connect()
                tasks.extend(
                    asyncio.create_task(work) for work in self.work(runtime, partial(sender, self.settings))
                )
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

        @get
        async def livez(_scope: object) -> AsgiResponse:
            ailing = dict(self.watchdog.ailing)
            dead = [task.get_name() for task in tasks if task.done()]
            ok = not ailing and not dead
            return AsgiResponse(b"ok\n" if ok else f"{ailing} {dead}\n".encode(), 200 if ok else 500)

        @get
        async def readyz(_scope: object) -> AsgiResponse:
            missing = await self._missing()
            return AsgiResponse(
                b"ready\n" if not missing else f"{missing}\n".encode(), 200 if not missing else 503
            )

        @get
        async def status(_scope: object) -> AsgiResponse:
            missing = await self._missing()
            found = await status_of(
                self.name, self.wiring.runtime, self.looking, ailing=self.watchdog.ailing, missing=missing
            )
            return AsgiResponse(found.model_dump_json().encode(), 200, {"content-type": "application/json"})

        runtime_metrics = _Metrics(self.wiring)
        return AsgiFastStream(
            self.broker,
            logger=None,
            lifespan=lifespan,
            asgi_routes=[
                ("/livez", livez),
                ("/readyz", readyz),
                ("/metrics", runtime_metrics),
                ("/status", status),
            ],
        )

    @asynccontextmanager
    async def _reading(self, runtime: Runtime) -> AsyncIterator[None]:
        try:
            async with reader(self.settings) as consumer:

                async def end_offsets(topic: str) -> dict[Any, int]:
                    places = await partitions_of(consumer, [self.settings.topic_prefix + topic])
                    return dict(await consumer.end_offsets(places))

                runtime.end_offsets = end_offsets
                yield
        except KafkaError as error:
            why = await why_refused(self.settings)
            raise CannotStart(f"Kafka does not let {self.name} in: {why}") from error

    async def _missing(self) -> str:
        try:
            runtime = self.wiring.running()
            await runtime.pool.fetchval("SELECT 1")
        except NOT_NOW:
            return "database"
        waiting = [
            one.consumer for one in self.wiring.streams.values() if not one.joined and one.kind != "batches"
        ]
        return f"not yet assigned: {', '.join(waiting)}" if waiting else ""


class _Metrics:
    """Serves the figures of the runtime that is there when somebody asks."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await make_asgi_app(self.wiring.running().metrics.registry)(scope, receive, send)


def serve(
    name: str,
    settings: ServiceSettings,
    streams: Streams,
    *,
    migrations: Path,
    timers: Timers | None = None,
    jobs: Sequence[Job] = (),
    on_adopted: Sequence[Job] = (),
    waits: Waits | None = None,
) -> Service:
    """Wire a service; `.app()` is what a server runs."""
    return Service(
        name, settings, streams, migrations, timers or Timers(), jobs, on_adopted, waits or Waits()
    )


class Program(Protocol):
    """What can be run as a process of its own: a service, or one that has nothing to do with Kafka."""

    @property
    def name(self) -> str:
        """What it is called in the log."""

    @property
    def settings(self) -> ProcessSettings:
        """Where it listens."""

    def app(self) -> ASGI:
        """Return the ASGI application."""


def main(build: Callable[[], Program]) -> None:
    """Run a process until it is told to stop, then exit 0; exit 1 with one sentence when it cannot start."""
    try:
        service = build()
    except ValidationError as error:
        fields = ", ".join(f"LINEPOOL_{'_'.join(map(str, fault['loc']))}".upper() for fault in error.errors())
        sys.exit(f"linepool: these settings are missing or wrong: {fields}")
    set_up_logging(service.name)
    server = uvicorn.Server(
        uvicorn.Config(
            _Checked(service),
            host=service.settings.http_host,
            port=service.settings.http_port,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=25,
        )
    )
    # uvicorn ends in order and then raises the signal again, which by itself would end the process as if it had been killed.
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(SystemExit):  # of `_end`, and uvicorn's own for a failed start
        server.run()
    if not server.started:
        sys.exit(1)


def _end(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


class _Checked:
    """The application, which says in one sentence why it could not start."""

    def __init__(self, service: Program) -> None:
        self.app = service.app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def say(message: Any) -> None:
            # FastStream hands over a whole trace, which quotes what it met on the way.
            await send({"type": message["type"]})

        try:
            await self.app(scope, receive, say)
        except (CannotStart, MigrationError, KafkaError, *TRANSIENT) as error:
            structlog.get_logger().error("cannot start", why=str(error))
            sys.stderr.write(f"linepool: {error}\n")
            raise
