"""The SQL of held messages, and of the checkpoints that they wait for."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.bidding.domain.arrivals import Arrival, Sender
from services.bidding.domain.box import Place
from services.bidding.store.boxes import read_ends, write_ends

Connection = asyncpg.Connection


@dataclass(frozen=True)
class HeldMessage:
    """A held message as its row has it."""

    id: UUID
    purchase_id: UUID
    provider_id: str
    type: str
    message_id: str
    sha256: str
    appended_at: datetime
    body: bytes
    checkpoint: int | None


async def hold(tx: Connection, arrivals: Sequence[Arrival]) -> None:
    """Keep messages until they can be judged, in the order given; one that is held already stays as it is."""
    await tx.execute(
        """
        INSERT INTO held_messages (id, purchase_id, provider_id, type, message_id, sha256, appended_at, body)
        SELECT * FROM unnest(
            $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bytea[]
        )
        ON CONFLICT (id) DO NOTHING
        """,
        [one.id for one in arrivals],
        [one.purchase_id for one in arrivals],
        [one.provider_id for one in arrivals],
        [one.type for one in arrivals],
        [one.message_id for one in arrivals],
        [one.sha256 for one in arrivals],
        [one.appended_at for one in arrivals],
        [one.body for one in arrivals],
    )


async def newest_unchecked(connection: asyncpg.Pool) -> int | None:
    """Return the number of the newest held message that no checkpoint was set for, or None."""
    number: int | None = await connection.fetchval(
        "SELECT max(number) FROM held_messages WHERE checkpoint IS NULL"
    )
    return number


async def set_checkpoint(tx: Connection, newest: int, ends: dict[Place, int]) -> None:
    """Let the messages up to this number, so far without a checkpoint, wait until these ends are passed."""
    await tx.execute(
        """
        WITH made AS (INSERT INTO checkpoints (ends) VALUES ($2) RETURNING number)
        UPDATE held_messages SET checkpoint = made.number FROM made
        WHERE checkpoint IS NULL AND held_messages.number <= $1
        """,
        newest,
        write_ends(ends),
    )


async def checkpoints(connection: asyncpg.Pool) -> dict[int, dict[Place, int]]:
    """Return the checkpoints that messages wait for."""
    rows = await connection.fetch("SELECT number, ends FROM checkpoints ORDER BY number")
    return {row["number"]: read_ends(row["ends"]) for row in rows}


async def judgeable(
    connection: asyncpg.Pool,
    passed: Iterable[int],
    put_aside: Iterable[UUID],
    without: Collection[Sender],
    limit: int,
) -> list[HeldMessage]:
    """Return, unlocked, the first held messages whose sender is listed by now, or whose checkpoint is passed.

    Not those about purchases of which facts were put aside: their checkpoint says nothing. Not those `without` either.
    """
    rows = await connection.fetch(
        """
        SELECT held.id, held.purchase_id, provider_id, type, message_id, sha256, appended_at, body, checkpoint
        FROM held_messages AS held LEFT JOIN boxes USING (purchase_id)
        WHERE (
                provider_id = ANY (boxes.provider_ids)
                OR (checkpoint = ANY($1::bigint[]) AND held.purchase_id <> ALL($2::uuid[]))
            )
            AND NOT EXISTS (
                SELECT FROM unnest($3::uuid[], $4::text[]) AS without (purchase_id, provider_id)
                WHERE without.purchase_id = held.purchase_id AND without.provider_id = held.provider_id
            )
        ORDER BY held.number LIMIT $5
        """,
        list(passed),
        list(put_aside),
        [purchase_id for purchase_id, _ in without],
        [provider_id for _, provider_id in without],
        limit,
    )
    return [HeldMessage(**row) for row in rows]


async def lock_held(tx: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Lock those of these messages that are still held, in their order; their boxes are locked already."""
    rows = await tx.fetch(
        "SELECT id FROM held_messages WHERE id = ANY($1::uuid[]) ORDER BY number FOR UPDATE", ids
    )
    return {row["id"] for row in rows}


async def release(tx: Connection, ids: Sequence[UUID]) -> None:
    """Take judged messages out of those held, and checkpoints that nothing waits for any more."""
    await tx.execute("DELETE FROM held_messages WHERE id = ANY($1::uuid[])", ids)
    await tx.execute(
        """
        DELETE FROM checkpoints
        WHERE NOT EXISTS (SELECT FROM held_messages WHERE checkpoint = checkpoints.number)
        """
    )


async def has_held_in_time(
    connection: Connection | asyncpg.Pool, purchase_id: UUID, provider_ids: Iterable[str], deadline: datetime
) -> bool:
    """Whether a message that one of these providers said in time about this purchase is still to be judged."""
    held_: bool = await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM held_messages
            WHERE purchase_id = $1 AND provider_id = ANY($2::text[]) AND appended_at < $3
        )
        """,
        purchase_id,
        list(provider_ids),
        deadline,
    )
    return held_


async def has_any_held(connection: asyncpg.Pool) -> bool:
    """Whether any message is held."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM held_messages)"))
