"""Part 1: a group forms, its members report their usage, it closes."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from linepool.demo.mails import arrived, has_masked_password
from linepool.demo.scenario import PUBLIC_CHARGED, Group, Member
from linepool.demo.stage import Stage
from linepool.demo.waiting import until
from linepool.rating.money import total
from shared.messages.aggregation import GroupAggregated, UsageLinesReported, UsageReported

PATIENCE = 120.0
"""Seconds that anything of the story may take before it counts as not happening."""


@dataclass(frozen=True)
class Formed:
    """The closed group; `seconds` is how long its orders took, as a measure of this machine's speed."""

    aggregated: GroupAggregated
    charged: Decimal
    seconds: float


async def form_group(stage: Stage) -> Formed:
    """Tell part 1."""
    tell, group = stage.tell, stage.scenario.group
    tell.chapter(1, "A group forms")
    begun = tell.elapsed()
    tell.doing("the group forms")
    await join(stage, group)
    lines = sum(len(member.lines) for member in group.members)
    await stage.people.journal.wait_until(
        lambda: len(stage.people.journal.all_of(UsageReported, group.purchase_id)) == len(group.members),
        within=PATIENCE + lines / 100,
        what="every member's usage report",
    )
    tell.step(
        "A coordinator opens a group",
        f"{len(group.members)} buyers join with identities, billing preferences and {lines:,} lines of usage "
        f"({stage.scenario.data_set}).",
    )
    aggregated = await close(stage, group)
    charged = await _charged(stage, aggregated)
    tell.step(
        "The group is closed",
        f"Membership and usage are frozen: {aggregated.lines:,} lines, charged {charged:,.2f} "
        f"{aggregated.currency}, digest {aggregated.usage_digest[:16]}...",
    )
    if stage.scenario.is_public:
        tell.say("The data set has no recurring charges: they are reported as 0.00.")
        tell.claim(
            f"what was charged adds up to {charged:,.2f} on aggregation.usage",
            holds=charged == PUBLIC_CHARGED,
        )
    tell.claim(f"all {lines:,} lines are in the frozen group", holds=aggregated.lines == lines)
    await _password_mail(stage, group)
    return Formed(aggregated, charged, tell.elapsed() - begun)


async def join(stage: Stage, group: Group) -> None:
    """Give the orders that make a group, its members and their reports."""
    people, by = stage.people, group.coordinator
    await people.open_group(
        by,
        group.purchase_id,
        name=group.name,
        currency=stage.scenario.currency,
        tax_basis=stage.scenario.tax_basis,
        contact=group.contact,
    )
    # All of one purchase's orders are obeyed in the order in which they were sent.
    await asyncio.gather(*(_member_joins(stage, group, member) for member in group.members))


async def _member_joins(stage: Stage, group: Group, member: Member) -> None:
    people, by = stage.people, group.coordinator
    await people.add_buyer(
        by,
        group.purchase_id,
        buyer_id=member.buyer_id,
        legal_name=member.legal_name,
        identifiers=[member.identifier],
        contact=member.contact,
    )
    await people.set_billing_preferences(
        by, group.purchase_id, buyer_id=member.buyer_id, preferences=member.preferences
    )
    await people.report_usage(
        by, group.purchase_id, buyer_id=member.buyer_id, period=stage.scenario.period, lines=member.lines
    )


async def close(stage: Stage, group: Group) -> GroupAggregated:
    """Close a group; return what was frozen."""
    await stage.people.close_group(group.coordinator, group.purchase_id)
    return await stage.people.journal.wait_for(
        lambda entry: entry.says(GroupAggregated, group.purchase_id), within=PATIENCE, what="the closed group"
    )


async def _charged(stage: Stage, aggregated: GroupAggregated) -> Decimal:
    """Add up what the lines on `aggregation.usage` say was charged."""
    journal = stage.watcher.journal

    def parts() -> list[UsageLinesReported]:
        said = journal.all_of(UsageLinesReported, aggregated.purchase_id)
        return [part for part in said if aggregated.reports.get(part.buyer_id) == part.report_id]

    await journal.wait_until(
        lambda: sum(len(part.lines) for part in parts()) == aggregated.lines,
        within=PATIENCE,
        what="the lines",
    )
    return total(
        amount
        for part in parts()
        for line in part.lines
        for amount in (line.recurring_charged, *(use.charged for use in line.services))
    )


async def _password_mail(stage: Stage, group: Group) -> None:
    def there() -> bool:
        return any(
            group.contact.email in mail.to and has_masked_password(mail)
            for mail in arrived(stage.stack.mail_folder)
        )

    await until(there, within=PATIENCE, what="the mail with the initial password")
    stage.tell.claim("the mail with the initial password has arrived (masked from here on)", holds=there())
