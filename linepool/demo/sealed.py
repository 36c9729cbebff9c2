"""Part 3, second half: what an operator with all rights can read of the replies before the deadline, and when they are opened."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from linepool.client.journal import Entry, read_all
from linepool.demo.stage import Stage
from linepool.demo.story import Sealed
from linepool.demo.telling import ClaimError
from linepool.demo.waiting import PATIENCE
from shared.messages.providers import Offer, ReplySubmitted
from shared.messages.rfp import DeadlinePassed

SCHEMAS = ("bidding", "opener")
"""Whatever bidding and the opener keep."""
_EXCERPT = 64


@dataclass(frozen=True)
class Looked:
    """What was found before the box was opened."""

    at: datetime
    sealed: tuple[str, ...]
    """The boxes around the offers, in base64."""
    readable: tuple[bytes, ...]
    """What was searched for: what would stand wherever an offer could be read."""
    records: int
    values: int


async def look_at_sealed_replies(stage: Stage, offers: Mapping[str, Offer]) -> Looked:
    """Read the providers' topics and the database with every right, and find no offer in them."""
    tell = stage.tell
    topics = [f"replies.{pid}" for pid in offers]
    entries = await read_all(stage.connection(stage.stack.admin), topics, within=PATIENCE)
    values = await _values(stage)
    at = datetime.now(UTC)
    if any(one.says(DeadlinePassed, stage.purchase_id) for one in stage.watcher.journal.entries):
        raise ClaimError(
            "the deadline passed before the sealed replies were looked at; --reply-seconds gives more time"
        )
    replies = [one.message for one in entries if isinstance(one.message, ReplySubmitted)]
    sealed = tuple(one.sealed_offer for one in replies if one.sealed_offer)
    tell.say(f"All that the broker has of the first offer: {sealed[0][:_EXCERPT] if sealed else ''}...")
    texts = tuple(part for offer in offers.values() for part in _readable(offer))
    tell.claim(
        f"with every right at Kafka the {len(sealed)} offers are ciphertext, {sum(map(len, sealed)):,} characters of it; "
        f"none can be read in the {len(entries)} messages of their providers",
        holds=len(sealed) == len(offers)
        and all(one.offer is None for one in replies)
        and not any(text in said for text in texts for entry in entries for said in _bytes_of(entry)),
    )
    tell.claim(
        f"with every right in the database none can be read in any of the {len(values):,} values that bidding and the "
        "opener keep; the ciphertext is found there",
        holds=not any(text in value for text in texts for value in values)
        and all(any(box.encode() in value for value in values) for box in sealed),
    )
    return Looked(at, sealed, texts, len(entries), len(values))


async def tell_of_opening(stage: Stage, looked: Looked, deadline: datetime) -> Sealed:
    """Tell when the opener opened the box; no reply was opened before."""
    tell = stage.tell
    connection = await asyncpg.connect(stage.stack.admin_dsn)
    try:
        row = await connection.fetchrow(
            "SELECT opened_at, replies FROM opener.opened_boxes WHERE purchase_id = $1",
            stage.purchase_id,
        )
    finally:
        await connection.close()
    if row is None:
        raise ClaimError("the opener has not opened the box, though its replies are compared")
    opened_at: datetime = row["opened_at"]
    tell.step(
        "The opener has opened the box",
        f"At {opened_at:%H:%M:%S} UTC, {(opened_at - deadline).total_seconds():.1f} s after the deadline.",
    )
    tell.claim(
        f"the box was opened after the deadline, and what an operator could read was looked at before that, at "
        f"{looked.at:%H:%M:%S} UTC",
        holds=looked.at < opened_at and deadline < opened_at and row["replies"] == len(looked.sealed),
    )
    values = await _values(stage)
    tell.claim(
        "the same search finds every offer in the opener's table, now that the box is opened",
        holds=all(any(text in value for value in values) for text in looked.readable),
    )
    tell.claim(
        "what the opener has opened it cannot take back: the database refuses its role to delete any of it",
        holds=await _cannot_change(stage),
    )
    return Sealed(
        looked_at=looked.at,
        replies=len(looked.sealed),
        excerpt=looked.sealed[0][:_EXCERPT],
        characters=sum(map(len, looked.sealed)),
        records=looked.records,
        values=looked.values,
        deadline=deadline,
        opened_at=opened_at,
    )


async def _cannot_change(stage: Stage) -> bool:
    """Try to delete with the opener's role what it has opened; say whether the database refused."""
    connection = await asyncpg.connect(stage.stack.dsn("opener"))
    try:
        await connection.execute("DELETE FROM opener.openings")
    except asyncpg.RestrictViolationError:
        return True
    finally:
        await connection.close()
    return False


def _readable(offer: Offer) -> Iterator[bytes]:
    """What would stand in any place where this offer could be read: its name, and its components as JSON."""
    yield offer.name.encode()
    for component in offer.components:
        yield component.model_dump_json(exclude_none=True).encode()


def _bytes_of(entry: Entry) -> Iterator[bytes]:
    yield entry.key or b""
    yield entry.body or b""
    for _, value in entry.headers:
        yield value or b""


async def _values(stage: Stage) -> list[bytes]:
    """Return every value of every row that bidding and the opener keep."""
    connection = await asyncpg.connect(stage.stack.admin_dsn)
    try:
        tables = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", SCHEMAS
        )
        return [
            value if isinstance(value, bytes) else str(value).encode()
            for schema, table in tables
            for row in await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
            for value in row.values()
        ]
    finally:
        await connection.close()
