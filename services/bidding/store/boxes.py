"""The SQL of boxes: their facts, how far the logs are read, and what became of the replies in them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from services.bidding.domain.box import Box, Opening, Place, Request, Stage, StoredReply
from shared.messages.bidding import Acknowledgement
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import ServiceNeed

Connection = asyncpg.Connection
_NEEDS = TypeAdapter(tuple[ServiceNeed, ...])
_COLUMNS = (
    "purchase_id, request_version, deadline, provider_ids, services, currency, tax_basis, contract_months, usage_digest, "
    "issued_by, seal, deadline_passed_by, last_version, cancelled_by, closing_ends, ready_version, closed_at, opened_at, "
    "compared_at, custodian_key"
)


async def lock_box(tx: Connection, purchase_id: UUID) -> Box:
    """Lock the purchase's box until the transaction ends; make it if this is the first fact about it."""
    await tx.execute("INSERT INTO boxes (purchase_id) VALUES ($1) ON CONFLICT DO NOTHING", purchase_id)
    return _box(
        await tx.fetchrow(f"SELECT {_COLUMNS} FROM boxes WHERE purchase_id = $1 FOR UPDATE", purchase_id)
    )


async def lock_boxes(tx: Connection, purchase_ids: Iterable[UUID], *, exclusively: bool) -> dict[UUID, Box]:
    """Lock the boxes that exist, in the order of their ids; shared by those that only put something in."""
    rows = await tx.fetch(
        f"""
        SELECT {_COLUMNS} FROM boxes WHERE purchase_id = ANY($1::uuid[]) ORDER BY purchase_id
        FOR {"UPDATE" if exclusively else "SHARE"}
        """,
        sorted(set(purchase_ids)),
    )
    return {row["purchase_id"]: _box(row) for row in rows}


async def save_box(tx: Connection, box: Box) -> None:
    """Write all facts of a locked box, and the stage that they mean."""
    request = box.request
    await tx.execute(
        """
        UPDATE boxes SET stage = $2, request_version = $3, deadline = $4, provider_ids = $5, services = $6,
            currency = $7, tax_basis = $8, contract_months = $9, usage_digest = $10, issued_by = $11,
            deadline_passed_by = $12, cancelled_by = $13, closing_ends = $14, opened_at = $15, compared_at = $16,
            last_version = $17, seal = $18, ready_version = $19, closed_at = $20, custodian_key = $21
        WHERE purchase_id = $1
        """,
        box.purchase_id,
        box.stage,
        request and request.version,
        request and request.deadline,
        sorted(request.provider_ids) if request else None,
        _NEEDS.dump_json(request.services).decode() if request else None,
        request and request.currency,
        request and request.tax_basis,
        request and request.contract_months,
        request and request.usage_digest,
        request and request.issued_by,
        box.deadline_passed_by,
        box.cancelled_by,
        None if box.closing_ends is None else write_ends(box.closing_ends),
        box.opened_at,
        box.compared_at,
        box.last_version,
        request and request.seal,
        box.ready_version,
        box.closed_at,
        request and request.custodian_key,
    )


async def purchases_in(connection: Connection | asyncpg.Pool, stage: Stage) -> list[UUID]:
    """Return the purchases whose boxes are at this stage; the boxes are read one by one, as one may be unreadable."""
    rows = await connection.fetch(
        "SELECT purchase_id FROM boxes WHERE stage = $1 ORDER BY purchase_id", stage
    )
    return [row["purchase_id"] for row in rows]


async def look_at(connection: Connection | asyncpg.Pool, purchase_id: UUID) -> Box:
    """Return a box that exists, unlocked."""
    return _box(
        await connection.fetchrow(f"SELECT {_COLUMNS} FROM boxes WHERE purchase_id = $1", purchase_id)
    )


async def now(connection: Connection | asyncpg.Pool) -> datetime:
    """Return the database's time."""
    time: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return time


async def positions(
    connection: Connection | asyncpg.Pool, consumer: str, topics: Iterable[str]
) -> dict[Place, int]:
    """Return how far this consumer has read these topics, by partition."""
    rows = await connection.fetch(
        "SELECT topic, partition, next FROM positions WHERE consumer = $1 AND topic = ANY($2::text[])",
        consumer,
        list(topics),
    )
    return {(row["topic"], row["partition"]): row["next"] for row in rows}


async def parked_keys(connection: Connection | asyncpg.Pool, consumer: str) -> set[bytes]:
    """Return the keys of which this consumer has put messages aside: passed, but not taken."""
    rows = await connection.fetch("SELECT DISTINCT key FROM parked WHERE consumer = $1", consumer)
    return {row["key"] for row in rows}


