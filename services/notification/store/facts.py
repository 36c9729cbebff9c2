"""What is known of each purchase, and the facts that are told about it."""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.notification.domain.known import Buyer, Fact, Request
from services.notification.domain.participation import Invitation
from services.notification.letters import Smallest
from shared.messages import registry
from shared.messages.aggregation import (
    BuyerJoined,
    BuyerLeft,
    GroupAggregated,
    GroupOpened,
    Identifier,
    MinimumSet,
)
from shared.messages.base import Document, Message
from shared.messages.bidding import ComparisonPart, RepliesOpened
from shared.messages.distribution import AccessGranted, ProviderInvited
from shared.messages.rfp import ProviderRegistered, RequestIssued


@dataclass(frozen=True)
class Purchase:
    """A purchase's row: what is known of its group."""

    coordinator_id: UUID | None
    member_ids: tuple[UUID, ...] | None
    needed: Smallest | None


async def lock_purchase(tx: asyncpg.Connection, purchase_id: UUID) -> Purchase:
    """Lock the purchase's row, creating it if this is the first that is heard of it."""
    await tx.execute("INSERT INTO purchases (purchase_id) VALUES ($1) ON CONFLICT DO NOTHING", purchase_id)
    row = await tx.fetchrow(
        "SELECT coordinator_id, member_ids, minimum::text AS minimum FROM purchases "
        "WHERE purchase_id = $1 FOR UPDATE",
        purchase_id,
    )
    if row is None:
        raise LookupError("the purchase's row was there a statement ago")
    return Purchase(
        row["coordinator_id"],
        None if row["member_ids"] is None else tuple(row["member_ids"]),
        None if row["minimum"] is None else Smallest.model_validate_json(row["minimum"]),
    )


async def set_opened(tx: asyncpg.Connection, event: GroupOpened) -> None:
    """Keep the group's name and coordinator."""
    await tx.execute(
        "UPDATE purchases SET group_name = $2, coordinator_id = $3 "
        "WHERE purchase_id = $1 AND group_name IS NULL",
        event.purchase_id,
        event.name,
        event.coordinator_id,
    )


async def set_members(tx: asyncpg.Connection, event: GroupAggregated) -> None:
    """Keep the frozen membership, with the name and the coordinator that it was frozen with."""
    await tx.execute(
        "UPDATE purchases SET group_name = $2, coordinator_id = $3, member_ids = $4 "
        "WHERE purchase_id = $1 AND member_ids IS NULL",
        event.purchase_id,
        event.name,
        event.coordinator_id,
        sorted(event.buyer_ids),
    )


async def add_joining(tx: asyncpg.Connection, event: BuyerJoined, cause_id: UUID) -> None:
    """Keep that a buyer joined; the same joining again changes nothing."""
    await tx.execute(
        "INSERT INTO joinings (cause_id, purchase_id, buyer_id, legal_name, identifiers, contact_id) "
        "VALUES ($1, $2, $3, $4, $5::text::jsonb, $6) ON CONFLICT (cause_id) DO NOTHING",
        cause_id,
        event.purchase_id,
        event.buyer_id,
        event.legal_name,
        json.dumps([identifier.model_dump() for identifier in event.identifiers]),
        event.contact_id,
    )


async def end_joining(tx: asyncpg.Connection, event: BuyerLeft, cause_id: UUID) -> None:
    """Keep that a buyer left; the same leaving again ends no later joining."""
    await tx.execute(
        "UPDATE joinings SET left_by = $3 WHERE cause_id = ("
        "SELECT cause_id FROM joinings WHERE purchase_id = $1 AND buyer_id = $2 ORDER BY number DESC LIMIT 1) "
        "AND left_by IS NULL AND NOT EXISTS (SELECT FROM joinings WHERE left_by = $3)",
        event.purchase_id,
        event.buyer_id,
        cause_id,
    )


async def set_minimum(tx: asyncpg.Connection, event: MinimumSet) -> None:
    """Keep how large the group must become."""
    needed = Smallest(buyers=event.buyers, lines=event.lines, decide_by=event.decide_by)
    await tx.execute(
        "UPDATE purchases SET minimum = $2::text::jsonb WHERE purchase_id = $1",
        event.purchase_id,
        needed.model_dump_json(),
    )


async def buyers(tx: asyncpg.Connection, purchase_id: UUID) -> dict[UUID, Buyer]:
    """Return each buyer as it joined last."""
    rows = await _joinings(tx, purchase_id)
    return {row["buyer_id"]: _buyer(row) for row in rows}


async def present(tx: asyncpg.Connection, purchase_id: UUID) -> tuple[Buyer, ...]:
    """Return the buyers that have joined and not left, in the order in which they joined."""
    rows = await _joinings(tx, purchase_id)
    return tuple(_buyer(row) for row in sorted(rows, key=lambda row: row["number"]) if row["left_by"] is None)


async def _joinings(tx: asyncpg.Connection, purchase_id: UUID) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await tx.fetch(
        "SELECT DISTINCT ON (buyer_id) buyer_id, legal_name, identifiers::text AS identifiers, contact_id, "
        "number, left_by FROM joinings WHERE purchase_id = $1 ORDER BY buyer_id, number DESC",
        purchase_id,
    )
    return rows


def _buyer(row: asyncpg.Record) -> Buyer:
    return Buyer(
        row["buyer_id"],
        row["legal_name"],
        tuple(Identifier.model_validate(one) for one in json.loads(row["identifiers"])),
        row["contact_id"],
    )


