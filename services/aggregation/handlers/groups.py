"""A group forms, and closes."""

import asyncio
from datetime import datetime
from uuid import UUID

import asyncpg

from services.aggregation.contacts import assign_password, record_contact
from services.aggregation.domain import evidence, minimum
from services.aggregation.domain import groups as domain
from services.aggregation.domain.people import refuse_erased
from services.aggregation.handlers.streams import Passwords, commands
from services.aggregation.passwords import Decision
from services.aggregation.store import evidence as letters
from services.aggregation.store import groups as store
from services.aggregation.store import minimum as minimums
from services.aggregation.store import people, reports
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.aggregation import (
    AddBuyer,
    BuyerJoined,
    BuyerLeft,
    CloseGroup,
    GroupAggregated,
    GroupOpened,
    LeaveGroup,
    LineUsage,
    OpenGroup,
    RemoveBuyer,
)
from shared.outbox import Publisher
from shared.outcomes import Refusal
from shared.usage_digest import usage_digest


@commands.handle
async def open_group(
    command: OpenGroup, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | None:
    """Open the group, and assign its coordinator's initial password."""
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.may_open(command, actor) or refuse_erased(
        await people.lock_person(tx, actor.person_id), publish.now
    )
    if refusal is not None:
        return refusal
    if not await store.add_group(tx, command, actor.person_id, publish.now):
        return Refusal("group_exists", "This purchase has a group already.")
    await publish(
        GroupOpened(
            purchase_id=command.purchase_id,
            name=command.name,
            currency=command.currency,
            tax_basis=command.tax_basis,
            coordinator_id=actor.person_id,
            letters_required=command.letters_required,
            time_zone=command.time_zone,
        )
    )
    await record_contact(tx, publish, passwords, command.contact, recorded_by=actor.person_id)
    await assign_password(
        tx, publish, passwords, Decision(command.purchase_id, actor.person_id, publish.cause)
    )
    return None


@commands.handle
async def add_buyer(
    command: AddBuyer, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | None:
    """Make an identified organisation a member; its contact gets an initial password of their own."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    contact_id = command.contact.person_id
    refusal = refuse_erased(await people.lock_person(tx, contact_id), publish.now)
    if refusal is not None:
        return refusal
    joined = domain.Buyer(command.buyer_id, command.legal_name, command.identifiers, contact_id, left=False)
    match domain.join(group, await store.buyers(tx, command.purchase_id), joined):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    await store.add_buyer(tx, command.purchase_id, joined, publish.now)
    await publish(
        BuyerJoined(
            purchase_id=command.purchase_id,
            buyer_id=joined.buyer_id,
            legal_name=joined.legal_name,
            identifiers=joined.identifiers,
            contact_id=contact_id,
        )
    )
    await record_contact(tx, publish, passwords, command.contact, recorded_by=actor.person_id)
    if await people.newest_credential(tx, command.purchase_id, contact_id, publish.now) is None:
        await assign_password(
            tx, publish, passwords, Decision(command.purchase_id, contact_id, publish.cause)
        )
    return None


@commands.handle
async def remove_buyer(command: RemoveBuyer, actor: CurrentActor, tx: Tx, publish: Publish) -> Refusal | None:
    """Take a member out, with what it reported."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    match domain.leave(group, await store.buyer(tx, command.purchase_id, command.buyer_id)):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    await _let_leave(tx, publish, command)
    return None


@commands.handle
async def leave_group(command: LeaveGroup, actor: CurrentActor, tx: Tx, publish: Publish) -> Refusal | None:
    """Take the actor's own organisation out, with what it reported."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    buyer = await store.buyer(tx, command.purchase_id, command.buyer_id)
    refusal = domain.may_speak_for(group, buyer, actor) or (domain.may_change(group) if group else None)
    if refusal is not None:
        return refusal
    await _let_leave(tx, publish, command)
    return None


@commands.handle
async def close_group(command: CloseGroup, actor: CurrentActor, tx: Tx, publish: Publish) -> Refusal | None:
    """Freeze the membership and its usage, and pin both by their hashes."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    buyers = await store.buyers(tx, command.purchase_id)
    counting = domain.close(group, buyers, await reports.all_reports(tx, command.purchase_id))
    if isinstance(counting, Refusal):
        return counting
    refusal = await _may_close(tx, group, publish.now)
    if refusal is not None:
        return refusal
    lines = await reports.counting_lines(tx, command.purchase_id)
    # A large group's hash takes seconds, which must not hold up the consumer's heartbeats.
    usage = await asyncio.to_thread(_digest, lines)
    period = next(iter(counting.values())).period
    snapshot = domain.snapshot(group, buyers, period, usage)
    await store.close_group(tx, command.purchase_id, usage, snapshot, publish.now)
    await publish(
        GroupAggregated(
            purchase_id=command.purchase_id,
            name=group.name,
            currency=group.currency,
            tax_basis=group.tax_basis,
            coordinator_id=group.coordinator_id,
            buyer_ids=tuple(counting),
            reports={buyer_id: report.report_id for buyer_id, report in counting.items()},
            period=period,
            lines=len(lines),
            usage_digest=usage,
            snapshot=snapshot,
            billing_preferences=await store.preferences(tx, command.purchase_id),
        )
    )
    return None


async def _may_close(tx: asyncpg.Connection, group: domain.Group, now: datetime) -> Refusal | None:
    """Whether a group that is complete is also large enough, and has the letters that it needs."""
    needed = await minimums.minimum(tx, group.purchase_id)
    refusal = minimum.may_close(needed, await minimums.size(tx, group.purchase_id), now)
    if refusal is not None or not group.letters_required:
        return refusal
    used = await letters.services_used(tx, group.purchase_id)
    return evidence.may_close(group, used, await letters.letters(tx, group.purchase_id), now.date())


def _digest(lines: list[tuple[UUID, str]]) -> str:
    return usage_digest((buyer_id, LineUsage.model_validate_json(usage)) for buyer_id, usage in lines)


async def _let_leave(tx: asyncpg.Connection, publish: Publisher, command: RemoveBuyer | LeaveGroup) -> None:
    await store.remove_buyer(tx, command.purchase_id, command.buyer_id, publish.now)
    await reports.withdraw_reports(tx, command.purchase_id, command.buyer_id)
    await publish(BuyerLeft(purchase_id=command.purchase_id, buyer_id=command.buyer_id))
