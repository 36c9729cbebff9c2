"""The SQL of what providers say: many messages with each statement.

What every message adds goes in by COPY: asyncpg looks at each element of an array, which costs more than the insert.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from linepool.receipts.chain import Head
from services.bidding.domain.arrivals import Answer, Answered, Arrival, Receipt, Revision, Sender
from services.bidding.domain.intake import KnownReply, NewestReply, StandingAward
from services.bidding.store.terms import begun
from shared.messages.providers import InvitationAcknowledged, ReplySubmitted, TermsProposed

Connection = asyncpg.Connection


@dataclass(frozen=True)
class Held:
    """What is held that concerns some messages: the hash under each id, and which senders are waiting."""

    sha256_by_id: dict[UUID, str]
    senders: set[Sender]


async def held(tx: Connection, ids: Collection[UUID], senders: Collection[Sender]) -> Held:
    """Return what is held under these ids or of these senders."""
    rows = await tx.fetch(
        """
        SELECT id, sha256, NULL::uuid AS purchase_id, NULL AS provider_id FROM held_messages
        WHERE id = ANY($1::uuid[])
        UNION ALL
        SELECT id, sha256, NULL, NULL FROM waiting_terms WHERE id = ANY($1::uuid[])
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
    rows = await tx.fetch(
        "SELECT id, provider_id, purchase_id, type, message_id, sha256, appended_at, reply_id, reason, detail, "
        "chain_number, chain_head FROM provider_messages WHERE id = ANY($1::uuid[])",
        list(ids),
    )
    found = {}
    for row in rows:
        head = None if row["chain_number"] is None else Head(row["chain_number"], row["chain_head"])
        found[row["id"]] = Answered.as_said(row["id"], row["provider_id"], row["type"], dict(row), head)
    return found


async def revisions(
    tx: Connection, asked: Collection[Revision], senders: Collection[Sender] = ()
) -> tuple[dict[Revision, KnownReply], dict[Sender, NewestReply]]:
    """Return the replies under these revisions, and the newest reply of each of their senders and of `senders`."""
    rows = await tx.fetch(
        """
        WITH asked AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[]) AS asked (purchase_id, provider_id, revision)
        )
        SELECT asked.*, reply.id, reply.sha256, NULL::boolean AS withdrawn FROM asked CROSS JOIN LATERAL (
            SELECT replies.id, replies.sha256 FROM replies
            WHERE replies.purchase_id = asked.purchase_id AND replies.provider_id = asked.provider_id
                AND replies.revision = asked.revision LIMIT 1
        ) AS reply
        UNION ALL
        SELECT sender.*, newest.revision, newest.id, NULL, newest.withdrawn
        FROM (
            SELECT purchase_id, provider_id FROM asked
            UNION SELECT * FROM unnest($4::uuid[], $5::text[])
        ) AS sender CROSS JOIN LATERAL (
            SELECT replies.revision, replies.id, replies.withdrawn_by IS NOT NULL AS withdrawn FROM replies
            WHERE replies.purchase_id = sender.purchase_id AND replies.provider_id = sender.provider_id
            ORDER BY replies.revision DESC LIMIT 1
        ) AS newest
        """,
        [purchase_id for purchase_id, _, _ in asked],
        [provider_id for _, provider_id, _ in asked],
        [revision for _, _, revision in asked],
        [purchase_id for purchase_id, _ in senders],
        [provider_id for _, provider_id in senders],
    )
    known: dict[Revision, KnownReply] = {}
    newest: dict[Sender, NewestReply] = {}
    for row in rows:
        sender = (row["purchase_id"], row["provider_id"])
        if row["withdrawn"] is None:
            known[*sender, row["revision"]] = KnownReply(row["id"], row["sha256"])
        else:
            newest[sender] = NewestReply(row["id"], row["revision"], row["withdrawn"])
    return known, newest


async def questions_asked(tx: Connection, senders: Collection[Sender]) -> dict[Sender, int]:
    """Return how many questions each of these senders has asked about the purchase."""
    rows = await tx.fetch(
        """
        SELECT purchase_id, provider_id, count(*) AS number FROM questions
        JOIN unnest($1::uuid[], $2::text[]) AS sender (purchase_id, provider_id) USING (purchase_id, provider_id)
        GROUP BY purchase_id, provider_id
        """,
        [purchase_id for purchase_id, _ in senders],
        [provider_id for _, provider_id in senders],
    )
    return {(row["purchase_id"], row["provider_id"]): row["number"] for row in rows}


async def standing_awards(tx: Connection, purchase_ids: Collection[UUID]) -> dict[UUID, StandingAward]:
    """Return the awards that stand, what became of their terms, and of which documents parts are here."""
    rows = await tx.fetch(
        """
        SELECT purchase_id, number, provider_id, EXISTS (
            SELECT FROM terms WHERE terms.purchase_id = awards.purchase_id AND terms.award = awards.number
            AND terms.answer IS DISTINCT FROM 'rejected') AS has_terms, EXISTS (
            SELECT FROM waiting_terms AS waiting
            WHERE waiting.purchase_id = awards.purchase_id AND waiting.award = awards.number) AS waits
        FROM awards WHERE standing AND purchase_id = ANY($1::uuid[])
        """,
        list(purchase_ids),
    )
    documents = await begun(tx, [row["purchase_id"] for row in rows]) if rows else {}
    return {
        row["purchase_id"]: StandingAward(
            row["number"],
            row["provider_id"],
            row["has_terms"],
            row["waits"],
            frozenset(documents.get((row["purchase_id"], row["number"]), ())),
        )
        for row in rows
    }


async def add_answers(tx: Connection, answers: Sequence[Answered]) -> None:
    """Keep messages with their answers."""
    await tx.copy_records_to_table(
        "provider_messages",
        columns=[
            "id",
            "provider_id",
            "purchase_id",
            "type",
            "message_id",
            "sha256",
            "appended_at",
            "outcome",
            "reply_id",
            "reason",
            "detail",
            "chain_number",
            "chain_head",
        ],
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
                one.head and one.head.number,
                one.head and one.head.hash,
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
    await tx.copy_records_to_table(
        "replies",
        columns=[
            "id",
            "purchase_id",
            "provider_id",
            "request_version",
            "revision",
            "appended_at",
            "sha256",
            "body",
        ],
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


async def withdraw(tx: Connection, reply_id: UUID, message: UUID) -> None:
    """Note which message took a reply back."""
    await tx.execute("UPDATE replies SET withdrawn_by = $2 WHERE id = $1", reply_id, message)


async def add_acknowledgement(tx: Connection, arrival: Arrival, said: InvitationAcknowledged) -> None:
    """Note what a provider has read, and when; its first acknowledgement of a version counts."""
    await tx.execute(
        """
        INSERT INTO acknowledgements (
            id, purchase_id, provider_id, request_version, content_sha256, acknowledged_at
        )
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (purchase_id, provider_id, request_version) DO NOTHING
        """,
        arrival.id,
        said.purchase_id,
        arrival.provider_id,
        said.request_version,
        said.content_sha256,
        arrival.appended_at,
    )


async def add_question(tx: Connection, message: UUID, purchase_id: UUID, provider_id: str) -> None:
    """Note that a provider has asked something."""
    await tx.execute(
        "INSERT INTO questions (id, purchase_id, provider_id) VALUES ($1, $2, $3)",
        message,
        purchase_id,
        provider_id,
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
