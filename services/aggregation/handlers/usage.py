"""Members report their past usage, and say how they want to be billed."""

import asyncpg

from services.aggregation.domain import groups as domain
from services.aggregation.domain.evidence import may_act
from services.aggregation.handlers.streams import commands
from services.aggregation.store import evidence as letters
from services.aggregation.store import groups as store
from services.aggregation.store import reports
from shared.delivery import CurrentActor, Publish, Tx
from shared.envelope import Actor
from shared.messages.aggregation import (
    BillingPreferencesSet,
    ReportUsage,
    ReportUsageRefused,
    SetBillingPreferences,
    UsageLinesReported,
    UsageReported,
)
from shared.outbox import Publisher
from shared.outcomes import Refusal
from shared.usage_digest import usage_digest


@commands.handle
async def collect_usage(
    command: ReportUsage, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | None:
    """Take one part of a usage report; the last part that missed lets the report count."""
    group = await store.lock_group(tx, command.purchase_id)
    if not await store.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = await _may_speak(tx, group, command, actor)
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
    refusal = await _may_speak(tx, group, command, actor) or (domain.may_change(group) if group else None)
    if refusal is not None:
        return refusal
    await store.set_preferences(tx, command.purchase_id, command.buyer_id, command.preferences)
    await publish(
        BillingPreferencesSet(
            purchase_id=command.purchase_id, buyer_id=command.buyer_id, preferences=command.preferences
        )
    )
    return None


async def _may_speak(
    tx: asyncpg.Connection,
    group: domain.Group | None,
    command: ReportUsage | SetBillingPreferences,
    actor: Actor,
) -> Refusal | None:
    buyer = await store.buyer(tx, command.purchase_id, command.buyer_id)
    refusal = domain.may_speak_for(group, buyer, actor)
    if refusal is not None or group is None or not group.letters_required:
        return refusal
    return may_act(
        group, buyer, actor, (await letters.letters(tx, command.purchase_id)).get(command.buyer_id)
    )


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
