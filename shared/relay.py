"""Sends what the outbox holds, in order per topic and key, and deletes what Kafka has acknowledged.

One relay per service, by an advisory lock on a connection of its own. A topic that cannot be written to is left out for a while
and delays nobody; topics take turns, so that a hundred thousand messages to one delay nobody's single one.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import asyncpg
import structlog

from shared import clock_skew
from shared.adoption import RELAY
from shared.crash import crash
from shared.ending import to_its_end
from shared.outbox import decode_headers
from shared.postgres import connect
from shared.runtime import Runtime

BATCH = 8_000
BATCH_BYTES = 16 * 1024 * 1024
"""A round holds at most so many rows, and stops reading after so many bytes of bodies."""
LARGE = 1_000
"""While Kafka works on a round of so many rows, the next is read; a smaller round is over before that would pay."""
POLL_S = 0.5
SEND_TIMEOUT_S = 20.0
LAST_ROUND_S = 5.0
"""So long a process that is told to end waits for what it has sent."""
LONGEST_BLOCK_S = 60.0
PROVIDER_FACING = ("invitations.", "notices.")
RELAY_LOCK = 0x6F757462  # "outb"
"""The advisory lock of whoever sends a service's outbox; held for as long as a service runs."""


@dataclass(frozen=True)
class Sent:
    """Where and when Kafka appended a message; the time is the broker's, in UTC."""

    partition: int
    offset: int
    appended_at: datetime | None


class Sender(Protocol):
    """What the relay needs of a producer."""

    async def unknown(self, topics: set[str]) -> set[str]:
        """Return those of the topics that do not exist, or that we may not see; a send to one would block for long."""

    async def send(self, rows: Sequence[asyncpg.Record]) -> list[Sent | Exception]:
        """Send rows in the order given; return for each what became of it."""