async def stored_replies(
    connection: Connection | asyncpg.Pool, purchase_id: UUID, *, standing: str | None = None
) -> list[StoredReply]:
    """Return the replies in a box that is not sealed: all of them, or those that stand so."""
    rows = await connection.fetch(
        """
        SELECT id, provider_id, appended_at, body, withdrawn_by FROM replies
        WHERE purchase_id = $1 AND ($2::text IS NULL OR standing = $2) ORDER BY provider_id, revision
        """,
        purchase_id,
        standing,
    )
    replies = []
    for row in rows:
        said = ReplySubmitted.model_validate_json(row["body"])
        replies.append(
            StoredReply(
                reply_id=row["id"],
                provider_id=row["provider_id"],
                request_version=said.request_version,
                revision=said.revision,
                appended_at=row["appended_at"],
                offer=said.offer,
                withdrawn=row["withdrawn_by"] is not None,
            )
        )
    return replies


async def acknowledged(tx: Connection, purchase_id: UUID) -> list[Acknowledgement]:
    """Return each provider's first acknowledgement of each version."""
    rows = await tx.fetch(
        """
        SELECT provider_id, request_version, content_sha256, acknowledged_at FROM acknowledgements
        WHERE purchase_id = $1
        """,
        purchase_id,
    )
    return [Acknowledgement(**row) for row in rows]


async def declined(tx: Connection, purchase_id: UUID) -> list[str]:
    """Return the providers that declined."""
    rows = await tx.fetch("SELECT provider_id FROM declines WHERE purchase_id = $1", purchase_id)
    return [row["provider_id"] for row in rows]


async def save_opening(tx: Connection, opening: Opening) -> None:
    """Write what became of each reply."""
    await tx.execute(
        """
        UPDATE replies SET standing = new.standing, reason = new.reason
        FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, standing, reason)
        WHERE replies.id = new.id
        """,
        [one.reply.reply_id for one in opening.standings],
        [one.standing for one in opening.standings],
        [one.reason for one in opening.standings],
    )


async def save_ranks(
    tx: Connection, ranks: Sequence[tuple[UUID, int]], invalid: Sequence[tuple[UUID, str]]
) -> None:
    """Write the ranks of the compared replies, and why others could not be compared."""
    await tx.execute(
        """
        UPDATE replies SET standing = 'invalid', reason = new.reason
        FROM unnest($1::uuid[], $2::text[]) AS new (id, reason) WHERE replies.id = new.id
        """,
        [reply_id for reply_id, _ in invalid],
        [reason for _, reason in invalid],
    )
    await tx.execute(
        """
        UPDATE replies SET rank = new.rank FROM unnest($1::uuid[], $2::int[]) AS new (id, rank)
        WHERE replies.id = new.id
        """,
        [reply_id for reply_id, _ in ranks],
        [rank for _, rank in ranks],
    )


def write_ends(ends: Mapping[Place, int]) -> str:
    """Return the ends as the database keeps them."""
    return json.dumps([[topic, partition, end] for (topic, partition), end in sorted(ends.items())])


def read_ends(stored: str) -> dict[Place, int]:
    """Return what `write_ends` wrote."""
    return {(topic, partition): end for topic, partition, end in json.loads(stored)}


def _box(row: Any) -> Box:
    request = None
    if row["request_version"] is not None:
        request = Request(
            version=row["request_version"],
            deadline=row["deadline"],
            provider_ids=frozenset(row["provider_ids"]),
            services=_NEEDS.validate_json(row["services"]),
            currency=row["currency"],
            tax_basis=row["tax_basis"],
            contract_months=row["contract_months"],
            usage_digest=row["usage_digest"],
            issued_by=row["issued_by"],
            seal=row["seal"],
            custodian_key=row["custodian_key"],
        )
    return Box(
        purchase_id=row["purchase_id"],
        request=request,
        deadline_passed_by=row["deadline_passed_by"],
        last_version=row["last_version"],
        cancelled_by=row["cancelled_by"],
        closing_ends=None if row["closing_ends"] is None else read_ends(row["closing_ends"]),
        ready_version=row["ready_version"],
        closed_at=row["closed_at"],
        opened_at=row["opened_at"],
        compared_at=row["compared_at"],
    )


async def logged(tx: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of these events that are in the service's log."""
    rows = await tx.fetch("SELECT event_id FROM log WHERE event_id = ANY($1::uuid[])", event_ids)
    return {row["event_id"] for row in rows}
