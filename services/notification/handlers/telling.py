"""A fact is kept, and every fact that waits is told once the last missing piece has arrived."""

from dataclasses import replace
from uuid import UUID

import asyncpg

from services.notification.domain.comparison import Comparison
from services.notification.domain.known import Fact, Known
from services.notification.domain.telling import in_order_of_telling, tell
from services.notification.store import facts as store
from services.notification.store.mails import add_mails
from shared import documents
from shared.messages.base import AboutPurchase
from shared.outbox import Outgoing, Publisher


async def keep_and_tell(event: AboutPurchase, tx: asyncpg.Connection, publish: Publisher) -> None:
    """Keep a fact, and tell whatever is complete now."""
    await store.lock_purchase(tx, event.purchase_id)
    await store.add_fact(tx, event.purchase_id, Fact(publish.cause, event))
    await tell_what_can_be_told(tx, publish, event.purchase_id)


async def tell_what_can_be_told(tx: asyncpg.Connection, publish: Publisher, purchase_id: UUID) -> None:
    """Tell every waiting fact whose last missing piece has arrived.

    Ids derive from the fact and not from the piece that completed it: another order of arrival says the same.
    """
    facts = await store.untold_facts(tx, purchase_id)
    if not facts:
        return
    known = await _known(tx, purchase_id)
    for fact in in_order_of_telling(facts):
        told = tell(fact, known)
        if told is None:
            continue
        await publish.many(
            [Outgoing(notice, fact.cause_id, provider_id) for provider_id, notice in told.notices]
        )
        await add_mails(tx, told.mails, publish.now)
        await store.set_told(tx, fact.cause_id, publish.now)
        known = replace(known, awards_told=await store.awards_told(tx, purchase_id))


async def _known(tx: asyncpg.Connection, purchase_id: UUID) -> Known:
    purchase = await store.lock_purchase(tx, purchase_id)
    complete = await store.complete_comparisons(tx, purchase_id)
    return Known(
        purchase_id=purchase_id,
        coordinator_id=purchase.coordinator_id,
        member_ids=purchase.member_ids,
        present=await store.present(tx, purchase_id),
        needed=purchase.needed,
        buyers=await store.buyers(tx, purchase_id),
        requests=await store.requests(tx, purchase_id),
        comparisons={
            manifest.sha256: Comparison.model_validate_json(documents.join(manifest, parts))
            for manifest, parts in complete
        },
        awards_told=await store.awards_told(tx, purchase_id),
        invitations=await store.invitations(tx, purchase_id),
        opened=await store.replies_opened(tx, purchase_id),
    )