@dataclass
class Relay:
    """The worker of one service."""

    runtime: Runtime
    make_sender: Callable[[], Any]
    """Returns an async context manager that yields a Sender; called again after errors that poison a producer."""
    blocked: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Topics left out: until when (the loop's clock), and how long the next pause is."""
    following: list[asyncpg.Record] = field(default_factory=list)
    """Rows read ahead, to be sent next."""
    acknowledged: list[tuple[asyncpg.Record, Sent]] = field(default_factory=list)
    """Rows that Kafka has, still to be deleted."""

    async def run(self) -> None:
        """Work until cancelled; wait and begin again when the database or the broker goes away."""
        while True:
            try:
                await self._own()
            except Exception as error:  # noqa: BLE001 # the producer may fail in any way; the rows are safe
                structlog.get_logger().warning("relay begins again", error=type(error).__name__)
            await asyncio.sleep(0.5)

    async def _own(self) -> None:
        async with connect(self.runtime.pool) as connection:
            while not await connection.fetchval(  # noqa: ASYNC110 # another process may hold it; nothing here can tell us when not
                "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))", RELAY_LOCK
            ):
                await asyncio.sleep(POLL_S)
            self.following, self.acknowledged = [], []
            try:
                async with self.make_sender() as sender:
                    while await to_its_end(self.send_some(connection, sender), at_most=LAST_ROUND_S):
                        pass
            except asyncio.CancelledError:
                # What Kafka has would be sent once more by whoever relays next.
                await self._forget(connection)
                raise
            finally:
                if not connection.is_closed():
                    await connection.execute(
                        "SELECT pg_advisory_unlock($1, hashtext(current_schema()))", RELAY_LOCK
                    )

    async def send_some(self, connection: asyncpg.Connection, sender: Sender) -> bool:
        """Send one round, or wait for work; return whether the producer is still good.

        While Kafka works on one round, the database forgets the one before, and reads the next where this one is large.
        """
        self.runtime.outbox_filled.clear()
        rows = self.following or await self._next_page(connection, [row for row, _ in self.acknowledged])
        self.following = []
        if not rows and self.acknowledged:
            await self._forget(connection)
            return True
        if not rows:
            try:
                async with asyncio.timeout(POLL_S):
                    await self.runtime.outbox_filled.wait()
            except TimeoutError:
                pass
            return True
        unknown = await sender.unknown({row["topic"] for row in rows})
        for topic in unknown:
            self._block(topic, "missing or forbidden")
        rows = [row for row in rows if row["topic"] not in unknown]
        crash("before_send")
        ahead = asyncio.ensure_future(self._meanwhile(connection, rows))
        try:
            results = await sender.send(rows)
        finally:
            following = await ahead
        crash("before_ack")
        failed = {
            row["topic"]: result
            for row, result in zip(rows, results, strict=True)
            if isinstance(result, Exception)
        }
        for topic, error in failed.items():
            self._block(topic, type(error).__name__)
        self.acknowledged = [
            (row, result) for row, result in zip(rows, results, strict=True) if isinstance(result, Sent)
        ]
        if self.runtime.traces is not None:
            self.runtime.traces.sent(
                [row for row, _ in self.acknowledged], self.runtime.settings.topic_prefix
            )
        for topic in {row["topic"] for row, _ in self.acknowledged} - failed.keys():
            self.blocked.pop(topic, None)
        # Nothing may overtake a row that failed.
        self.following = [row for row in following if row["topic"] not in failed]
        if failed:
            await self._forget(connection)
        crash("after_ack")
        self._show_blocked()
        # An idempotent producer that met an error may refuse everything after it: begin with a new one.
        return not failed

    async def _meanwhile(
        self, connection: asyncpg.Connection, sending: Sequence[asyncpg.Record]
    ) -> list[asyncpg.Record]:
        """Forget what was acknowledged, and return the page that follows a large round.

        A row that is stored during a small round would only wait longer if it came behind a page that was read before it.
        """
        await self._forget(connection)
        return await self._next_page(connection, sending) if len(sending) >= LARGE else []

    async def _next_page(
        self, connection: asyncpg.Connection, sending: Sequence[asyncpg.Record]
    ) -> list[asyncpg.Record]:
        """Return the oldest rows of each topic in turn that are not being sent, and were not."""
        now = asyncio.get_running_loop().time()
        out = [topic for topic, (until, _) in self.blocked.items() if until > now]
        rows: list[asyncpg.Record] = await connection.fetch(
            "WITH RECURSIVE topics AS ("
            " (SELECT topic FROM outbox ORDER BY topic LIMIT 1) UNION ALL"
            " SELECT (SELECT topic FROM outbox WHERE topic > t.topic ORDER BY topic LIMIT 1)"
            " FROM topics t WHERE t.topic IS NOT NULL),"
            " open AS (SELECT topic FROM topics"
            "  WHERE topic IS NOT NULL AND topic <> ALL($1::text[])),"
            " waiting AS (SELECT o.*, coalesce(octet_length(body), 0) AS size FROM open CROSS JOIN LATERAL"
            " (SELECT id, topic, key, headers, body, created_at, row_number() OVER (ORDER BY id) AS turn FROM outbox"
            "  WHERE topic = open.topic AND id <> ALL($3::bigint[]) ORDER BY id"
            "  LIMIT greatest(10, $2 / (SELECT count(*) FROM open))) AS o),"
            " counted AS (SELECT *, sum(size) OVER (ORDER BY turn, id) - size AS bytes_before FROM waiting)"
            " SELECT id, topic, key, headers, body, created_at, clock_timestamp() AS read_at FROM counted"
            " WHERE bytes_before < $4 ORDER BY turn, id",
            out,
            BATCH,
            # By their ids and not from the last one on: a lower id may have been committed meanwhile.
            [row["id"] for row in sending],
            BATCH_BYTES,
        )
        return rows

    async def _forget(self, connection: asyncpg.Connection) -> None:
        """Delete what was acknowledged, and note how far the own streams are written."""
        sent = self.acknowledged
        if not sent:
            return
        written: dict[tuple[str, int], int] = {}
        for row, result in sent:
            place = (row["topic"], result.partition)
            written[place] = max(written.get(place, 0), result.offset + 1)
        places = sorted(written)
        async with connection.transaction():
            await connection.execute(
                "DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row, _ in sent]
            )
            await connection.execute(
                "INSERT INTO positions AS p (consumer, topic, partition, next) "
                "SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[]) "
                "ON CONFLICT (consumer, topic, partition) DO UPDATE SET next = greatest(p.next, excluded.next)",
                RELAY,
                [topic for topic, _ in places],
                [partition for _, partition in places],
                [written[place] for place in places],
            )
            await self._note_skew(connection, sent)
        self.runtime.progress.note(RELAY, written)
        self.acknowledged = []

    async def _note_skew(
        self, connection: asyncpg.Connection, sent: list[tuple[asyncpg.Record, Sent]]
    ) -> None:
        """Compare append times with the database's clock before and after."""
        appended = [result.appended_at for _, result in sent if result.appended_at is not None]
        if not appended:
            return
        before = min(row["read_at"] for row, _ in sent)
        await clock_skew.note(connection, before=before, first=min(appended), last=max(appended))

    def _block(self, topic: str, why: str) -> None:
        _, pause = self.blocked.get(topic, (0.0, 1.0))
        self.blocked[topic] = (asyncio.get_running_loop().time() + pause, min(LONGEST_BLOCK_S, pause * 2))
        self._show_blocked()
        self.runtime.metrics.alarm("topic_blocked", topic=self._shown(topic), reason=why)

    def _show_blocked(self) -> None:
        self.runtime.metrics.blocked_topics.set(len({self._shown(topic) for topic in self.blocked}))

    def _shown(self, topic: str) -> str:
        """Return a topic as it may be shown: which provider's it is, and of how many, would tell who replied."""
        stream = topic.removeprefix(self.runtime.settings.topic_prefix)
        kind = next((one for one in PROVIDER_FACING if stream.startswith(one)), None)
        return f"{kind}*" if kind else topic


def headers_of(row: asyncpg.Record) -> list[tuple[str, bytes]]:
    """Return the Kafka headers of an outbox row."""
    return decode_headers(row["headers"])