async def add_request(tx: asyncpg.Connection, event: RequestIssued) -> None:
    """Keep what people are told of an issued version."""
    await tx.execute(
        "INSERT INTO requests (purchase_id, request_version, title, deadline_at, custodian) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.request_version,
        event.title,
        event.deadline,
        None if event.custodian is None else event.custodian.name,
    )


async def requests(tx: asyncpg.Connection, purchase_id: UUID) -> dict[int, Request]:
    """Return the issued versions of the request."""
    rows = await tx.fetch(
        "SELECT request_version, title, deadline_at, custodian FROM requests WHERE purchase_id = $1",
        purchase_id,
    )
    return {
        row["request_version"]: Request(row["title"], row["deadline_at"], row["custodian"]) for row in rows
    }


async def add_fact(tx: asyncpg.Connection, purchase_id: UUID, fact: Fact) -> None:
    """Keep a fact that someone is told about; the same fact again changes nothing."""
    await tx.execute(
        "INSERT INTO facts (cause_id, purchase_id, type, body) VALUES ($1, $2, $3, $4::text::jsonb) "
        "ON CONFLICT (cause_id) DO NOTHING",
        fact.cause_id,
        purchase_id,
        fact.message.type(),
        fact.message.to_bytes().decode(),
    )


async def untold_facts(tx: asyncpg.Connection, purchase_id: UUID) -> list[Fact]:
    """Return the facts that still wait, in order of arrival."""
    rows = await tx.fetch(
        "SELECT cause_id, type, body::text AS body FROM facts "
        "WHERE purchase_id = $1 AND told_at IS NULL ORDER BY number",
        purchase_id,
    )
    return [Fact(row["cause_id"], _message(row["type"], row["body"])) for row in rows]


def _message(type_: str, body: str) -> Message:
    return registry[type_].model_validate_json(body)


async def set_told(tx: asyncpg.Connection, cause_id: UUID, at: datetime) -> None:
    """Keep that a fact was told."""
    await tx.execute("UPDATE facts SET told_at = $2 WHERE cause_id = $1", cause_id, at)


async def awards_told(tx: asyncpg.Connection, purchase_id: UUID) -> frozenset[int]:
    """Return the numbers of the awards that providers were told about."""
    rows = await tx.fetch(
        "SELECT (body ->> 'award')::int AS award FROM facts "
        "WHERE purchase_id = $1 AND type = 'linepool.provider-selected.v1' AND told_at IS NOT NULL",
        purchase_id,
    )
    return frozenset(row["award"] for row in rows)


async def set_provider_name(tx: asyncpg.Connection, event: ProviderRegistered) -> None:
    """Keep a provider's name as it is registered now."""
    await tx.execute(
        "INSERT INTO providers (provider_id, name) VALUES ($1, $2) "
        "ON CONFLICT (provider_id) DO UPDATE SET name = excluded.name",
        event.provider_id,
        event.name,
    )


async def add_invitation(tx: asyncpg.Connection, event: ProviderInvited | AccessGranted) -> None:
    """Keep that a provider was invited, or since when it was granted access, whichever comes first."""
    await tx.execute(
        "INSERT INTO invitations AS i (purchase_id, request_version, provider_id, mode, granted_at) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (purchase_id, request_version, provider_id) DO UPDATE "
        "SET mode = coalesce(i.mode, excluded.mode), granted_at = coalesce(i.granted_at, excluded.granted_at)",
        event.purchase_id,
        event.request_version,
        event.provider_id,
        event.mode if isinstance(event, ProviderInvited) else None,
        event.granted_at if isinstance(event, AccessGranted) else None,
    )


async def invitations(tx: asyncpg.Connection, purchase_id: UUID) -> tuple[Invitation, ...]:
    """Return what distribution said of each invited provider."""
    rows = await tx.fetch(
        "SELECT request_version, provider_id, name, mode, granted_at "
        "FROM invitations LEFT JOIN providers USING (provider_id) WHERE purchase_id = $1",
        purchase_id,
    )
    return tuple(Invitation(**row) for row in rows)


async def replies_opened(tx: asyncpg.Connection, purchase_id: UUID) -> RepliesOpened | None:
    """Return what bidding said when it opened the box, if it has."""
    body = await tx.fetchval(
        "SELECT body::text FROM facts WHERE purchase_id = $1 AND type = $2 ORDER BY number DESC LIMIT 1",
        purchase_id,
        RepliesOpened.type(),
    )
    return RepliesOpened.model_validate_json(body) if body else None


async def note_refusal(tx: asyncpg.Connection, cause_id: UUID) -> bool:
    """Keep that a refusal is told; False if it was told before."""
    noted = await tx.fetchval(
        "INSERT INTO told_refusals (cause_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", cause_id
    )
    return noted is not None


async def add_comparison_part(tx: asyncpg.Connection, event: ComparisonPart) -> None:
    """Keep a part of the full comparison."""
    await tx.execute(
        "INSERT INTO comparison_parts (purchase_id, sha256, part, manifest, data) "
        "VALUES ($1, $2, $3, $4::text::jsonb, $5) ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.document.sha256,
        event.part,
        event.document.model_dump_json(),
        event.data,
    )


async def complete_comparisons(tx: asyncpg.Connection, purchase_id: UUID) -> list[tuple[Document, list[str]]]:
    """Return the manifest and the parts, in order, of each comparison of which all parts are here."""
    rows = await tx.fetch(
        "SELECT min(manifest::text) AS manifest, array_agg(data ORDER BY part) AS parts "
        "FROM comparison_parts WHERE purchase_id = $1 GROUP BY sha256 "
        "HAVING count(*) = min((manifest ->> 'parts')::int)",
        purchase_id,
    )
    return [(Document.model_validate_json(row["manifest"]), list(row["parts"])) for row in rows]
