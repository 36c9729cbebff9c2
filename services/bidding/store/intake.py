"""The SQL of what providers say: many messages with each statement.

What every message adds goes in by COPY: asyncpg looks at each element of an array, which costs more than the insert.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.bidding.domain.box import Place
from services.bidding.domain.intake import (
    Answer,
    Answered,
    Arrival,
    KnownReply,
    Receipt,
    Rejection,
    Revision,
    Sender,
    StandingAward,
)
from services.bidding.store.boxes import read_ends, write_ends
from shared.messages.providers import ReplySubmitted, TermsProposed

Connection = asyncpg.Connection


@dataclass(frozen=True)
class Held:
    """What is held that concerns some messages: the hash under each id, and which senders are waiting."""

    sha256_by_id: dict[UUID, str]
    senders: set[Sender]


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


async def held(tx: Connection, ids: Collection[UUID], senders: Collection[Sender]) -> Held:
    """Return what is held under these ids or of these senders."""
    rows = await tx.fetch(
        """
        SELECT id, sha256, NULL::uuid AS purchase_id, NULL AS provider_id FROM held_messages
        WHERE id = ANY($1::uuid[])
        UNION ALL
        SELECT DISTINCT NULL::uuid, NULL, purchase_id, provider_id
        FROM held_messages JOIN unnest($2::uuid[], $3::text[]) AS sender (purchase_id, provider_id)
            USING (purchase_id, provider_id)
        """,
        list(ids),
        [purchase_id for purchase_id, _ in senders],
        [provider_id for _, provider_id in senders],
    )
    return Held(
        {row["id"]: row["sha256"] for row in rows if row["id"] is not None},
        {(row["purchase_id"], row["provider_id"]) for row in rows if row["id"] is None},
    )


async def answered(tx: Connection, ids: Collection[UUID]) -> dict[UUID, Answered]:
    """Return those of these messages that were answered before, with their answers."""
    rows = await tx.fetch("SELECT * FROM provider_messages WHERE id = ANY($1::uuid[])", list(ids))
    found = {}
    for row in rows:
        answer: Answer = (
            Receipt(row["reply_id"])
            if row["outcome"] == "received"
            else Rejection(row["reason"], row["detail"])
        )
        fields = ("id", "provider_id", "purchase_id", "type", "message_id", "sha256", "appended_at")
        found[row["id"]] = Answered(**{name: row[name] for name in fields}, answer=answer)
    return found


async def revisions(
    tx: Connection, asked: Collection[Revision]
) -> tuple[dict[Revision, KnownReply], dict[Sender, int]]:
    """Return the replies under these revisions, and each sender's highest revision."""
    rows = await tx.fetch(
        """
        SELECT purchase_id, provider_id, asked.revision, reply.id, reply.sha256, highest.revision AS highest
        FROM unnest($1::uuid[], $2::text[], $3::int[]) AS asked (purchase_id, provider_id, revision)
        LEFT JOIN replies AS reply USING (purchase_id, provider_id, revision)
        CROSS JOIN LATERAL (
            SELECT max(replies.revision) AS revision FROM replies
            WHERE replies.purchase_id = asked.purchase_id AND replies.provider_id = asked.provider_id
        ) AS highest
        """,
        [purchase_id for purchase_id, _, _ in asked],
        [provider_id for _, provider_id, _ in asked],
        [revision for _, _, revision in asked],
    )
    known: dict[Revision, KnownReply] = {}
    highest: dict[Sender, int] = {}
    for row in rows:
        sender = (row["purchase_id"], row["provider_id"])
        if row["id"] is not None:
            known[*sender, row["revision"]] = KnownReply(row["id"], row["sha256"])
        if row["highest"] is not None:
            highest[sender] = row["highest"]
    return known, highest


async def standing_awards(tx: Connection, purchase_ids: Collection[UUID]) -> dict[UUID, StandingAward]:
    """Return the awards that stand, and whether terms lie before the group or were accepted."""
    rows = await tx.fetch(
        """
        SELECT purchase_id, number, provider_id, EXISTS (
            SELECT FROM terms WHERE terms.purchase_id = awards.purchase_id AND terms.award = awards.number
            AND terms.answer IS DISTINCT FROM 'rejected') AS has_terms
        FROM awards WHERE standing AND purchase_id = ANY($1::uuid[])
        """,
        list(purchase_ids),
    )
    return {
        row["purchase_id"]: StandingAward(row["number"], row["provider_id"], row["has_terms"]) for row in rows
    }


