"""The SQL of facts: what is known about purchases and providers. All inside the delivery's transaction."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.distribution.domain import BidBox, Gate, Qualification, Request
from shared.messages.base import Document
from shared.messages.bidding import BidBoxReady
from shared.messages.rfp import GroupQualified, QualificationLapsed, RequestDocumentPart, RequestIssued

Connection = asyncpg.Connection


async def lock_gate(tx: Connection, purchase_id: UUID) -> None:
    """Lock the purchase's gate until the transaction ends; make it if this is the first fact about it."""
    await tx.execute("INSERT INTO gates (purchase_id) VALUES ($1) ON CONFLICT DO NOTHING", purchase_id)
    await tx.execute("SELECT FROM gates WHERE purchase_id = $1 FOR UPDATE", purchase_id)


async def lock_known_gate(tx: Connection, purchase_id: UUID) -> bool:
    """Lock the purchase's gate; False where nothing is known of it, so that no stranger makes us keep a gate."""
    found = await tx.fetchval("SELECT true FROM gates WHERE purchase_id = $1 FOR UPDATE", purchase_id)
    return found is not None


async def clock(tx: Connection) -> datetime:
    """Return the database's time at this moment."""
    now: datetime = await tx.fetchval("SELECT clock_timestamp()")
    return now


async def add_request(tx: Connection, event: RequestIssued, *, cause_id: UUID) -> None:
    """Keep a version of the request, its documents and its list; the first one of a version stands."""
    added = await tx.fetchval(
        """
        INSERT INTO requests (purchase_id, request_version, title, deadline, mode, snapshot, cause_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        event.purchase_id,
        event.request_version,
        event.title,
        event.deadline,
        event.mode,
        event.snapshot,
        cause_id,
    )
    if not added:
        return
    await tx.executemany(
        """
        INSERT INTO documents (purchase_id, request_version, position, name, sha256, size, parts)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
            (event.purchase_id, event.request_version, position, one.name, one.sha256, one.size, one.parts)
            for position, one in enumerate((event.content, *event.documents))
        ],
    )
    # In the order of their ids, so that two requests that list the same new providers do not lock crosswise.
    await tx.execute(
        """
        INSERT INTO providers (provider_id) SELECT id FROM unnest($1::text[]) AS id ORDER BY id
        ON CONFLICT DO NOTHING
        """,
        sorted(set(event.provider_ids)),
    )
    await tx.execute(
        """
        INSERT INTO listed_providers (purchase_id, request_version, provider_id)
        SELECT $1, $2, id FROM unnest($3::text[]) AS id ORDER BY id
        """,
        event.purchase_id,
        event.request_version,
        sorted(set(event.provider_ids)),
    )


async def add_part(tx: Connection, event: RequestDocumentPart, *, data_sha256: str, cause_id: UUID) -> None:
    """Keep a part, unless its document is complete already."""
    await tx.execute(
        """
        INSERT INTO document_parts (purchase_id, request_version, sha256, part, data_sha256, data, cause_id)
        SELECT $1, $2, $3, $4, $5, $6, $7
        WHERE NOT EXISTS (
            SELECT FROM documents
            WHERE purchase_id = $1 AND request_version = $2 AND sha256 = $3 AND complete
        )
        ON CONFLICT DO NOTHING
        """,
        event.purchase_id,
        event.request_version,
        event.document.sha256,
        event.part,
        data_sha256,
        event.data,
        cause_id,
    )


async def documents_with_all_parts(tx: Connection, purchase_id: UUID, version: int) -> list[Document]:
    """Return the version's documents of which every part came, but which are not known to be complete yet."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT name, sha256, size, parts FROM documents AS document
        WHERE purchase_id = $1 AND request_version = $2 AND NOT complete AND parts = (
            SELECT count(DISTINCT part.part) FROM document_parts AS part
            WHERE part.purchase_id = $1 AND part.request_version = $2 AND part.sha256 = document.sha256
                AND part.part BETWEEN 1 AND document.parts
        )
        """,
        purchase_id,
        version,
    )
    return [_document(row) for row in rows]


async def parts_of(tx: Connection, purchase_id: UUID, version: int, sha256: str) -> dict[int, list[str]]:
    """Return all data that came for each part of a document, in one order for every order of arrival."""
    rows = await tx.fetch(
        """
        SELECT part, data FROM document_parts
        WHERE purchase_id = $1 AND request_version = $2 AND sha256 = $3
        ORDER BY part, data_sha256
        """,
        purchase_id,
        version,
        sha256,
    )
    parts: dict[int, list[str]] = {}
    for row in rows:
        parts.setdefault(row["part"], []).append(row["data"])
    return parts


async def complete_document(
    tx: Connection, purchase_id: UUID, version: int, sha256: str, data_sha256s: Sequence[str]
) -> None:
    """Mark a document as complete with exactly these parts, in order; what else came for it is deleted."""
    await tx.execute(
        """
        DELETE FROM document_parts
        WHERE purchase_id = $1 AND request_version = $2 AND sha256 = $3
            AND data_sha256 IS DISTINCT FROM ($4::text[])[part]
        """,
        purchase_id,
        version,
        sha256,
        data_sha256s,
    )
    await tx.execute(
        """
        UPDATE documents SET complete = true
        WHERE purchase_id = $1 AND request_version = $2 AND sha256 = $3
        """,
        purchase_id,
        version,
        sha256,
    )


async def add_box(tx: Connection, event: BidBoxReady, *, cause_id: UUID) -> None:
    """Keep that replies to a version can be taken."""
    await tx.execute(
        """
        INSERT INTO bid_boxes (purchase_id, request_version, seal, public_key, key_signature, cause_id)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
        """,
        event.purchase_id,
        event.request_version,
        event.seal,
        event.public_key,
        event.key_signature,
        cause_id,
    )


