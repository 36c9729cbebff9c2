"""What a running service is made of: its pool, its identity, what it has adopted, and how it wakes its own workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import time_ns
from uuid import UUID

import asyncpg
from aiokafka import TopicPartition

from shared.adoption import Adoptions
from shared.crash import crash
from shared.envelope import Actor, derived_id
from shared.outbox import Publisher
from shared.postgres import connect
from shared.restores import Progress
from shared.settings import ServiceSettings
from shared.telemetry import Metrics
from shared.tracing import Traces, in_logs

EndOffsets = Callable[[str], Awaitable[dict[TopicPartition, int]]]


@dataclass
class Runtime:
    """A service while it runs; handlers never see it, jobs do."""

    service: str
    settings: ServiceSettings
    pool: asyncpg.Pool
    metrics: Metrics
    adoptions: Adoptions = field(default_factory=Adoptions)
    progress: Progress = field(default_factory=Progress)
    """How far this process has come; shows when the database was replaced by an older one."""
    outbox_filled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after each commit, so that the relay need not poll."""
    work_due: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after each commit, so that jobs need not poll."""
    end_offsets: EndOffsets | None = None
    """Where the topics of the broker end now, by partition; needs Describe on them."""
    traces: Traces | None = None
    """Where spans go; None: nowhere."""

    def wake(self) -> None:
        """Let the relay and the jobs look for work."""
        self.outbox_filled.set()
        self.work_due.set()

    def publisher(
        self,
        tx: asyncpg.Connection,
        *,
        cause: UUID,
        correlation: UUID,
        now: datetime,
        actor: Actor | None = None,
    ) -> Publisher:
        """Return what a handler says things with, inside this transaction."""
        return Publisher(
            tx=tx,
            service=self.service,
            topic_prefix=self.settings.topic_prefix,
            cause=cause,
            correlation=correlation,
            started_at=now,
            adoptions=self.adoptions,
            actor=actor,
        )

    @asynccontextmanager
    async def decide(
        self, *identity: object, correlation: UUID | None = None
    ) -> AsyncIterator[tuple[asyncpg.Connection, Publisher]]:
        """Open a transaction in which a job makes one decision; its ids derive from the decision's identity."""
        cause = derived_id(self.service, *identity)
        began_ns = time_ns()
        with in_logs(self.service, cause, correlation or cause, None):
            async with connect(self.pool) as tx:
                async with tx.transaction():
                    now = await tx.fetchval("SELECT clock_timestamp()")
                    publish = self.publisher(tx, cause=cause, correlation=correlation or cause, now=now)
                    yield tx, publish
                    crash("before_commit")
                crash("after_commit")
        # What was said to providers alone is not traced: it would tell how many of them have spoken.
        if self.traces is not None and publish.has_said_inside:
            self.traces.decided(str(identity[0]), cause, correlation or cause, began_ns, publish.purchase_id)
        # A job that wakes itself without having said anything would never rest.
        if publish.has_said:
            self.wake()

    async def wait_for_work(self, timeout: float) -> None:  # noqa: ASYNC109 # a job's pause, not a deadline
        """Wait until something was committed here, or the time is up."""
        try:
            async with asyncio.timeout(timeout):
                await self.work_due.wait()
        except TimeoutError:
            return
        self.work_due.clear()


Job = Callable[[Runtime], Awaitable[None]]
"""Work beside the handlers, such as sending mails; it runs for as long as the service does."""
