"""Part 1: a coordinator signs in with the initial password, a group forms, its members report their usage, it closes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from secrets import token_urlsafe
from uuid import UUID

from linepool.demo import signed_in
from linepool.demo.mails import arrived, has_masked_password
from linepool.demo.scenario import PUBLIC_CHARGED, Member
from linepool.demo.signed_in import Opened, Person, mailed_password, patiently, refused, sign_in
from linepool.demo.stage import Stage
from linepool.demo.waiting import PATIENCE
from linepool.people.api import Api, ApiError
from linepool.people.importing import bodies_of
from linepool.rating.money import total
from shared.messages.aggregation import GroupAggregated, UsageLinesReported, UsageReported

MEMBERS_WHO_SIGN_IN = 5
"""So many members give their own orders; for the others the coordinator does. Each sign-in is slow on purpose (argon2id)."""


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
    tell.doing("the coordinator signs in")
    stage.opened = await _open(stage)
    begun = tell.elapsed()
    tell.doing("the group forms")
    who = group.members[:MEMBERS_WHO_SIGN_IN]
    await join(stage, stage.people, who)
    await await_reports(stage, stage.people)
    lines = sum(len(member.lines) for member in group.members)
    tell.step(
        "Buyers join",
        f"{len(group.members)} buyers with identities, billing preferences and {lines:,} lines of usage "
        f"({stage.scenario.data_set}). {len(who)} contact persons have signed in and report their own; "
        "for the others the coordinator does.",
    )
    member = stage.people.members[who[0].buyer_id]
    tell.claim(
        "a member cannot close the group (role_not_allowed)",
        holds=await member.refusal(stage.purchase_id, "close-group") == "role_not_allowed",
    )
    aggregated = await close(stage, stage.people)
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
    return Formed(aggregated, charged, tell.elapsed() - begun)


async def _open(stage: Stage) -> Opened:
    """Open the group, and sign its coordinator in, who has nothing but a mailbox."""
    tell, group, anybody = stage.tell, stage.scenario.group, Api(stage.portal)
    purchase_id = await signed_in.open_group(anybody, stage.scenario, group)
    initial = await mailed_password(stage.stack.mail_folder, group.contact, group)
    tell.step("A coordinator opens a group", "Its initial password is mailed to them, and to nobody else.")
    tell.claim(
        "the mail with the initial password has arrived (masked from here on)",
        holds=any(
            group.contact.email in mail.to and has_masked_password(mail)
            for mail in arrived(stage.stack.mail_folder)
        ),
    )
    tell.claim(
        "who has not signed in cannot give the group's orders (not_signed_in)",
        holds=await refused(anybody, f"/purchases/{purchase_id}/close-group") == "not_signed_in",
    )
    unchanged = {"email": group.contact.email, "password": initial}
    tell.claim(
        "the initial password opens nothing until it is changed (new_password_needed)",
        holds=await patiently(lambda: _word(anybody, unchanged), unless={"sign_in_failed"})
        == "new_password_needed",
    )
    coordinator = await sign_in(stage.portal, group.contact, initial, purchase_id=purchase_id)
    tell.step(
        "The coordinator signs in", "With the initial password out of the mail, and chooses an own one there."
    )
    again = {**unchanged, "new_password": token_urlsafe(24)}
    tell.claim(
        "the initial password is spent: it opens nothing a second time (sign_in_failed)",
        holds=await refused(anybody, "/sessions", again) == "sign_in_failed",
    )
    return Opened(group, purchase_id, coordinator, {})


def _word(anybody: Api, body: dict[str, str]) -> str | None:
    """Try to sign in; return the word by which it was refused. ApiError: it is not known yet, or the password is wrong."""
    try:
        anybody.post("/sessions", body)
    except ApiError as error:
        if error.reason == "sign_in_failed":
            raise
        return error.reason
    return None


async def join(stage: Stage, opened: Opened, who: Sequence[Member] = ()) -> None:
    """Give the orders that make the members and their reports; some members sign in and give their own."""
    await asyncio.gather(
        *(_member_joins(stage, opened, member, signs_in=member in who) for member in opened.group.members)
    )


async def _member_joins(stage: Stage, opened: Opened, member: Member, *, signs_in: bool) -> None:
    purchase_id, by = opened.purchase_id, opened.coordinator
    added = {
        "buyer_id": str(member.buyer_id),
        "legal_name": member.legal_name,
        "identifiers": [member.identifier.model_dump()],
        "contact": signed_in.contact_of(member.contact),
    }
    # All of one purchase's orders are obeyed in the order in which they were sent.
    await by.order(purchase_id, "add-buyer", added, wait=False)
    if signs_in:
        initial = await mailed_password(stage.stack.mail_folder, member.contact, opened.group)
        by = await sign_in(stage.portal, member.contact, initial, purchase_id=purchase_id)
        opened.members[member.buyer_id] = by
    await _report(stage, by, purchase_id, member)


async def _report(stage: Stage, by: Person, purchase_id: UUID, member: Member) -> None:
    buyer = str(member.buyer_id)
    preferences = {"buyer_id": buyer, "preferences": member.preferences.model_dump()}
    await by.order(purchase_id, "set-billing-preferences", preferences, wait=False)
    for body in bodies_of(str(purchase_id), buyer, stage.scenario.period, member.lines):
        await by.order(purchase_id, "report-usage", body, wait=False)


async def await_reports(stage: Stage, opened: Opened) -> None:
    """Wait until every member has reported its usage."""
    members, journal = opened.group.members, stage.watcher.journal
    await journal.wait_until(
        lambda: len(journal.all_of(UsageReported, opened.purchase_id)) == len(members),
        within=PATIENCE + sum(len(member.lines) for member in members) / 100,
        what="every member's usage report",
    )


async def close(stage: Stage, opened: Opened) -> GroupAggregated:
    """Close a group; return what was frozen."""
    await opened.coordinator.order(opened.purchase_id, "close-group", {})
    return await stage.watcher.journal.wait_for(
        lambda entry: entry.says(GroupAggregated, opened.purchase_id),
        within=PATIENCE,
        what="the closed group",
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
