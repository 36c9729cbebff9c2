"""After a restore: answers and checkpoints that were said before, and are not known any more, stand as they were said."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import asyncpg

from linepool.receipts.chain import Head
from linepool.receipts.checkpoint import grow
from services.bidding.domain.arrivals import Answered, Arrival
from services.bidding.domain.intake import AwardOf
from services.bidding.store import boxes as box_store
from services.bidding.store import chains as chain_store
from services.bidding.store import checkpoints as checkpoint_store
from services.bidding.store.checkpoints import CheckpointId, Published
from shared.adoption import AdoptedEvent, Adoptions
from shared.messages import registry
from shared.messages.base import OrderRefused
from shared.messages.bidding import (
    BiddingEvent,
    CheckpointPublished,
    MessageRejected,
    ProviderSelected,
    ReceiptIssued,
    TermsRejected,
)
from shared.postgres import connect
from shared.runtime import Runtime

ANSWERS = {message.type(): message for message in (ReceiptIssued, MessageRejected)}
NOTICES = "notices."
MAKES_ROOM = {message.type(): message for message in (ProviderSelected, TermsRejected)}
REFUSALS = frozenset(type_ for type_, message in registry.items() if issubclass(message, OrderRefused))


def answered_before(adoptions: Adoptions, arrivals: Iterable[Arrival]) -> dict[UUID, Answered]:
    """Return those of these messages that were answered before the database was restored, each with that answer."""
    if not adoptions.events:
        return {}
    return {
        arrival.id: Answered.as_said(
            arrival.id, arrival.provider_id, arrival.type, dict(notice), _head(notice)
        )
        for arrival in arrivals
        for event in adoptions.of_decision(arrival.id)
        if (notice := _answer(event)) is not None and notice.sha256 == arrival.sha256
    }


async def not_said_again(
    tx: asyncpg.Connection, adoptions: Adoptions, purchase_ids: Iterable[UUID]
) -> list[AdoptedEvent]:
    """Return what was said of these purchases before the database was restored, and is not in the log again; no refusals."""
    subjects = {str(one) for one in purchase_ids}
    said = [
        one
        for one in adoptions.events.values()
        if one.stream == BiddingEvent.stream and one.subject in subjects and one.type not in REFUSALS
    ]
    logged = await box_store.logged(tx, [one.event_id for one in said]) if said else set()
    return [one for one in said if one.event_id not in logged]


async def orders_to_come(
    tx: asyncpg.Connection, adoptions: Adoptions, purchase_ids: Iterable[UUID]
) -> set[AwardOf]:
    """Return the awards of which an order made room for terms before the database was restored, and is to do so again."""
    return {
        (UUID(one.subject), said.award, said.provider_id)
        for one in await not_said_again(tx, adoptions, purchase_ids)
        if (type_ := MAKES_ROOM.get(one.type)) is not None and (said := type_.model_validate_json(one.body))
    }


async def take_over_what_was_said(runtime: Runtime) -> None:
    """Let each chain go on after the last answer that was said, and each purchase after its last checkpoint."""
    by_provider = _by_provider(runtime.adoptions)
    if not by_provider:
        return
    async with connect(runtime.pool) as tx, tx.transaction():
        known = await checkpoint_store.known(tx)
        said = {
            (one.purchase_id, one.number): one
            for events in by_provider.values()
            for one in map(_checkpoint, events)
            if one is not None and (one.purchase_id, one.number) not in known
        }
        boxes = await box_store.lock_boxes(tx, [purchase for purchase, _ in said], exclusively=False)
        listed = {id_: box.request.provider_ids for id_, box in boxes.items() if box.request}
        heads = await chain_store.lock_chains(
            tx, {*by_provider, *(one for ids in listed.values() for one in ids)}
        )
        under: dict[CheckpointId, dict[str, Head]] = {id_: {} for id_ in said}
        for provider_id, events in by_provider.items():
            for event in events:
                heads[provider_id] = _later(heads[provider_id], event)
                checkpoint = _checkpoint(event)
                if checkpoint is not None and (checkpoint.purchase_id, checkpoint.number) in said:
                    # A topic has everything in the order in which it was decided: so far the chain went then.
                    under[checkpoint.purchase_id, checkpoint.number][provider_id] = heads[provider_id]
        await chain_store.move_chains(tx, heads)
        for id_, checkpoint in sorted(said.items()):
            not_told = listed.get(id_[0], frozenset()) - under[id_].keys()
            await _take_over(
                runtime, tx, checkpoint, under[id_] | {provider: heads[provider] for provider in not_told}
            )


async def _take_over(
    runtime: Runtime, tx: asyncpg.Connection, said: CheckpointPublished, heads: Mapping[str, Head]
) -> None:
    tree = grow(runtime.settings.secret.get_secret_value(), said.purchase_id, said.number, heads)
    is_whole = tree.root.hex() == said.root
    if not is_whole:
        # Who else was listed, or an answer before it, was lost with the database: nobody can be given a proof.
        runtime.metrics.alarm("checkpoint_not_provable", purchase=said.purchase_id, number=said.number)
    await checkpoint_store.add(
        tx,
        Published(
            said.purchase_id,
            said.number,
            said.made_at,
            bytes.fromhex(said.root),
            heads if is_whole else None,
            adopted=True,
        ),
    )


def _by_provider(adoptions: Adoptions) -> dict[str, list[AdoptedEvent]]:
    """Return the adopted notices of each provider, in the order of its topic."""
    found: dict[str, list[AdoptedEvent]] = {}
    for event in sorted(adoptions.events.values(), key=lambda one: one.sequence):
        if event.stream.startswith(NOTICES):
            found.setdefault(event.stream.removeprefix(NOTICES), []).append(event)
    return dict(sorted(found.items()))


def _answer(event: AdoptedEvent) -> ReceiptIssued | MessageRejected | None:
    type_ = ANSWERS.get(event.type)
    return None if type_ is None else type_.model_validate_json(event.body)


def _checkpoint(event: AdoptedEvent) -> CheckpointPublished | None:
    is_one = event.type == CheckpointPublished.type()
    return CheckpointPublished.model_validate_json(event.body) if is_one else None


def _later(head: Head, event: AdoptedEvent) -> Head:
    """Return where the chain ends after this notice; a repeated answer moves nothing."""
    notice = _answer(event)
    link = None if notice is None else _head(notice)
    return head if link is None or link.number <= head.number else link


def _head(notice: ReceiptIssued | MessageRejected) -> Head | None:
    return None if notice.chain is None else Head(notice.chain.number, bytes.fromhex(notice.chain.head))
