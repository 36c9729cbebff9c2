"""The SQL of terms that wait for their document, and of the parts that are here."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.bidding.domain.arrivals import Arrival
from shared.messages.providers import TermsDocument, TermsPartSent, TermsProposed

Connection = asyncpg.Connection


@dataclass(frozen=True)
class Waiting:
    """Terms that wait for their document: the message as it came, and until when."""

    id: UUID
    purchase_id: UUID
    provider_id: str
    message_id: str
    sha256: str
    appended_at: datetime
    body: bytes
    waits_until: datetime


async def begun(tx: Connection, purchase_ids: Collection[UUID]) -> dict[tuple[UUID, int], set[TermsDocument]]:
    """Return the documents of which parts are here, by purchase and award."""
    rows = await tx.fetch(
        "SELECT DISTINCT purchase_id, award, manifest FROM terms_parts WHERE purchase_id = ANY($1::uuid[])",
        list(purchase_ids),
    )
    found: dict[tuple[UUID, int], set[TermsDocument]] = {}
    for row in rows:
        place = (row["purchase_id"], row["award"])
        found.setdefault(place, set()).add(TermsDocument.model_validate_json(row["manifest"]))
    return found


async def add_part(tx: Connection, said: TermsPartSent) -> int:
    """Keep a part, in the place of one that came before under its number; return how many are here."""
    place = (said.purchase_id, said.award, said.document.model_dump_json())
    await tx.execute(
        "INSERT INTO terms_parts (purchase_id, award, manifest, part, data) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (purchase_id, award, manifest, part) DO UPDATE SET data = excluded.data",
        *place,
        said.part,
        said.data,
    )
    count: int = await tx.fetchval(
        "SELECT count(*) FROM terms_parts WHERE purchase_id = $1 AND award = $2 AND manifest = $3", *place
    )
    return count


async def parts_of(tx: Connection, purchase_id: UUID, award: int, document: TermsDocument) -> list[str]:
    """Return the parts of a document that are here, in order, in base64."""
    rows = await tx.fetch(
        "SELECT data FROM terms_parts WHERE purchase_id = $1 AND award = $2 AND manifest = $3 ORDER BY part",
        purchase_id,
        award,
        document.model_dump_json(),
    )
    return [row["data"] for row in rows]


async def forget_document(tx: Connection, purchase_id: UUID, award: int, document: TermsDocument) -> None:
    """Delete the parts of a document."""
    await tx.execute(
        "DELETE FROM terms_parts WHERE purchase_id = $1 AND award = $2 AND manifest = $3",
        purchase_id,
        award,
        document.model_dump_json(),
    )


async def forget_documents(tx: Connection, purchase_id: UUID) -> None:
    """Delete all parts of a purchase, of which no terms can be presented any more."""
    await tx.execute("DELETE FROM terms_parts WHERE purchase_id = $1", purchase_id)


async def let_wait(tx: Connection, arrival: Arrival, said: TermsProposed, until: datetime) -> None:
    """Keep terms until their document is here."""
    await tx.execute(
        "INSERT INTO waiting_terms (id, purchase_id, award, provider_id, message_id, type, sha256, appended_at, body, "
        "waits_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        arrival.id,
        said.purchase_id,
        said.award,
        arrival.provider_id,
        arrival.message_id,
        arrival.type,
        arrival.sha256,
        arrival.appended_at,
        arrival.body,
        until,
    )


async def waiting(
    connection: Connection | asyncpg.Pool, purchase_ids: Collection[UUID] | None = None
) -> list[Waiting]:
    """Return, by their purchases, the terms that wait: of these purchases, or all."""
    rows = await connection.fetch(
        "SELECT id, purchase_id, provider_id, message_id, sha256, appended_at, body, waits_until FROM waiting_terms "
        "WHERE $1::uuid[] IS NULL OR purchase_id = ANY($1) ORDER BY purchase_id, award",
        None if purchase_ids is None else list(purchase_ids),
    )
    return [Waiting(**row) for row in rows]


async def stop_waiting(tx: Connection, terms_id: UUID) -> None:
    """Take terms that get their answer out of those that wait."""
    await tx.execute("DELETE FROM waiting_terms WHERE id = $1", terms_id)
