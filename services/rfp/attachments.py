"""Documents that the coordinator adds to the draft: what may be attached, and every statement about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from services.rfp import domain
from services.rfp.content import CONTENT, USAGE_LINES
from services.rfp.domain import Repeated, Request
from shared.documents import join, unfit
from shared.messages.base import Document
from shared.messages.rfp import AttachDocument, DocumentAttached
from shared.outcomes import NotYet, Refusal

MOST = 20
"""A request has at most so many attachments."""


@dataclass(frozen=True)
class Attachment:
    """A document that was begun; `complete` once all its parts are there and have its hash."""

    document: Document
    complete: bool


def may_attach(
    request: Request, command: AttachDocument, attached: Mapping[str, Attachment]
) -> Refusal | NotYet | Repeated | None:
    """Decide whether a part of a document can be added to the draft.

    A document of which parts are missing may be begun anew with other content; a complete one stays as it is.

    Args:
        request: it must not be issued yet.
        command: the part, with the manifest of its document.
        attached: what was attached or begun before, by name.
    """
    state = domain.move(request, "attach")
    if isinstance(state, Refusal | NotYet):
        return state
    before = attached.get(command.document.name)
    if before == Attachment(command.document, complete=True):
        return Repeated()
    return unfit(command.document, command.part, command.data) or _unfit_name(command, attached)


def _unfit_name(command: AttachDocument, attached: Mapping[str, Attachment]) -> Refusal | None:
    document, before = command.document, attached.get(command.document.name)
    if document.name in {CONTENT, USAGE_LINES} or (before is not None and before.complete):
        return Refusal("name_taken", "The request has another document of this name.")
    if before is None and len(attached) >= MOST:
        return Refusal("too_many_documents", f"A request has at most {MOST} attachments.")
    return None


async def add(tx: asyncpg.Connection, command: AttachDocument) -> DocumentAttached | Refusal | None:
    """Keep a part that may be attached; return what the last one leads to.

    A document that turns out to be another than its manifest says loses all its parts, so that it can be sent anew.
    """
    document, place = command.document, (command.purchase_id, command.document.name)
    await _add_part(tx, command)
    if await _count_parts(tx, *place) < document.parts:
        return None
    try:
        join(document, await parts_of(tx, *place))
    except ValueError:
        await _forget_parts(tx, *place)
        return Refusal(
            "hash_wrong", "All parts together have another hash than the document. Send them anew."
        )
    await _complete(tx, *place)
    return DocumentAttached(purchase_id=command.purchase_id, document=document)


async def attachments(tx: asyncpg.Connection, purchase_id: UUID) -> dict[str, Attachment]:
    """Return what was attached or begun, by name, in the order in which it was begun."""
    rows = await tx.fetch(
        "SELECT name, sha256, size, parts, complete FROM attachments WHERE purchase_id = $1 ORDER BY number",
        purchase_id,
    )
    return {
        row["name"]: Attachment(
            Document(name=row["name"], sha256=row["sha256"], size=row["size"], parts=row["parts"]),
            row["complete"],
        )
        for row in rows
    }


async def _add_part(tx: asyncpg.Connection, command: AttachDocument) -> None:
    """Keep a part. Where the document was begun with another manifest, it begins anew."""
    document = command.document
    begun_anew = await tx.fetchval(
        "INSERT INTO attachments AS begun (purchase_id, name, sha256, size, parts) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (purchase_id, name) DO UPDATE "
        "SET sha256 = excluded.sha256, size = excluded.size, parts = excluded.parts "
        "WHERE (begun.sha256, begun.size, begun.parts) <> (excluded.sha256, excluded.size, excluded.parts) "
        "RETURNING true",
        command.purchase_id,
        document.name,
        document.sha256,
        document.size,
        document.parts,
    )
    if begun_anew:
        await _forget_parts(tx, command.purchase_id, document.name)
    await tx.execute(
        "INSERT INTO attachment_parts (purchase_id, name, part, data) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (purchase_id, name, part) DO UPDATE SET data = excluded.data",
        command.purchase_id,
        document.name,
        command.part,
        command.data,
    )


async def _count_parts(tx: asyncpg.Connection, purchase_id: UUID, name: str) -> int:
    """Return how many parts of a document are here."""
    count: int = await tx.fetchval(
        "SELECT count(*) FROM attachment_parts WHERE purchase_id = $1 AND name = $2", purchase_id, name
    )
    return count


async def parts_of(tx: asyncpg.Connection, purchase_id: UUID, name: str) -> list[str]:
    """Return the parts of a document that are here, in order, in base64."""
    rows = await tx.fetch(
        "SELECT data FROM attachment_parts WHERE purchase_id = $1 AND name = $2 ORDER BY part",
        purchase_id,
        name,
    )
    return [row["data"] for row in rows]


async def _forget_parts(tx: asyncpg.Connection, purchase_id: UUID, name: str) -> None:
    """Delete the parts of a document, which are sent anew."""
    await tx.execute("DELETE FROM attachment_parts WHERE purchase_id = $1 AND name = $2", purchase_id, name)


async def _complete(tx: asyncpg.Connection, purchase_id: UUID, name: str) -> None:
    """Keep that a document is whole."""
    await tx.execute(
        "UPDATE attachments SET complete = true WHERE purchase_id = $1 AND name = $2", purchase_id, name
    )
