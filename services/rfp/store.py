"""Every statement of the rfp service about a purchase; providers are in `registry`, verifications in `findings`."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from services.rfp.domain import Buyer, Question, Request, State
from shared.messages.aggregation import (
    BuyerJoined,
    GroupAggregated,
    Identifier,
    LineUsage,
    UsageLinesReported,
)
from shared.messages.bidding import QuestionReceived
from shared.messages.rfp import DescribeNeed, QualificationPolicy, SetProviderList

_LINES = TypeAdapter(tuple[LineUsage, ...])
_IDENTIFIERS = TypeAdapter(tuple[Identifier, ...])


async def record_order(tx: asyncpg.Connection, cause_id: UUID, subject: str) -> bool:
    """Note that this order is obeyed; False if it was noted before."""
    noted = await tx.fetchval(
        "INSERT INTO orders (cause_id, subject) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
        cause_id,
        subject,
    )
    return noted is not None


async def lock_request(tx: asyncpg.Connection, purchase_id: UUID) -> Request | None:
    """Return what is known of the request, locked until the transaction ends."""
    row = await tx.fetchrow(
        "SELECT purchase_id, state, coordinator_id, aggregated, need, list, version, deadline_at, "
        "completed_by IS NOT NULL AS complete, policy, dissolved_by IS NOT NULL AS dissolved FROM requests "
        "WHERE purchase_id = $1 FOR UPDATE",
        purchase_id,
    )
    if row is None:
        return None
    return Request(
        purchase_id=row["purchase_id"],
        state=row["state"],
        coordinator_id=row["coordinator_id"],
        aggregated=GroupAggregated.model_validate_json(row["aggregated"]) if row["aggregated"] else None,
        need=DescribeNeed.model_validate_json(row["need"]) if row["need"] else None,
        listed=SetProviderList.model_validate_json(row["list"]) if row["list"] else None,
        version=row["version"],
        deadline=row["deadline_at"],
        complete=row["complete"],
        policy=QualificationPolicy.model_validate_json(row["policy"]) if row["policy"] else None,
        dissolved=row["dissolved"],
    )


async def lock_or_add_request(tx: asyncpg.Connection, purchase_id: UUID) -> Request:
    """Return what is known of the request, locked; whichever fact is the first adds it."""
    await tx.execute("INSERT INTO requests (purchase_id) VALUES ($1) ON CONFLICT DO NOTHING", purchase_id)
    request = await lock_request(tx, purchase_id)
    if request is None:
        raise LookupError("the request that was added or found is not there")
    return request


async def keep_coordinator(tx: asyncpg.Connection, purchase_id: UUID, coordinator_id: UUID) -> None:
    """Keep who coordinates the group; that never changes."""
    await tx.execute(
        "UPDATE requests SET coordinator_id = $2 WHERE purchase_id = $1 AND coordinator_id IS NULL",
        purchase_id,
        coordinator_id,
    )


async def keep_aggregated(
    tx: asyncpg.Connection, event: GroupAggregated, state: State, policy: QualificationPolicy
) -> None:
    """Keep the frozen group, and what is asked for before it is qualified."""
    await tx.execute(
        "UPDATE requests SET aggregated = $2, coordinator_id = $3, state = $4, policy = $5 WHERE purchase_id = $1",
        event.purchase_id,
        event.model_dump_json(),
        event.coordinator_id,
        state,
        policy.model_dump_json(),
    )


async def keep_dissolved(tx: asyncpg.Connection, purchase_id: UUID, cause_id: UUID) -> None:
    """Keep that the group was given up."""
    await tx.execute(
        "UPDATE requests SET dissolved_by = $2 WHERE purchase_id = $1 AND dissolved_by IS NULL",
        purchase_id,
        cause_id,
    )


async def keep_need(tx: asyncpg.Connection, need: DescribeNeed) -> None:
    """Keep what the request asks for, in the place of what it asked for before."""
    await tx.execute(
        "UPDATE requests SET need = $2 WHERE purchase_id = $1", need.purchase_id, need.model_dump_json()
    )


async def keep_list(tx: asyncpg.Connection, listed: SetProviderList) -> None:
    """Keep who may see the request, in the place of an earlier list."""
    await tx.execute(
        "UPDATE requests SET list = $2 WHERE purchase_id = $1", listed.purchase_id, listed.model_dump_json()
    )


async def freeze_request(
    tx: asyncpg.Connection,
    purchase_id: UUID,
    *,
    version: int,
    provider_ids: Sequence[str],
    content_sha256: str,
    deadline_at: datetime,
    issued_at: datetime,
) -> None:
    """Keep what was issued."""
    await tx.execute(
        "UPDATE requests SET state = 'issued', version = $2, provider_ids = $3, content_sha256 = $4, "
        "deadline_at = $5, issued_at = $6 WHERE purchase_id = $1",
        purchase_id,
        version,
        list(provider_ids),
        content_sha256,
        deadline_at,
        issued_at,
    )


async def end_request(tx: asyncpg.Connection, purchase_id: UUID, state: State, ended_at: datetime) -> None:
    """Give the request the state in which it ends."""
    await tx.execute(
        "UPDATE requests SET state = $2, ended_at = $3 WHERE purchase_id = $1", purchase_id, state, ended_at
    )


async def complete_purchase(tx: asyncpg.Connection, purchase_id: UUID, cause_id: UUID) -> None:
    """Keep that terms were accepted; one that was called off stays so."""
    await tx.execute(
        "UPDATE requests SET completed_by = $2 "
        "WHERE purchase_id = $1 AND completed_by IS NULL AND state <> 'cancelled'",
        purchase_id,
        cause_id,
    )


async def add_question(tx: asyncpg.Connection, event: QuestionReceived, *, cause_id: UUID) -> None:
    """Keep a question; the same again changes nothing."""
    await tx.execute(
        "INSERT INTO questions (purchase_id, question_id, request_version, question, cause_id) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.question_id,
        event.request_version,
        event.question,
        cause_id,
    )


async def question(tx: asyncpg.Connection, purchase_id: UUID, question_id: UUID) -> Question | None:
    """Return a question about the request."""
    row = await tx.fetchrow(
        "SELECT question_id, request_version, question, answered_by IS NOT NULL AS answered FROM questions "
        "WHERE purchase_id = $1 AND question_id = $2",
        purchase_id,
        question_id,
    )
    return Question(**row) if row else None


async def answer_question(
    tx: asyncpg.Connection, purchase_id: UUID, question_id: UUID, *, answered_by: UUID
) -> None:
    """Keep which order answered a question."""
    await tx.execute(
        "UPDATE questions SET answered_by = $3 WHERE purchase_id = $1 AND question_id = $2",
        purchase_id,
        question_id,
        answered_by,
    )


async def add_buyer(tx: asyncpg.Connection, event: BuyerJoined) -> None:
    """Keep a buyer's identity; an id keeps its first."""
    await tx.execute(
        "INSERT INTO buyers (purchase_id, buyer_id, legal_name, identifiers, contact_id) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.buyer_id,
        event.legal_name,
        json.dumps([one.model_dump() for one in event.identifiers]),
        event.contact_id,
    )


