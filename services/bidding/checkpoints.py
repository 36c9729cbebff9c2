"""Checkpoints over all receipts: published on a schedule and once a box is opened, proved then.

What is published is the same for every listed provider, at the same moment, whether or not it ever said anything.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from linepool.receipts.chain import Head
from linepool.receipts.checkpoint import LEAVES, checkpoint_statement, grow
from services.bidding.concerns import Concerns, for_each
from services.bidding.jobs import LEAST_PAUSE_S
from services.bidding.receipt_key import receipt_key
from services.bidding.settings import settings_of
from services.bidding.store import boxes as box_store
from services.bidding.store import chains as chain_store
from services.bidding.store import checkpoints as store
from services.bidding.store.checkpoints import CheckpointId, Published
from shared.envelope import derived_id
from shared.messages.bidding import CheckpointPublished, InclusionProved
from shared.outbox import Outgoing
from shared.postgres import TRANSIENT
from shared.runtime import Runtime
from shared.signing import sign

PROVED_AT_A_TIME = 20
log = structlog.get_logger()


async def tend_checkpoints(runtime: Runtime) -> None:
    """Publish and prove checkpoints for as long as the service runs."""
    pause = settings_of(runtime).job_pause_s
    about_due, about_proofs = Concerns(), Concerns()
    while True:
        try:
            await publish_checkpoints(runtime, about_due)
            await prove_checkpoints(runtime, about_proofs)
        except TRANSIENT as error:
            log.warning("checkpoints wait", error=type(error).__name__)
        await asyncio.sleep(LEAST_PAUSE_S)
        await runtime.wait_for_work(pause)


async def publish_checkpoints(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Publish what is due; return how many checkpoints that were. A purchase that fails stops no other."""
    concerns = concerns or Concerns()
    schedules = await store.schedules(runtime.pool)
    every = timedelta(seconds=settings_of(runtime).checkpoint_every_s)
    now = await box_store.now(runtime.pool)

    def alarm(purchase_id: UUID, error: str) -> None:
        runtime.metrics.alarm("checkpoint_not_published", purchase=purchase_id, error=error)

    due = [id_ for id_, schedule in schedules.items() if schedule.is_over or schedule.is_due(now, every)]
    published = await for_each(due, partial(_publish, runtime, every), concerns, alarm)
    concerns.keep_only(due)
    return sum(published.values())


async def _publish(runtime: Runtime, every: timedelta, purchase_id: UUID) -> int:
    async with runtime.decide("checkpoints", purchase_id) as (tx, publish):
        box = await box_store.lock_box(tx, purchase_id)
        schedule = (await store.schedules(tx, purchase_id)).get(purchase_id)
        if schedule is None or box.request is None:
            return 0
        if schedule.is_over:
            await store.end(tx, purchase_id)
        if not (schedule.lacks_the_last(box) if schedule.is_over else schedule.is_due(publish.now, every)):
            return 0
        # Nobody is answered from here to the commit: all that stands before the checkpoint on a topic is under it.
        heads = await chain_store.lock_chains(tx, box.request.provider_ids)
        number = schedule.last_number + 1
        root = grow(_secret(runtime), purchase_id, number, heads).root
        made = Published(purchase_id, number, publish.now, root, heads)
        await store.add(tx, made)
        await publish.many(_said(made, heads, receipt_key(runtime)))
    return 1


async def prove_checkpoints(runtime: Runtime, concerns: Concerns | None = None) -> int:
    """Tell each provider how its chain stands under the checkpoints of opened boxes; return how many were proved."""
    concerns = concerns or Concerns()

    def alarm(checkpoint: CheckpointId, error: str) -> None:
        purchase_id, number = checkpoint
        runtime.metrics.alarm("checkpoint_not_proved", purchase=purchase_id, number=number, error=error)

    waiting = await store.to_prove(runtime.pool, PROVED_AT_A_TIME)
    proved = await for_each(waiting, partial(_prove, runtime), concerns, alarm)
    concerns.keep_only(waiting)
    return len(proved)


async def _prove(runtime: Runtime, checkpoint: CheckpointId) -> None:
    purchase_id, number = checkpoint
    async with runtime.decide("proofs", purchase_id, number) as (tx, publish):
        made = await store.lock_unproved(tx, purchase_id, number)
        if made is None or made.heads is None:
            return
        tree = grow(_secret(runtime), purchase_id, number, made.heads)
        if tree.root != made.root:
            raise ValueError("the checkpoint was made with another secret")
        if made.adopted:
            # Who got no copy before the database was lost gets one now; the others have it on their topics.
            await publish.many(_said(made, made.heads, receipt_key(runtime)))
        cause = derived_id("bidding", "proof", purchase_id, number)
        proofs = {provider_id: tree.proof(provider_id) for provider_id in sorted(made.heads)}
        await publish.many(
            [
                Outgoing(
                    InclusionProved(
                        purchase_id=purchase_id,
                        checkpoint=number,
                        chain_number=proof.head.number,
                        chain_head=proof.head.hash.hex(),
                        salt=proof.salt.hex(),
                        leaf=proof.place,
                        path=tuple(one.hex() for one in proof.beside),
                    ),
                    cause,
                    provider_id,
                )
                for provider_id, proof in proofs.items()
            ]
        )
        await store.note_proved(tx, purchase_id, number, publish.now)


def _said(made: Published, heads: Mapping[str, Head], key: Ed25519PrivateKey) -> list[Outgoing]:
    """Return what every listed provider is told, each the same."""
    unsigned = CheckpointPublished(
        purchase_id=made.purchase_id,
        number=made.number,
        made_at=made.made_at,
        size=LEAVES,
        root=made.root.hex(),
        signature="",
    )
    signature = sign(key, checkpoint_statement(unsigned.model_dump(mode="json")))
    message = unsigned.model_copy(update={"signature": signature})
    cause = derived_id("bidding", "checkpoint", "published", made.purchase_id, made.number)
    return [Outgoing(message, cause, provider_id) for provider_id in sorted(heads)]


def _secret(runtime: Runtime) -> bytes:
    return runtime.settings.secret.get_secret_value()
