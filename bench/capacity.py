"""What one purchase costs, and each line of usage, each provider on its list and each reply: bytes on both disks, and CPU time.

Purchases of four kinds run to their acceptance on all processes, some at once; each kind has more of one thing than the first.
The difference, divided by how much more it is, is the cost of one. Replies are sealed, as they are by default.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from uuid import uuid4

import asyncpg

from bench.measuring import connection, producer
from bench.whole_purchase import LINES, PROVIDERS, REPLIES, Kind, Providers, buy
from deploy.access.model import topics
from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from deploy.local.services import Services
from deploy.local.stack import Stack
from linepool.client.authorities import open_officer, open_operator
from linepool.client.journal import open_journal
from linepool.client.people import open_people

AT_ONCE = 4
"""So many purchases of each kind run at the same time, and their mean counts."""
IDLE_S = 20.0
SETTLED_S = 2.0
MORE_LINES, MORE_PROVIDERS = 2_000, 100


@dataclass(frozen=True)
class Used:
    """Bytes in Postgres and in Kafka's segments, and seconds of CPU time by process."""

    postgres: float
    kafka: float
    cpu: Mapping[str, float]

    def less(self, other: "Used") -> "Used":
        """Return what is used beyond another."""
        cpu = {name: seconds - other.cpu.get(name, 0.0) for name, seconds in self.cpu.items()}
        return Used(self.postgres - other.postgres, self.kafka - other.kafka, cpu)

    def over(self, number: float) -> "Used":
        """Return a part of it."""
        return Used(
            self.postgres / number,
            self.kafka / number,
            {name: seconds / number for name, seconds in self.cpu.items()},
        )

    @property
    def seconds(self) -> float:
        """All processes' CPU time together."""
        return sum(self.cpu.values())


@dataclass(frozen=True)
class Capacity:
    """What one of each costs; `idle` is a second in which nothing happens, and an empty installation's bytes."""

    purchase: Used
    line: Used
    listed: Used
    reply: Used
    provider: Used
    idle: Used
    topics: int
    partitions: int


def measure(stack: Stack) -> Capacity:
    """Measure on one stack, one kind after the other."""
    pids = [f"cap000{index:06d}" for index in range(PROVIDERS + MORE_PROVIDERS)]
    with Services(stack) as services:
        return asyncio.run(_measure(Measuring(stack, services, pids)))


async def _measure(at: "Measuring") -> Capacity:
    idle = await at.idle()
    empty = await at.used()
    await asyncio.to_thread(at.stack.add_providers, at.pids, quotas=False)
    await at.register()
    provider = (await at.used()).less(empty).over(len(at.pids))
    # The first purchase of all warms everything up and is not counted.
    await at.purchases(Kind(), idle)
    one = await at.purchases(Kind(), idle)
    lines = await at.purchases(Kind(lines=LINES + MORE_LINES), idle)
    listed = await at.purchases(Kind(listed=PROVIDERS + MORE_PROVIDERS), idle)
    replies = await at.purchases(
        Kind(listed=PROVIDERS + MORE_PROVIDERS, replies=REPLIES + MORE_PROVIDERS), idle
    )
    own = topics()
    return Capacity(
        purchase=one,
        line=lines.less(one).over(MORE_LINES),
        listed=listed.less(one).over(MORE_PROVIDERS),
        reply=replies.less(listed).over(MORE_PROVIDERS),
        provider=provider,
        idle=Used(empty.postgres, empty.kafka, idle.cpu),
        topics=len(own),
        partitions=sum(one.partitions for one in own),
    )


