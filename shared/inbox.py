"""Which messages a consumer has taken, how far it has come, and whether a subject's versions arrive without gaps."""

from collections.abc import Sequence
from enum import StrEnum

import asyncpg

from shared.crash import crash
from shared.record import Batch, Record


class Seen(StrEnum):
    """What the inbox knows of a record."""

    NEVER = "never"
    PASSED = "passed"
    """This very record was handled: its place lies before the position."""
    SAME = "same"
    """Another record brought the same message."""
    REUSED = "reused"
    """Another record brought another message under the same id."""


async def take(tx: asyncpg.Connection, consumer: str, record: Record) -> Seen:
    """Note the record as taken, or say that it was."""
    crash("before_inbox")
    passed = await tx.fetchval(
        "SELECT next > $4 FROM positions WHERE consumer = $1 AND topic = $2 AND partition = $3",
        consumer,
        record.topic,
        record.partition,
        record.offset,
    )
    if passed:
        return Seen.PASSED
    digest = bytes.fromhex(record.sha256)
    fresh = await tx.fetchval(
        "INSERT INTO inbox (consumer, id, sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true",
        consumer,
        record.inbox_id,
        digest,
    )
    crash("after_inbox")
    if fresh:
        return Seen.NEVER
    known = await tx.fetchval(
        "SELECT sha256 FROM inbox WHERE consumer = $1 AND id = $2", consumer, record.inbox_id
    )
    return Seen.SAME if known == digest else Seen.REUSED


async def take_batch(tx: asyncpg.Connection, consumer: str, records: Sequence[Record]) -> Batch:
    """Note the records as taken; return those to handle. Those before the position are left out."""
    crash("before_inbox")
    rows = await tx.fetch(
        "SELECT topic, partition, next FROM positions WHERE consumer = $1 AND topic = ANY($2::text[])",
        consumer,
        list({record.topic for record in records}),
    )
    passed = {(row["topic"], row["partition"]): row["next"] for row in rows}
    ahead = [one for one in records if one.offset >= passed.get((one.topic, one.partition), 0)]
    first = {record.inbox_id: record for record in reversed(ahead)}
    in_order = sorted(first)
    taken = await tx.fetch(
        "INSERT INTO inbox (consumer, id, sha256) SELECT $1, id, sha256 "
        "FROM unnest($2::uuid[], $3::bytea[]) AS new (id, sha256) ON CONFLICT DO NOTHING RETURNING id",
        consumer,
        in_order,
        [bytes.fromhex(first[id_].sha256) for id_ in in_order],
    )
    crash("after_inbox")
    fresh_ids = {row["id"] for row in taken}
    fresh = tuple(one for one in ahead if one.inbox_id in fresh_ids and first[one.inbox_id] is one)
    repeated = tuple(one for one in ahead if one.inbox_id not in fresh_ids or first[one.inbox_id] is not one)
    return Batch(fresh, repeated)


async def move_position(tx: asyncpg.Connection, consumer: str, records: Sequence[Record]) -> None:
    """Note that the records are behind us.

    Last in the transaction on purpose: if a handler swallowed a database error, this statement raises, where COMMIT alone would
    silently roll back.
    """
    next_: dict[tuple[str, int], int] = {}
    for record in records:
        place = (record.topic, record.partition)
        next_[place] = max(next_.get(place, 0), record.offset + 1)
    places = sorted(next_)
    await tx.execute(
        "INSERT INTO positions AS p (consumer, topic, partition, next) "
        "SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[]) "
        "ON CONFLICT (consumer, topic, partition) DO UPDATE SET next = greatest(p.next, excluded.next)",
        consumer,
        [topic for topic, _ in places],
        [partition for _, partition in places],
        [next_[place] for place in places],
    )


async def note_sequence(tx: asyncpg.Connection, consumer: str, record: Record) -> int:
    """Note the version that this event brings; return how many versions are missing before it, 0 when all is well."""
    subject, sequence = record.received.subject, record.received.sequence
    if subject is None or sequence is None:
        return 0
    last: int = await tx.fetchval(
        "WITH old AS (SELECT last FROM sequences WHERE consumer = $1 AND topic = $2 AND subject = $3) "
        "INSERT INTO sequences AS s (consumer, topic, subject, last) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (consumer, topic, subject) DO UPDATE SET last = greatest(s.last, excluded.last) "
        "RETURNING coalesce((SELECT last FROM old), 0)",
        consumer,
        record.topic,
        subject,
        sequence,
    )
    return max(0, sequence - last - 1)
