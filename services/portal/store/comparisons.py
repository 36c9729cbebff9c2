"""Full comparisons, in the parts in which they arrive."""

from uuid import UUID

import asyncpg

from shared import documents
from shared.messages.base import Document
from shared.messages.bidding import ComparisonPart


async def keep_part(tx: asyncpg.Connection, part: ComparisonPart) -> None:
    """Keep a part."""
    await tx.execute(
        "INSERT INTO comparison_parts (purchase_id, sha256, part, manifest, data) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING",
        part.purchase_id,
        part.document.sha256,
        part.part,
        part.document.model_dump_json(),
        part.data,
    )


async def document(tx: asyncpg.Connection, purchase_id: UUID, sha256: str) -> bytes | None:
    """Return a comparison, once all its parts are there."""
    rows = await tx.fetch(
        "SELECT manifest, data FROM comparison_parts WHERE purchase_id = $1 AND sha256 = $2 ORDER BY part",
        purchase_id,
        sha256,
    )
    if not rows:
        return None
    manifest = Document.model_validate_json(rows[0]["manifest"])
    return documents.join(manifest, [row["data"] for row in rows]) if len(rows) == manifest.parts else None