@dataclass
class Measuring:
    """A running installation, and the ids of providers that are registered in it."""

    stack: Stack
    services: Services
    pids: list[str]
    pace: float = 15.0
    """Seconds that a small purchase takes to its last reply."""

    async def idle(self) -> Used:
        """Return what a second costs in which nothing happens."""
        await self.rest()
        before, begun = await self.used(), monotonic()
        await asyncio.sleep(IDLE_S)
        return (await self.used()).less(before).over(monotonic() - begun)

    async def used(self) -> Used:
        """Look at both disks and at the clocks of all processes."""
        cpu = self._cpu()
        connected = await asyncpg.connect(self.stack.admin_dsn)
        try:
            names = await self._schemas(connected)
            tables = await connected.fetch(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY($1)",
                names,
            )
            for [table] in tables:
                # Only what is kept counts, not the room that deleted rows leave for later ones.
                await connected.execute(f"VACUUM (FULL) {table}")
            rows = await connected.fetchval(
                "SELECT sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)) "
                "FROM pg_tables WHERE schemaname = ANY($1)",
                names,
            )
        finally:
            await connected.close()
        return Used(float(rows), float(self._segments()), cpu)

    async def register(self) -> None:
        """Make the providers known to rfp."""
        async with open_operator(connection(self.stack, self.stack.login("operator")), uuid4()) as operator:
            for pid in self.pids:
                last = await operator.register(
                    pid, name=f"Provider {pid}", categories=["voice"], regions=["All"]
                )
            await operator.outcome(last)
        await self.rest()

    async def purchases(self, kind: Kind, idle: Used) -> Used:
        """Run some purchases of a kind at once; return what one of them cost beyond what idle time costs."""
        await self.rest()
        before, begun = await self.used(), monotonic()
        begun_cpu = self._cpu()
        login = connection(self.stack, self.stack.login("portal"))
        officer_login = connection(self.stack, self.stack.login("officer"))
        async with (
            open_people(login) as people,
            open_officer(officer_login, uuid4()) as officer,
            open_journal(connection(self.stack), self._facing(kind)) as told,
            producer(self.stack) as kafka,
        ):
            providers = Providers(told, kafka, self.stack.prefix)
            # A deadline that is missed on a slow machine would leave replies out.
            ahead = timedelta(seconds=4 * self.pace * (1 + kind.lines / 1000 + kind.listed / 30))
            took = await asyncio.gather(
                *(buy(kind, self.pids, people, officer, providers, ahead) for _ in range(AT_ONCE))
            )
            if kind == Kind():
                self.pace = max(took)
        await self.rest()
        cpu, seconds = self._cpu(), monotonic() - begun
        spent = {name: cpu[name] - begun_cpu[name] - seconds * idle.cpu.get(name, 0.0) for name in cpu}
        used = (await self.used()).less(before)
        return Used(used.postgres, used.kafka, spent).over(AT_ONCE)

    async def rest(self) -> None:
        """Wait until nothing is in work: nothing to send, nothing waits, and no topic has grown for some seconds."""
        still_since, before = monotonic(), -1
        connected = await asyncpg.connect(self.stack.admin_dsn)
        try:
            async with asyncio.timeout(300):
                while monotonic() - still_since < SETTLED_S:
                    names = await self._schemas(connected)
                    waiting = 0
                    for name in names:
                        if name != "opener":
                            waiting += await connected.fetchval(
                                f"SELECT (SELECT count(*) FROM {name}.outbox) + (SELECT count(*) FROM {name}.parked)"
                            )
                    waiting += await connected.fetchval(
                        "SELECT count(*) FROM notification.mails WHERE delivered_at IS NULL AND failed_at IS NULL"
                    )
                    size = self._segments()
                    if waiting or size != before:
                        still_since, before = monotonic(), size
                    await asyncio.sleep(0.2)
        finally:
            await connected.close()

    async def _schemas(self, connected: asyncpg.Connection) -> list[str]:
        rows = await connected.fetch(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'migrations'"
        )
        return sorted(row["schemaname"] for row in rows)

    def _segments(self) -> int:
        """Return the bytes of all segments of our topics; Kafka's own are left out."""
        data = self.stack.folder / "kafka" / "data"
        ours = [one for one in data.iterdir() if one.is_dir() and not one.name.startswith("__")]
        return sum(file.stat().st_size for one in ours for file in one.glob("*.log"))

    def _facing(self, kind: Kind) -> list[str]:
        return [f"{what}.{pid}" for pid in self.pids[: kind.listed] for what in ("invitations", "notices")]

    def _cpu(self) -> dict[str, float]:
        """Return the CPU time that each process has used so far, with that of its children."""
        postgres, kafka = self.stack.postgres, self.stack.kafka
        if not isinstance(postgres, LocalPostgres) or not isinstance(kafka, LocalKafka):
            raise TypeError("CPU time is that of processes on this machine: LINEPOOL_STACK=local")
        pids = {name: self.services.pid(name) for name in self.services.names}
        pids |= {"postgres": postgres.pid, "kafka": kafka.pid}
        return {name: _cpu_seconds(pid) for name, pid in pids.items() if pid is not None}


def _cpu_seconds(pid: int) -> float:
    """Return what a process and its children have used: those that ended, and those that run."""
    ticks = 0
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = sum(map(int, words[11:15]))
        lists = Path(f"/proc/{pid}/task").glob("*/children")
        children = [child for one in lists for child in one.read_text().split()]
    except FileNotFoundError:
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK") + sum(_cpu_seconds(int(child)) for child in children)
