"""Orders about a purchase: one path each, made from the contract, answered with what came of them."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Response
from pydantic import ValidationError

from services.portal.api.asking import Db, InPurchase, Look, Portal, SignedIn, ThePortal
from services.portal.api.problems import Problem, invalid
from services.portal.api.sending import IdempotencyKey, Outcome, Prefer, outcome, sent_and_answered
from services.portal.domain.orders import actor_for, needs_spent_password, orders_about_purchases, premature
from services.portal.store import credentials, facts, orders
from shared.envelope import Actor
from shared.messages import Command
from shared.outcomes import Refusal

router = APIRouter(prefix="/v1")


@router.get("/orders/{order_id}")
async def order_outcome(order_id: UUID, session: SignedIn, db: Db, response: Response) -> Outcome:
    """What came of an order of one's own."""
    sent = await orders.find(db, order_id)
    if sent is None or sent.person_id != session.person_id:
        raise Problem(404, "order_unknown", "You have sent no such order.")
    led = await facts.caused_by(db, order_id)
    return outcome(order_id, led, response, obeyed=sent.obeyed_at is not None)


def read_order(model: type[Command], look: Look, body: dict[str, Any]) -> Command:
    """Return the order that a body is, about the purchase that the path names, or answer 422."""
    try:
        return model.model_validate_json(json.dumps({**body, "purchase_id": str(look.purchase_id)}))
    except ValidationError as error:
        raise invalid(error) from None


async def allowed(portal: Portal, look: Look, order: Command) -> Actor:
    """Return as who the order is given, or answer 403."""
    actor = actor_for(order, look.standing)
    if isinstance(actor, Refusal):
        raise Problem(403, actor.reason, actor.detail)
    spent = not needs_spent_password(order) or await credentials.has_spent(
        portal.db, actor.person_id, look.purchase_id
    )
    if not spent:
        raise Problem(
            403,
            "initial_password_unspent",
            "Sign in once with this group's initial password first; it was mailed to you.",
        )
    return actor


def _way_in(model: type[Command]) -> Callable[..., Awaitable[Outcome]]:
    async def give_order(
        look: InPurchase,
        portal: ThePortal,
        response: Response,
        body: Annotated[dict[str, Any], Body()],
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Outcome:
        order = read_order(model, look, body)
        actor = await allowed(portal, look, order)
        if refused := premature(order, look.facts):
            raise Problem(409, refused.reason, refused.detail)
        return await sent_and_answered(portal, order, actor, response, key=idempotency_key, prefer=prefer)

    return give_order


for _name, _model in orders_about_purchases().items():
    router.add_api_route(
        f"/purchases/{{purchase_id}}/{_name}",
        _way_in(_model),
        methods=["POST"],
        name=_name,
        summary=(_model.__doc__ or "").strip(),
        operation_id=_name,
    )
