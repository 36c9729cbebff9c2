"""The SQL of what the opener says in its own schema, which bidding only reads."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from services.bidding.domain.box import StoredReply

Connection = asyncpg.Connection
NOT_THERE: tuple[type[BaseException], ...] = (
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""What is met while the opener has never been started on this database."""

NOT_SEALED_TWICE = "not_sealed_twice"
"""The opener's word for what opens with its own key and not with the custodian's."""


@dataclass(frozen=True)
class BoxKey:
    """The key of a version's box, and the opener's signature of it, both in base64."""

    purchase_id: UUID
    request_version: int
    public_key: str
    key_signature: str


@dataclass(frozen=True)
class Opening:
    """What the opener found in a sealed reply: its content, or a fixed word that says why it does not open."""

    content: bytes | None
    failure: str | None


async def waits_for_keys(connection: asyncpg.Pool) -> bool:
    """Whether any version waits for the key of its box."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM boxes WHERE ready_version IS DISTINCT FROM request_version)"
        )
    )


async def new_keys(connection: asyncpg.Pool) -> list[BoxKey]:
    """Return the keys of versions of which nobody was told yet that replies can be taken."""
    rows = await connection.fetch(
        """
        SELECT purchase_id, request_version, public_key, key_signature
        FROM boxes JOIN opener.keys USING (purchase_id, request_version)
        WHERE ready_version IS DISTINCT FROM request_version ORDER BY purchase_id
        """
    )
    return [BoxKey(**row) for row in rows]


async def is_opened(connection: Connection | asyncpg.Pool, purchase_id: UUID, request_version: int) -> bool:
    """Whether the opener has opened this version's box."""
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM opener.opened_boxes WHERE purchase_id = $1 AND request_version = $2
            )
            """,
            purchase_id,
            request_version,
        )
    )


async def sealed_replies(
    connection: Connection | asyncpg.Pool, purchase_id: UUID, *, standing: str | None = None
) -> list[tuple[StoredReply, Opening | None]]:
    """Return the replies in a sealed box, all of them or those that stand so, each with what the opener found in it."""
    rows = await connection.fetch(
        """
        SELECT id, provider_id, request_version, revision, appended_at, withdrawn_by, content, failure
        FROM replies LEFT JOIN opener.openings ON openings.reply_id = replies.id
        WHERE replies.purchase_id = $1 AND ($2::text IS NULL OR standing = $2) ORDER BY provider_id, revision
        """,
        purchase_id,
        standing,
    )
    return [
        (
            StoredReply(
                reply_id=row["id"],
                provider_id=row["provider_id"],
                request_version=row["request_version"],
                revision=row["revision"],
                appended_at=row["appended_at"],
                offer=None,
                withdrawn=row["withdrawn_by"] is not None,
            ),
            None
            if row["content"] is None and row["failure"] is None
            else Opening(row["content"], row["failure"]),
        )
        for row in rows
    ]
