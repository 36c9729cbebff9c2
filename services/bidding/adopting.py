"""After a restore: answers and checkpoints that were said before, and are not known any more, stand as they were said."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import asyncpg

from linepool.receipts.chain import Head
from linepool.receipts.checkpoint import grow
from services.bidding.domain.intake import Answer, Answered, Arrival, Receipt, Rejection
from services.bidding.store import boxes as box_store
from services.bidding.store import chains as chain_store
from services.bidding.store import checkpoints as checkpoint_store
from services.bidding.store.checkpoints import Published
from shared.adoption import AdoptedEvent, Adoptions
from shared.messages.bidding import CheckpointPublished, MessageRejected, ReceiptIssued
from shared.postgres import connect
from shared.runtime import Runtime

ANSWERS = {message.type(): message for message in (ReceiptIssued, MessageRejected)}
NOTICES = "notices."
CheckpointId = tuple[UUID, int]
"""A purchase and the number of one of its checkpoints."""


def answered_before(adoptions: Adoptions, arrivals: Iterable[Arrival]) -> dict[UUID, Answered]:
    """Return those of these messages that were answered before the database was restored, each with that answer."""
    if not adoptions.events:
        return {}
    return {
        arrival.id: _answered(arrival, notice)
        for arrival in arrivals
        for event in adoptions.of_decision(arrival.id)
        if (notice := _answer(event)) is not None and notice.sha256 == arrival.sha256
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


def _answered(arrival: Arrival, notice: ReceiptIssued | MessageRejected) -> Answered:
    answer: Answer = (
        Receipt(notice.reply_id)
        if isinstance(notice, ReceiptIssued)
        else Rejection(notice.reason, notice.detail)
    )
    return Answered(
        arrival.id,
        arrival.provider_id,
        notice.purchase_id,
        arrival.type,
        notice.message_id,
        notice.sha256,
        notice.appended_at,
        answer,
        _head(notice),
    )
