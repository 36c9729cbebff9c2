"""Documents that belong to terms, in the parts in which they arrive."""

from base64 import b64decode
from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import UUID

import asyncpg

from shared.messages.bidding import TermsDocumentPart
from shared.messages.providers import TermsDocument


async def keep_part(tx: asyncpg.Connection, part: TermsDocumentPart) -> None:
    """Keep a part."""
    await tx.execute(
        "INSERT INTO terms_parts (purchase_id, terms_sha256, part, manifest, data) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING",
        part.purchase_id,
        part.terms_sha256,
        part.part,
        part.document.model_dump_json(),
        part.data,
    )


async def count_parts(
    tx: asyncpg.Connection, purchase_id: UUID, terms_sha256: str, manifest: TermsDocument
) -> int:
    """Return how many parts of the document that belongs to these terms are here."""
    count: int = await tx.fetchval(
        "SELECT count(*) FROM terms_parts WHERE purchase_id = $1 AND terms_sha256 = $2 AND manifest = $3",
        purchase_id,
        terms_sha256,
        manifest.model_dump_json(),
    )
    return count


async def read(
    tx: asyncpg.Connection, purchase_id: UUID, terms_sha256: str, manifest: TermsDocument
) -> AsyncIterator[bytes]:
    """Yield the document that belongs to these terms, of which no more than a part is in memory.

    Raises:
        ValueError: the parts are not what the manifest describes; the last of them is not yielded then.
    """
    digest, size = sha256(), 0
    for number in range(1, manifest.parts + 1):
        data: str | None = await tx.fetchval(
            "SELECT data FROM terms_parts WHERE purchase_id = $1 AND terms_sha256 = $2 AND part = $3 AND manifest = $4",
            purchase_id,
            terms_sha256,
            number,
            manifest.model_dump_json(),
        )
        content = b64decode(data or "", validate=True)
        digest.update(content)
        size += len(content)
        is_last = number == manifest.parts
        if data is None or (is_last and (size, digest.hexdigest()) != (manifest.size, manifest.sha256)):
            raise ValueError(f"the parts of {manifest.name!r} are not what its manifest describes")
        yield content