async def buyers(tx: asyncpg.Connection, purchase_id: UUID) -> list[Buyer]:
    """Return everyone who ever joined the group."""
    rows = await tx.fetch(
        "SELECT buyer_id, legal_name, identifiers, contact_id FROM buyers WHERE purchase_id = $1 ORDER BY buyer_id",
        purchase_id,
    )
    return [
        Buyer(
            row["buyer_id"],
            row["legal_name"],
            _IDENTIFIERS.validate_json(row["identifiers"]),
            row["contact_id"],
        )
        for row in rows
    ]


async def add_usage_part(tx: asyncpg.Connection, event: UsageLinesReported) -> None:
    """Keep a part of a usage report."""
    await tx.execute(
        "INSERT INTO usage_parts (purchase_id, report_id, part, parts, buyer_id, lines) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.report_id,
        event.part,
        event.parts,
        event.buyer_id,
        _LINES.dump_json(event.lines).decode(),
    )


async def counting_usage(
    tx: asyncpg.Connection, purchase_id: UUID, report_ids: Sequence[UUID]
) -> list[tuple[UUID, str]]:
    """Return the parts of these reports that are here, as (buyer id, the JSON of the part's lines)."""
    rows = await tx.fetch(
        "SELECT buyer_id, lines FROM usage_parts WHERE purchase_id = $1 AND report_id = ANY($2) "
        "ORDER BY report_id, part",
        purchase_id,
        report_ids,
    )
    return [(row["buyer_id"], row["lines"]) for row in rows]


def read_usage(parts: Sequence[tuple[UUID, str]]) -> list[tuple[UUID, LineUsage]]:
    """Return the lines of what `counting_usage` returned, each with its buyer's id."""
    return [(buyer_id, line) for buyer_id, lines in parts for line in _LINES.validate_json(lines)]