async def add_answers(tx: Connection, answers: Sequence[Answered]) -> None:
    """Keep messages with their answers."""
    columns = (
        "id provider_id purchase_id type message_id sha256 appended_at outcome reply_id reason detail".split()
    )
    await tx.copy_records_to_table(
        "provider_messages",
        columns=columns,
        records=[
            (
                one.id,
                one.provider_id,
                one.purchase_id,
                one.type,
                one.message_id,
                one.sha256,
                one.appended_at,
                *_columns_of(one.answer),
            )
            for one in answers
        ],
    )


def _columns_of(answer: Answer) -> tuple[str, UUID | None, str | None, str | None]:
    if isinstance(answer, Receipt):
        return "received", answer.reply_id, None, None
    return "rejected", None, answer.reason, answer.detail


async def add_replies(tx: Connection, replies: Sequence[tuple[Arrival, ReplySubmitted]]) -> None:
    """Put replies into their boxes."""
    columns = "id purchase_id provider_id request_version revision appended_at sha256 body".split()
    await tx.copy_records_to_table(
        "replies",
        columns=columns,
        records=[
            (
                arrival.id,
                said.purchase_id,
                arrival.provider_id,
                said.request_version,
                said.revision,
                arrival.appended_at,
                arrival.sha256,
                arrival.body,
            )
            for arrival, said in replies
        ],
    )


async def add_declines(tx: Connection, declines: Sequence[tuple[UUID, UUID, str]]) -> None:
    """Note (message, purchase, provider); a provider that declines again has declined once."""
    await tx.execute(
        """
        INSERT INTO declines (id, purchase_id, provider_id)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[])
        ON CONFLICT (purchase_id, provider_id) DO NOTHING
        """,
        [message for message, _, _ in declines],
        [purchase_id for _, purchase_id, _ in declines],
        [provider_id for _, _, provider_id in declines],
    )


async def add_terms(tx: Connection, message: UUID, said: TermsProposed) -> None:
    """Lay terms before the group."""
    await tx.execute(
        "INSERT INTO terms (id, purchase_id, award, sha256) VALUES ($1, $2, $3, $4)",
        message,
        said.purchase_id,
        said.award,
        said.terms_sha256,
    )


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
    tx: Connection, passed: Iterable[int], put_aside: Iterable[UUID], limit: int
) -> list[HeldMessage]:
    """Lock and return the first held messages whose sender is listed by now, or whose checkpoint is passed.

    Not those about purchases of which facts were put aside: their checkpoint says nothing.
    """
    rows = await tx.fetch(
        """
        SELECT held.id, held.purchase_id, provider_id, type, message_id, sha256, appended_at, body, checkpoint
        FROM held_messages AS held LEFT JOIN boxes USING (purchase_id)
        WHERE provider_id = ANY (boxes.provider_ids)
            OR (checkpoint = ANY($1::bigint[]) AND held.purchase_id <> ALL($2::uuid[]))
        ORDER BY held.number LIMIT $3 FOR UPDATE OF held
        """,
        list(passed),
        list(put_aside),
        limit,
    )
    return [HeldMessage(**row) for row in rows]


async def release(tx: Connection, ids: Sequence[UUID]) -> None:
    """Take judged messages out of those held, and checkpoints that nothing waits for any more."""
    await tx.execute("DELETE FROM held_messages WHERE id = ANY($1::uuid[])", ids)
    await tx.execute(
        """
        DELETE FROM checkpoints
        WHERE NOT EXISTS (SELECT FROM held_messages WHERE checkpoint = checkpoints.number)
        """
    )


async def has_held(tx: Connection, purchase_id: UUID, provider_ids: Iterable[str]) -> bool:
    """Whether a message of one of these providers about this purchase is still to be judged."""
    held_: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM held_messages WHERE purchase_id = $1 AND provider_id = ANY($2::text[]))",
        purchase_id,
        list(provider_ids),
    )
    return held_


async def has_any_held(connection: asyncpg.Pool) -> bool:
    """Whether any message is held."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM held_messages)"))
