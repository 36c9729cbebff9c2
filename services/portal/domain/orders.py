"""Which orders people may send through the portal, in which role, and on whose behalf."""

from collections.abc import Sequence
from typing import get_args
from uuid import UUID

from services.portal.domain.facts import Fact, newest
from services.portal.domain.roles import Standing
from shared.envelope import Actor
from shared.messages import Command, Order, registry
from shared.messages.aggregation import AddBuyer, CloseGroup, OpenGroup
from shared.messages.base import Role
from shared.messages.bidding import AcceptTerms, ReleaseCustodianKey, SelectReply
from shared.messages.people import InviteBuyer, JoinGroup, SpendPassword
from shared.messages.rfp import DeadlinePassed, IssueRequest, RequestIssued
from shared.outcomes import Refusal
from shared.sealing import public_key_b64, read_private_key

STREAMS = frozenset({"aggregation.commands", "rfp.commands", "bidding.commands"})
CHECKED_APART: frozenset[type[Order]] = frozenset(
    {AddBuyer, OpenGroup, InviteBuyer, JoinGroup, SpendPassword}
)
"""Orders with a way in of their own, because the portal checks a secret first or fills in who a person is."""


def orders_about_purchases() -> dict[str, type[Command]]:
    """Return the orders that people send about a purchase, by their names in a path, such as `close-group`."""
    return {
        message.type().removeprefix("linepool.").removesuffix(f".v{message.version}"): message
        for message in registry.values()
        if issubclass(message, Command) and message.stream in STREAMS and message not in CHECKED_APART
    }


def needs_spent_password(order: Command) -> bool:
    """Whether the coordinator must first have spent the group's initial password."""
    return isinstance(order, CloseGroup | IssueRequest | SelectReply | AcceptTerms)


def premature(order: Command, facts: Sequence[Fact]) -> Refusal | None:
    """Refuse what must not even be sent: a released key stands on a topic for days, and before the deadline on none."""
    if not isinstance(order, ReleaseCustodianKey):
        return None
    issued = newest(facts, RequestIssued)
    if issued is None or issued.custodian is None:
        return Refusal("no_custodian", "The request names no custodian.")
    if newest(facts, DeadlinePassed) is None:
        return Refusal("too_early", "The deadline has not passed; the key was not kept.")
    if public_key_b64(read_private_key(order.private_key)) != issued.custodian.public_key:
        return Refusal("wrong_key", "It is not the key of the request's custodian.")
    return None


def actor_for(order: Command, standing: Standing) -> Actor | Refusal:
    """Return as who this person may give the order: as themselves, or as the coordinator on a buyer's behalf."""
    allowed = order.roles & standing.roles
    buyer_id: UUID | None = getattr(order, "buyer_id", None)
    if "member" in allowed and (buyer_id is None or buyer_id in standing.buyer_ids):
        role: Role = "member" if "coordinator" not in allowed or buyer_id is not None else "coordinator"
        return Actor(person_id=standing.person_id, role=role)
    for role in get_args(Role):
        if role in allowed and role != "member":
            behalf = buyer_id if "member" in order.roles else None
            return Actor(person_id=standing.person_id, role=role, on_behalf_of=behalf)
    return Refusal("role_not_allowed", "Your role in this purchase does not let you give this order.")
