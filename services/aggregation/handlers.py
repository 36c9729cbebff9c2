"""What the aggregation service does when a message arrives."""

import asyncio
from typing import Annotated
from uuid import UUID

import asyncpg
from faststream import Context

from services.aggregation import domain, reports, store
from services.aggregation.passwords import VALID_FOR, Assigner, Decision
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.aggregation import (
    AddBuyer,
    BillingPreferencesSet,
    BuyerJoined,
    BuyerLeft,
    CloseGroup,
    Contact,
    ContactRecorded,
    CredentialAssigned,
    GroupAggregated,
    GroupOpened,
    LineUsage,
    OpenGroup,
    RemoveBuyer,
    ReportUsage,
    ReportUsageRefused,
    SetBillingPreferences,
    UsageLinesReported,
    UsageReported,
)
from shared.outbox import Publisher
from shared.outcomes import Refusal
from shared.streams import Streams
from shared.usage_digest import usage_digest

streams = Streams("aggregation")
commands = streams.commands("aggregation.commands")

Passwords = Annotated[Assigner, Context("assigner")]


@commands.handle
async def open_group(
    command: OpenGroup, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | None:
    """Open the group, and assign its coordinator's initial password."""
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.may_open(command, actor)
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
        )
    )
    await _record_contact(tx, publish, command.contact, recorded_by=actor.person_id)
    await _assign_password(
        tx, publish, passwords, Decision(command.purchase_id, actor.person_id, publish.cause)
    )
    return None


@commands.handle
async def add_buyer(command: AddBuyer, actor: CurrentActor, tx: Tx, publish: Publish) -> Refusal | None:
    """Make an identified organisation a member."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = domain.may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    match domain.join(group, await store.buyers(tx, command.purchase_id), command):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    contact_id = command.contact.person_id
    joined = domain.Buyer(command.buyer_id, command.legal_name, command.identifiers, contact_id, left=False)
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
    await _record_contact(tx, publish, command.contact, recorded_by=actor.person_id)
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
    await store.remove_buyer(tx, command.purchase_id, command.buyer_id, publish.now)
    await reports.withdraw_reports(tx, command.purchase_id, command.buyer_id)
    await publish(BuyerLeft(purchase_id=command.purchase_id, buyer_id=command.buyer_id))
    return None


@commands.handle
async def collect_usage(
    command: ReportUsage, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | None:
    """Take one part of a usage report; the last part that missed lets the report count."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    buyer = await store.buyer(tx, command.purchase_id, command.buyer_id)
    refusal = domain.may_speak_for(group, buyer, actor)
    if refusal is not None or group is None:
        return refusal
    sha256 = usage_digest((command.buyer_id, line) for line in command.lines)
    begun = await reports.all_reports(tx, command.purchase_id)
    known = await reports.known_parts(tx, command.purchase_id, command.report_id)
    decision = domain.take_part(group, command, begun, known, sha256)
    match decision:
        case Refusal():
            return decision
        case domain.Repeated():
            return None
    await reports.begin_report(tx, command, domain.next_number(begun))
    if isinstance(decision, domain.Collected):
        already = await reports.add_part(tx, command, sha256)
        decision = domain.duplicate_line(command.lines, already) or decision
    if isinstance(decision, domain.BadLine):
        await _refuse_report(tx, publish, command, decision)
    elif decision.completes:
        await reports.end_reports(tx, command.purchase_id, decision.replaces, "replaced")
        await reports.let_report_count(tx, command.purchase_id, command.report_id)
        await _say_usage(tx, publish, command)
    return None


@commands.handle
async def set_billing_preferences(
    command: SetBillingPreferences, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | None:
    """Keep how a buyer wants to be billed."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    buyer = await store.buyer(tx, command.purchase_id, command.buyer_id)
    refusal = domain.may_speak_for(group, buyer, actor) or (domain.may_change(group) if group else None)
    if refusal is not None:
        return refusal
    await store.set_preferences(tx, command.purchase_id, command.buyer_id, command.preferences)
    await publish(
        BillingPreferencesSet(
            purchase_id=command.purchase_id, buyer_id=command.buyer_id, preferences=command.preferences
        )
    )
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


def _digest(lines: list[tuple[UUID, str]]) -> str:
    return usage_digest((buyer_id, LineUsage.model_validate_json(usage)) for buyer_id, usage in lines)


async def _refuse_report(
    tx: asyncpg.Connection, publish: Publisher, command: ReportUsage, bad: domain.BadLine
) -> None:
    # Said here and not by returning a refusal: that would undo that the whole report is refused. It is a decision of its own, so
    # that after a restore the order is obeyed to the same end, and not answered from what was said before.
    await reports.end_reports(tx, command.purchase_id, [command.report_id], "refused")
    refused = ReportUsageRefused(
        purchase_id=command.purchase_id, command_id=publish.cause, reason=bad.reason, detail=bad.detail
    )
    await publish.deciding("report refused", publish.cause)(refused)


async def _say_usage(tx: asyncpg.Connection, publish: Publisher, command: ReportUsage) -> None:
    for part in range(1, command.parts + 1):
        await publish(
            UsageLinesReported(
                purchase_id=command.purchase_id,
                buyer_id=command.buyer_id,
                report_id=command.report_id,
                part=part,
                parts=command.parts,
                lines=await reports.lines_of_part(tx, command.purchase_id, command.report_id, part),
            )
        )
    await publish(
        UsageReported(
            purchase_id=command.purchase_id,
            buyer_id=command.buyer_id,
            report_id=command.report_id,
            period=command.period,
            lines=await reports.count_lines(tx, command.purchase_id, command.report_id),
            parts=command.parts,
        )
    )


async def _record_contact(
    tx: asyncpg.Connection, publish: Publisher, contact: Contact, *, recorded_by: UUID
) -> None:
    # A stranger who names a known person would otherwise redirect that person's mail.
    if await store.record_person(tx, contact.person_id, recorded_by):
        await publish(
            ContactRecorded(
                person_id=contact.person_id, name=contact.name, email=contact.email, phone=contact.phone
            )
        )


async def _assign_password(
    tx: asyncpg.Connection, publish: Publisher, passwords: Assigner, decision: Decision
) -> None:
    assigned = await passwords.assign(decision)
    expires_at = publish.now + VALID_FOR
    number = await store.add_credential(
        tx,
        purchase_id=decision.purchase_id,
        person_id=decision.person_id,
        cause_id=decision.cause,
        assigned_at=publish.now,
        expires_at=expires_at,
    )
    await publish(
        CredentialAssigned(
            person_id=decision.person_id,
            purchase_id=decision.purchase_id,
            number=number,
            state="assigned",
            verifier=assigned.verifier,
            sealed_password=assigned.sealed,
            expires_at=expires_at,
        )
    )
