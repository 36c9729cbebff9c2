"""Facts, as they were said."""

from collections.abc import Collection
from uuid import UUID

import asyncpg

from services.portal.domain import facts as domain
from services.portal.domain.facts import Fact, M
from shared.messages import Message
from shared.messages.people import PersonErased
from shared.record import Record

_COLUMNS = "event_id, number, stream, type, said_at, caused_by, ordered_by, body"


async def keep(
    tx: asyncpg.Connection,
    message: Message,
    record: Record,
    purchase_id: UUID | None,
    concerned: Collection[UUID],
) -> None:
    """Keep a fact; one that is kept already stays as it is."""
    if await tx.fetchval("SELECT true FROM facts WHERE event_id = $1", record.cause):
        return
    number = None
    if purchase_id is not None:
        number = await tx.fetchval(
            "INSERT INTO purchases AS p (purchase_id, facts) VALUES ($1, 1) "
            "ON CONFLICT (purchase_id) DO UPDATE SET facts = p.facts + 1 RETURNING facts",
            purchase_id,
        )
        await tx.executemany(
            "INSERT INTO concerned (person_id, purchase_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(person_id, purchase_id) for person_id in concerned],
        )
    await tx.execute(
        "INSERT INTO facts (event_id, purchase_id, number, stream, type, subject, said_at, caused_by, ordered_by, body) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        record.cause,
        purchase_id,
        number,
        message.stream,
        message.type(),
        message.subject,
        record.received.time or record.appended_at,
        record.received.causation_id,
        record.received.actor_id,
        message.model_dump_json(),
    )


async def is_erased(tx: asyncpg.Connection, person_id: UUID) -> bool:
    """Whether a person was erased."""
    erased: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM facts WHERE purchase_id IS NULL AND stream = $1 AND subject = $2 AND type = $3)",
        PersonErased.stream,
        str(person_id),
        PersonErased.type(),
    )
    return erased


async def of_purchase(tx: asyncpg.Connection, purchase_id: UUID, *, after: int = 0) -> list[Fact]:
    """Return the facts of a purchase with numbers above `after`, in their order."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM facts WHERE purchase_id = $1 AND number > $2 ORDER BY number",
        purchase_id,
        after,
    )
    return [_fact(row) for row in rows]


async def newest_about_others(tx: asyncpg.Connection, model: type[M]) -> list[M]:
    """Return the newest fact of a type about each subject that is no purchase, such as a provider."""
    rows = await tx.fetch(
        "SELECT DISTINCT ON (subject) body FROM facts WHERE purchase_id IS NULL AND stream = $1 AND type = $2 "
        "ORDER BY subject, said_at DESC",
        model.stream,
        model.type(),
    )
    return [model.model_validate_json(row["body"]) for row in rows]


async def caused_by(tx: asyncpg.Connection, order_id: UUID) -> list[Fact]:
    """Return what an order led to."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM facts WHERE caused_by = $1 ORDER BY number, said_at", order_id
    )
    return [_fact(row) for row in rows]


async def purchases_of(tx: asyncpg.Connection, person_id: UUID) -> list[UUID]:
    """Return the purchases that a person has ever had to do with."""
    rows = await tx.fetch("SELECT purchase_id FROM concerned WHERE person_id = $1 ORDER BY 1", person_id)
    return [row["purchase_id"] for row in rows]


def _fact(row: asyncpg.Record) -> Fact:
    return Fact(
        event_id=row["event_id"],
        number=row["number"],
        stream=row["stream"],
        type=row["type"],
        said_at=row["said_at"],
        caused_by=row["caused_by"],
        ordered_by=row["ordered_by"],
        message=domain.read(row["type"], row["body"]),
    )
