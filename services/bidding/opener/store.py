"""The SQL of the opener: what it may see of bidding's tables, and its own, in which nothing is ever changed."""

import json
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg

from services.bidding.opener.domain import BoxKey, Closing, IssuedBox, Opened, SealedReply

Connection = asyncpg.Connection


async def boxes_without_key(pool: asyncpg.Pool) -> list[IssuedBox]:
    """Return the sealed boxes that wait for their key, or can still be filled or opened, without one."""
    rows = await pool.fetch(
        """
        SELECT purchase_id, request_version, box.deadline
        FROM bidding.boxes AS box LEFT JOIN keys USING (purchase_id, request_version)
        WHERE seal = 'hpke' AND keys.purchase_id IS NULL AND (
            ready_version IS DISTINCT FROM request_version OR (compared_at IS NULL AND cancelled_by IS NULL)
        )
        ORDER BY purchase_id
        """
    )
    return [IssuedBox(**row) for row in rows]


async def add_keys(pool: asyncpg.Pool, keys: Sequence[BoxKey]) -> None:
    """Say the keys of boxes; one that was said stays."""
    await pool.execute(
        """
        INSERT INTO keys (purchase_id, request_version, deadline, public_key, key_signature)
        SELECT * FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::text[], $5::text[])
        ON CONFLICT DO NOTHING
        """,
        [one.box.purchase_id for one in keys],
        [one.box.request_version for one in keys],
        [one.box.deadline for one in keys],
        [one.public_key for one in keys],
        [one.key_signature for one in keys],
    )


async def boxes_to_open(pool: asyncpg.Pool) -> list[UUID]:
    """Return the closed boxes that were not opened; after the loss of this schema also those that were judged already.

    One that waits for its custodian is none of them: no machine can do anything about it.
    """
    rows = await pool.fetch(
        """
        SELECT purchase_id FROM bidding.boxes AS box
        WHERE seal = 'hpke' AND stage IN ('closed', 'opened')
            AND NOT EXISTS (SELECT FROM opened_boxes WHERE opened_boxes.purchase_id = box.purchase_id)
            AND (custodian_key IS NULL OR EXISTS (
                SELECT FROM bidding.released_keys AS released WHERE released.purchase_id = box.purchase_id
            ))
        ORDER BY purchase_id
        """
    )
    return [row["purchase_id"] for row in rows]


async def closing(tx: Connection, purchase_id: UUID) -> Closing:
    """Return all that speaks for and against opening a box, as it is in this transaction's snapshot."""
    [row] = await tx.fetch(
        """
        SELECT box.*, keys.deadline AS announced_deadline, clock_timestamp() AS now, (
            SELECT private_key FROM bidding.released_keys AS released
            WHERE released.purchase_id = box.purchase_id
        ) AS released_key, EXISTS (
            SELECT FROM bidding.held_messages AS held
            WHERE held.purchase_id = box.purchase_id AND held.provider_id = ANY(box.provider_ids)
                AND held.appended_at < box.deadline
        ) AS has_held_in_time
        FROM (
            SELECT purchase_id, request_version, deadline, provider_ids, seal, deadline_passed_by, last_version,
                cancelled_by, closing_ends, closed_at, custodian_key
            FROM bidding.boxes WHERE purchase_id = $1
        ) AS box LEFT JOIN keys USING (purchase_id, request_version)
        """,
        purchase_id,
    )
    ends = {(topic, partition): end for topic, partition, end in json.loads(row["closing_ends"] or "[]")}
    topics = [topic for topic, _ in ends]
    positions = await tx.fetch(
        """
        SELECT topic, partition, next FROM bidding.positions
        WHERE consumer = 'bidding.replies' AND topic = ANY($1::text[])
        """,
        topics,
    )
    put_aside = await tx.fetch(
        """
        SELECT topic, partition, min("offset") AS first FROM bidding.parked
        WHERE consumer = 'bidding.replies' AND topic = ANY($1::text[]) GROUP BY topic, partition
        """,
        topics,
    )
    return Closing(
        box=IssuedBox(row["purchase_id"], row["request_version"], row["deadline"]),
        announced_deadline=row["announced_deadline"],
        sealed=row["seal"] == "hpke",
        cancelled=row["cancelled_by"] is not None,
        deadline_passed=row["deadline_passed_by"] is not None
        and row["last_version"] == row["request_version"],
        closed=row["closed_at"] is not None,
        provider_ids=frozenset(row["provider_ids"]),
        closing_ends=ends,
        positions={(one["topic"], one["partition"]): one["next"] for one in positions},
        put_aside={(one["topic"], one["partition"]): one["first"] for one in put_aside},
        has_held_in_time=row["has_held_in_time"],
        now=row["now"],
        custodian_key=row["custodian_key"],
        released_key=row["released_key"],
    )


async def note_opening(
    tx: Connection, purchase_id: UUID, request_version: int, custodian_key: str | None
) -> int | None:
    """Note that the box is opened; return how many replies stand in it, or None where it was opened before."""
    replies: int | None = await tx.fetchval(
        """
        INSERT INTO opened_boxes (purchase_id, request_version, custodian_key, replies)
        SELECT $1, $2, $3, count(*) FROM bidding.standing_replies WHERE purchase_id = $1
        ON CONFLICT DO NOTHING RETURNING replies
        """,
        purchase_id,
        request_version,
        custodian_key,
    )
    return replies


async def standing_replies(
    tx: Connection, purchase_id: UUID, *, at_a_time: int
) -> AsyncIterator[list[SealedReply]]:
    """Yield the replies that stand in a box, so many at a time; one query, so that each is read once."""
    cursor = await tx.cursor(
        """
        SELECT reply_id, purchase_id, provider_id, request_version, revision, body
        FROM bidding.standing_replies WHERE purchase_id = $1
        """,
        purchase_id,
    )
    while rows := await cursor.fetch(at_a_time):
        yield [SealedReply(**row) for row in rows]


async def add_openings(tx: Connection, purchase_id: UUID, opened: Sequence[Opened]) -> None:
    """Keep what replies held."""
    await tx.copy_records_to_table(
        "openings",
        columns=["reply_id", "purchase_id", "content", "failure"],
        records=[(one.reply_id, purchase_id, one.content, one.failure) for one in opened],
    )
