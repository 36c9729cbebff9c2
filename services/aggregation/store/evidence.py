"""Every statement of the aggregation service about documents that are filed, and about letters of agency."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from services.aggregation.domain.evidence import Filed, Filing, Mandate
from shared.messages.base import Document
from shared.messages.evidence import Agency


async def filed(tx: asyncpg.Connection, filing: Filing) -> dict[tuple[str, str], Filed]:
    """Return what was filed or begun about the same party, by kind and name."""
    rows = await tx.fetch(
        "SELECT kind, name, sha256, size, parts, about, complete FROM documents "
        "WHERE purchase_id = $1 AND party = $2 AND party_id = $3",
        filing.purchase_id,
        filing.party,
        filing.party_id,
    )
    return {
        (row["kind"], row["name"]): Filed(
            Document(name=row["name"], sha256=row["sha256"], size=row["size"], parts=row["parts"]),
            _mandate(row["about"]),
            row["complete"],
        )
        for row in rows
    }


async def add_part(tx: asyncpg.Connection, filing: Filing) -> None:
    """Keep a part. Where the document was begun with another manifest or mandate, it begins anew."""
    document = filing.document
    begun_anew = await tx.fetchval(
        "INSERT INTO documents AS begun (purchase_id, party, party_id, kind, name, sha256, size, parts, about) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (purchase_id, party, party_id, kind, name) DO UPDATE "
        "SET sha256 = excluded.sha256, size = excluded.size, parts = excluded.parts, about = excluded.about, "
        "complete = false WHERE (begun.sha256, begun.size, begun.parts, begun.about) "
        "IS DISTINCT FROM (excluded.sha256, excluded.size, excluded.parts, excluded.about) RETURNING true",
        *_place(filing),
        document.sha256,
        document.size,
        document.parts,
        _about(filing.mandate),
    )
    if begun_anew:
        await forget_parts(tx, filing)
    await tx.execute(
        "INSERT INTO document_parts (purchase_id, party, party_id, kind, name, part, data) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) "
        "ON CONFLICT (purchase_id, party, party_id, kind, name, part) DO UPDATE SET data = excluded.data",
        *_place(filing),
        filing.part,
        filing.data,
    )


async def count_parts(tx: asyncpg.Connection, filing: Filing) -> int:
    """Return how many parts of the document are here."""
    count: int = await tx.fetchval(
        "SELECT count(*) FROM document_parts "
        "WHERE purchase_id = $1 AND party = $2 AND party_id = $3 AND kind = $4 AND name = $5",
        *_place(filing),
    )
    return count


async def parts_of(tx: asyncpg.Connection, filing: Filing) -> list[str]:
    """Return the parts of the document that are here, in order, in base64."""
    rows = await tx.fetch(
        "SELECT data FROM document_parts "
        "WHERE purchase_id = $1 AND party = $2 AND party_id = $3 AND kind = $4 AND name = $5 ORDER BY part",
        *_place(filing),
    )
    return [row["data"] for row in rows]


async def forget_parts(tx: asyncpg.Connection, filing: Filing) -> None:
    """Delete the document's parts: they are sent anew, or stand on `aggregation.evidence` now."""
    await tx.execute(
        "DELETE FROM document_parts "
        "WHERE purchase_id = $1 AND party = $2 AND party_id = $3 AND kind = $4 AND name = $5",
        *_place(filing),
    )


async def complete(tx: asyncpg.Connection, filing: Filing) -> None:
    """Keep that the document is whole."""
    await tx.execute(
        "UPDATE documents SET complete = true "
        "WHERE purchase_id = $1 AND party = $2 AND party_id = $3 AND kind = $4 AND name = $5",
        *_place(filing),
    )


async def keep_letter(tx: asyncpg.Connection, filing: Filing, agency: Agency) -> None:
    """Let a letter count for its buyer, in the place of an older one, which may be filed anew."""
    await tx.execute(
        "DELETE FROM documents WHERE purchase_id = $1 AND party = $2 AND party_id = $3 AND kind = $4 AND name <> $5 "
        "AND complete",
        *_place(filing),
    )
    await tx.execute(
        "INSERT INTO letters (purchase_id, buyer_id, agency, sha256) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (purchase_id, buyer_id) DO UPDATE SET agency = excluded.agency, sha256 = excluded.sha256",
        filing.purchase_id,
        filing.party_id,
        agency.model_dump_json(),
        filing.document.sha256,
    )


async def letters(tx: asyncpg.Connection, purchase_id: UUID) -> dict[UUID, Agency]:
    """Return the letters that count, by buyer."""
    rows = await tx.fetch("SELECT buyer_id, agency FROM letters WHERE purchase_id = $1", purchase_id)
    return {row["buyer_id"]: Agency.model_validate_json(row["agency"]) for row in rows}


async def services_used(tx: asyncpg.Connection, purchase_id: UUID) -> Mapping[UUID, set[str]]:
    """Return the services that each report that counts names, by buyer."""
    rows = await tx.fetch(
        "SELECT DISTINCT r.buyer_id, use ->> 'service' AS service "
        "FROM reports r JOIN usage_lines l USING (purchase_id, report_id), jsonb_array_elements(l.usage -> 'services') AS use "
        "WHERE r.purchase_id = $1 AND r.state = 'counts'",
        purchase_id,
    )
    used: dict[UUID, set[str]] = defaultdict(set)
    for row in rows:
        used[row["buyer_id"]].add(row["service"])
    return used


def _place(filing: Filing) -> tuple[Any, ...]:
    return (filing.purchase_id, filing.party, filing.party_id, filing.kind, filing.document.name)


def _about(mandate: Mandate | None) -> str | None:
    if mandate is None:
        return None
    return json.dumps({"agency": mandate.agency.model_dump(mode="json"), "signer": mandate.signer})


def _mandate(about: str | None) -> Mandate | None:
    if about is None:
        return None
    found = json.loads(about)
    # From JSON: a list is a tuple there, and a date is text.
    return Mandate(Agency.model_validate_json(json.dumps(found["agency"])), found["signer"])