async def add_qualification(tx: Connection, event: GroupQualified, *, cause_id: UUID) -> None:
    """Keep a qualification."""
    await tx.execute(
        """
        INSERT INTO qualifications (purchase_id, number, snapshot, valid_until, cause_id)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
        """,
        event.purchase_id,
        event.number,
        event.snapshot,
        event.valid_until,
        cause_id,
    )


async def add_lapse(tx: Connection, event: QualificationLapsed, *, cause_id: UUID) -> None:
    """Keep that a qualification no longer holds."""
    await tx.execute(
        "INSERT INTO lapses (purchase_id, number, cause_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.number,
        cause_id,
    )


async def cancel(tx: Connection, purchase_id: UUID, reason: str, *, cause_id: UUID) -> bool:
    """Shut the gate for good; return whether that is new."""
    cancelled: bool | None = await tx.fetchval(
        """
        UPDATE gates SET cancelled_by = $2, cancellation_reason = $3
        WHERE purchase_id = $1 AND cancelled_by IS NULL RETURNING true
        """,
        purchase_id,
        cause_id,
        reason,
    )
    return cancelled is not None


async def pass_deadline(tx: Connection, purchase_id: UUID, *, cause_id: UUID) -> None:
    """Shut the gate for good."""
    await tx.execute(
        "UPDATE gates SET deadline_passed_by = $2 WHERE purchase_id = $1 AND deadline_passed_by IS NULL",
        purchase_id,
        cause_id,
    )


async def change_standing(
    tx: Connection,
    provider_id: str,
    *,
    cause_id: UUID,
    suspended: bool | None = None,
    removed: bool | None = None,
) -> None:
    """Suspend or reinstate a provider, remove it or register it; what is None stays as it is.

    Waits for every opening and every granting that looks at the provider at this moment: once the suspension is
    committed, nothing is presented any more that was not committed before it.
    """
    await tx.execute("INSERT INTO providers (provider_id) VALUES ($1) ON CONFLICT DO NOTHING", provider_id)
    await tx.execute("SELECT FROM providers WHERE provider_id = $1 FOR UPDATE", provider_id)
    await tx.execute(
        """
        WITH change AS (
            INSERT INTO provider_standings (cause_id, provider_id, suspended, removed)
            SELECT $1, provider_id, coalesce($3, suspended), coalesce($4, removed)
            FROM providers WHERE provider_id = $2
            ON CONFLICT DO NOTHING RETURNING provider_id, suspended, removed
        )
        UPDATE providers SET suspended = change.suspended, removed = change.removed FROM change
        WHERE providers.provider_id = change.provider_id
        """,
        cause_id,
        provider_id,
        suspended,
        removed,
    )


async def gate(tx: Connection, purchase_id: UUID) -> Gate:
    """Return all that is known about a purchase whose gate is locked."""
    row = await tx.fetchrow(
        "SELECT cancellation_reason, deadline_passed_by FROM gates WHERE purchase_id = $1", purchase_id
    )
    if row is None:
        raise LookupError("the gate was not locked first")
    documents = await tx.fetch(
        """
        SELECT request_version, position, name, sha256, size, parts, complete FROM documents
        WHERE purchase_id = $1 ORDER BY request_version, position
        """,
        purchase_id,
    )
    requests = await tx.fetch(
        """
        SELECT request.purchase_id, request.request_version, request.title, request.deadline, request.mode, request.snapshot,
            request.opened_at, box.seal, box.public_key, box.key_signature
        FROM requests AS request
        LEFT JOIN bid_boxes AS box USING (purchase_id, request_version)
        WHERE purchase_id = $1 ORDER BY request_version
        """,
        purchase_id,
    )
    listed = await tx.fetch(
        """
        SELECT request_version, provider_id FROM listed_providers
        WHERE purchase_id = $1 ORDER BY provider_id
        """,
        purchase_id,
    )
    qualifications = await tx.fetch(
        """
        SELECT number, snapshot, valid_until, lapses.number IS NOT NULL AS lapsed
        FROM qualifications LEFT JOIN lapses USING (purchase_id, number)
        WHERE purchase_id = $1 ORDER BY number
        """,
        purchase_id,
    )
    return Gate(
        purchase_id=purchase_id,
        cancellation_reason=row["cancellation_reason"],
        deadline_passed=row["deadline_passed_by"] is not None,
        requests=tuple(_request(one, documents, listed) for one in requests),
        qualifications=tuple(Qualification(**one) for one in qualifications),
    )


def _request(
    row: asyncpg.Record, documents: Sequence[asyncpg.Record], listed: Sequence[asyncpg.Record]
) -> Request:
    own = [one for one in documents if one["request_version"] == row["request_version"]]
    return Request(
        purchase_id=row["purchase_id"],
        version=row["request_version"],
        title=row["title"],
        deadline=row["deadline"],
        mode=row["mode"],
        snapshot=row["snapshot"],
        documents=tuple(_document(one) for one in own),
        incomplete=frozenset(one["position"] for one in own if not one["complete"]),
        provider_ids=tuple(
            one["provider_id"] for one in listed if one["request_version"] == row["request_version"]
        ),
        box=None
        if row["seal"] is None
        else BidBox(seal=row["seal"], public_key=row["public_key"], key_signature=row["key_signature"]),
        opened=row["opened_at"] is not None,
    )


def _document(row: asyncpg.Record) -> Document:
    return Document(name=row["name"], sha256=row["sha256"], size=row["size"], parts=row["parts"])
