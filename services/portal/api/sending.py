"""Sending an order, and waiting for what it leads to."""

import asyncio
import json
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
from fastapi import Header, Response
from pydantic import BaseModel

from services.portal.api.asking import Portal
from services.portal.api.problems import Problem
from services.portal.domain.facts import Fact
from services.portal.store import facts, orders
from services.portal.store.orders import SentOrder, note
from shared.envelope import Actor, derived_id
from shared.messages import Order, OrderRefused
from shared.outbox import send_order

SOURCE = "/linepool/portal"
_LOOK_EVERY_S = 0.1

IdempotencyKey = Annotated[str | None, Header(max_length=200)]
Prefer = Annotated[str | None, Header(max_length=200)]


class Led(BaseModel):
    """A fact that an order led to."""

    type: str
    said_at: datetime
    body: dict[str, Any]


class Outcome(BaseModel):
    """What came of an order so far; none yet: look again at `/v1/orders/{order_id}`."""

    order_id: UUID
    facts: list[Led]


async def send(
    portal: Portal, db: asyncpg.Connection, order: Order, actor: Actor, *, key: str | None = None
) -> UUID:
    """Send an order beside what the transaction does; return its id.

    The same key of the same person is the same order, sent once; with other content it is refused.
    """
    sent = SentOrder(
        order_id=derived_id("order", actor.person_id, key) if key else uuid4(),
        person_id=actor.person_id,
        purchase_id=getattr(order, "purchase_id", None),
        type=order.type(),
        body_sha256=sha256(order.to_bytes()).hexdigest(),
        sent_at=datetime.now(UTC),
    )
    if await note(db, sent):
        await send_order(
            db,
            portal.settings.topic_prefix,
            order,
            id=sent.order_id,
            actor=actor,
            source=SOURCE,
            time=sent.sent_at,
        )
        return sent.order_id
    noted = await orders.find(db, sent.order_id)
    if noted is None or (noted.type, noted.body_sha256) != (sent.type, sent.body_sha256):
        raise Problem(409, "key_reused", "This idempotency key was used for another order.")
    return sent.order_id


async def sent_and_answered(
    portal: Portal,
    order: Order,
    actor: Actor,
    response: Response,
    *,
    key: str | None = None,
    prefer: str | None = None,
) -> Outcome:
    """Send an order, and wait a while for what it leads to; with `Prefer: respond-async` not at all."""
    async with portal.transaction() as tx:
        order_id = await send(portal, tx, order, actor, key=key)
    return await answered(portal, order_id, response, prefer=prefer)


async def answered(
    portal: Portal, order_id: UUID, response: Response, *, prefer: str | None = None
) -> Outcome:
    """Wait a while for what an order that was sent leads to; with `Prefer: respond-async` not at all."""
    portal.wiring.running().wake()
    wait = 0.0 if prefer and "respond-async" in prefer else portal.settings.order_wait_s
    until = monotonic() + wait
    while True:
        led = await facts.caused_by(portal.db, order_id)
        sent = None if led else await orders.find(portal.db, order_id)
        obeyed = sent is not None and sent.obeyed_at is not None
        if led or obeyed or monotonic() >= until:
            return outcome(order_id, led, response, obeyed=obeyed)
        await asyncio.sleep(_LOOK_EVERY_S)


def outcome(order_id: UUID, led: list[Fact], response: Response, *, obeyed: bool) -> Outcome:
    """Return what an order led to, or answer 409 where it was refused; `obeyed`: by a word that is no fact to be shown."""
    for fact in led:
        if isinstance(fact.message, OrderRefused):
            raise Problem(409, fact.message.reason, fact.message.detail, order_id=str(order_id))
    if not led and not obeyed:
        response.status_code = 202
        response.headers["Location"] = f"/v1/orders/{order_id}"
    return Outcome(
        order_id=order_id,
        facts=[
            Led(type=one.type, said_at=one.said_at, body=json.loads(one.message.model_dump_json()))
            for one in led
        ],
    )
