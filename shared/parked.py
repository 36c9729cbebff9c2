"""Messages that failed or wait stand aside with every later one of their key, and are tried again in order.

Nothing is lost and nothing else is held up. Bytes stay in the service's schema; of errors only the type is kept, because their
texts quote data.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from shared.record import Record

State = Literal["waiting", "failed", "stuck"]
WAIT = timedelta(milliseconds=200)
LONGEST_WAIT = timedelta(seconds=5)
"""Between two looks for facts that are missing."""
LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True)
class Parked:
    """A parked message, as its row has it."""

    id: int
    consumer: str
    key: bytes
    inbox_id: UUID
    state: State
    reason: str
    attempts: int
    parked_at: datetime
    give_up_at: datetime | None
    record: ConsumerRecord

    def has_waited_long_enough(self, now: datetime) -> bool:
        """Whether its patience is over."""
        return self.give_up_at is not None and now >= self.give_up_at


async def is_blocked(tx: asyncpg.Connection, consumer: str, key: bytes) -> bool:
    """Whether an earlier message of this key is parked."""
    return bool(
        await tx.fetchval("SELECT true FROM parked WHERE consumer = $1 AND key = $2 LIMIT 1", consumer, key)
    )


async def blocked_keys(tx: asyncpg.Connection, consumer: str, keys: list[bytes]) -> set[bytes]:
    """Return the keys of which an earlier message is parked."""
    rows = await tx.fetch(
        "SELECT DISTINCT key FROM parked WHERE consumer = $1 AND key = ANY($2::bytea[])", consumer, keys
    )
    return {row["key"] for row in rows}


async def park(
    tx: asyncpg.Connection,
    consumer: str,
    record: Record,
    *,
    key: bytes,
    state: State,
    reason: str,
    patience: timedelta | None = None,
) -> None:
    """Put a message aside; it is there once, however often this is said."""
    await tx.execute(
        'INSERT INTO parked (consumer, key, inbox_id, topic, partition, "offset", timestamp_ms, message_key, headers, body, '
        "state, reason, give_up_at, retry_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp() + $13::interval, "
        "clock_timestamp() + $14::interval) "
        "ON CONFLICT (consumer, inbox_id) DO NOTHING",
        consumer,
        key,
        record.inbox_id,
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        json.dumps(
            [(name, None if value is None else value.hex()) for name, value in record.headers]
        ).encode(),
        record.body,
        state,
        reason,
        patience,
        WAIT if state == "waiting" else timedelta(seconds=1),
    )


async def due(connection: asyncpg.Connection, limit: int = 100) -> list[Parked]:
    """Return the first message of each key, where it may be tried now."""
    rows = await connection.fetch(
        'SELECT * FROM (SELECT DISTINCT ON (consumer, key) id, consumer, key, inbox_id, topic, partition, "offset", '
        "timestamp_ms, message_key, headers, body, state, reason, attempts, parked_at, retry_at, give_up_at "
        "FROM parked ORDER BY consumer, key, id) AS heads "
        "WHERE state <> 'stuck' AND retry_at <= clock_timestamp() ORDER BY retry_at LIMIT $1",
        limit,
    )
    return [_parked(row) for row in rows]


async def drop_erased(tx: asyncpg.Connection, consumer: str, key: bytes) -> int:
    """Take out what is parked under a key that is erased, and return how many messages that were.

    Behind a message that failed the erasure would wait for ever, and what was to be erased would stand in that message.
    """
    dropped: int = await tx.fetchval(
        "WITH dropped AS (DELETE FROM parked WHERE consumer = $1 AND key = $2 RETURNING id) SELECT count(*) FROM dropped",
        consumer,
        key,
    )
    return dropped


async def try_soon(tx: asyncpg.Connection, consumer: str, word: str) -> None:
    """Let messages that name something be tried again at once, also those that were given up; one in work is left alone."""
    await tx.execute(
        "UPDATE parked SET state = 'failed', attempts = 0, retry_at = clock_timestamp() WHERE id IN "
        "(SELECT id FROM parked WHERE consumer = $1 AND state <> 'waiting' "
        "AND position(convert_to($2, 'UTF8') IN body) > 0 FOR UPDATE SKIP LOCKED)",
        consumer,
        word,
    )


async def lock(tx: asyncpg.Connection, parked_id: int) -> bool:
    """Lock a parked message for this try; False where another process tries it, or it is gone."""
    return bool(await tx.fetchval("SELECT true FROM parked WHERE id = $1 FOR UPDATE SKIP LOCKED", parked_id))


async def failed_again(
    connection: asyncpg.Connection, parked_id: int, *, reason: str, pause: timedelta, retries: int
) -> State:
    """Note another failed try; return the state, which is `stuck` once there were too many."""
    state: State = await connection.fetchval(
        "UPDATE parked SET attempts = attempts + 1, reason = $2, retry_at = clock_timestamp() + $3::interval, "
        "state = CASE WHEN attempts + 1 >= $4 THEN 'stuck' ELSE 'failed' END WHERE id = $1 RETURNING state",
        parked_id,
        reason,
        pause,
        retries,
    )
    return state


async def still_waiting(
    connection: asyncpg.Connection,
    message: Parked,
    *,
    now: datetime,
    reason: str,
    patience: timedelta | None,
) -> None:
    """Note that the facts are still missing; patience begins with the first try, not while others were before it."""
    give_up_at = message.give_up_at
    if patience is not None and give_up_at is None:
        give_up_at = now + patience
    since = message.parked_at if patience is None or give_up_at is None else give_up_at - patience
    retry_at = now + pause_for_facts(now - since)
    if give_up_at is not None and now < give_up_at:
        retry_at = min(retry_at, give_up_at)
    await connection.execute(
        "UPDATE parked SET state = 'waiting', reason = $2, retry_at = $3, give_up_at = $4 WHERE id = $1",
        message.id,
        reason,
        retry_at,
        give_up_at,
    )


async def done(tx: asyncpg.Connection, parked_id: int) -> None:
    """Take a message out again: it was handled."""
    await tx.execute("DELETE FROM parked WHERE id = $1", parked_id)


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait before the next try: 1 s, 2 s, 4 s and so on, up to five minutes."""
    return min(LONGEST_PAUSE, timedelta(seconds=2 ** min(attempts, 20)))


def pause_for_facts(waited: timedelta) -> timedelta:
    """Return how long to wait before the next look for facts that were missing so long: a quarter of it, within bounds."""
    return min(LONGEST_WAIT, max(WAIT, waited / 4))


def _parked(row: asyncpg.Record) -> Parked:
    headers = [
        (name, None if value is None else bytes.fromhex(value)) for name, value in json.loads(row["headers"])
    ]
    record: ConsumerRecord = ConsumerRecord(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        timestamp=row["timestamp_ms"],
        timestamp_type=1,
        key=row["message_key"],
        value=row["body"],
        checksum=None,
        serialized_key_size=len(row["message_key"] or b""),
        serialized_value_size=len(row["body"] or b""),
        headers=tuple(headers),
    )
    fields = ("id", "consumer", "key", "inbox_id", "state", "reason", "attempts", "parked_at", "give_up_at")
    return Parked(**{name: row[name] for name in fields}, record=record)
