"""Every fact of every step is kept as it was said, so one function serves all their types."""

from uuid import UUID

from services.portal.domain.roles import concerned_by
from services.portal.handlers.streams import (
    aggregation_events,
    bidding_events,
    distribution_events,
    notification_events,
    rfp_events,
)
from services.portal.store import facts
from shared.delivery import CurrentRecord, Tx
from shared.messages import Message, registry
from shared.messages.people import PersonErased
from shared.streams import Subscription


def keep_all(subscription: Subscription) -> None:
    """Let every type of a stream be kept; `accounts` keeps the one that erases."""
    for message in registry.values():
        if message.stream == subscription.topic and message is not PersonErased:
            subscription.handle(_keeping(message))


def _keeping(model: type[Message]):  # type: ignore[no-untyped-def]  # noqa: ANN202 # a handler says its type by its annotation
    async def keep_fact(fact: model, tx: Tx, record: CurrentRecord) -> None:  # type: ignore[valid-type]
        """Keep a fact as it was said."""
        purchase_id: UUID | None = getattr(fact, "purchase_id", None)
        await facts.keep(tx, fact, record, purchase_id, concerned_by(fact))

    return keep_fact


for _stream in (aggregation_events, rfp_events, distribution_events, bidding_events, notification_events):
    keep_all(_stream)
