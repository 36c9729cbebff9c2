"""Part 5: a second group cannot be verified, and its request never leaves."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from deploy.access.model import provider_topics
from linepool.client.journal import Entry, read_all
from linepool.demo.forming import await_reports, close, join
from linepool.demo.gate import VALID_FOR, issue
from linepool.demo.signed_in import Opened, mailed_password, open_group, sign_in
from linepool.demo.stage import Stage
from linepool.demo.waiting import PATIENCE
from shared.messages.aggregation import GroupAggregated
from shared.messages.rfp import GroupNotQualified

REASON = "The register has no such organisation."


@dataclass(frozen=True)
class Other:
    """The second group: what was frozen, and by which words orders were refused while it formed."""

    aggregated: GroupAggregated
    before_sign_in: str | None
    """Closing it before its own initial password was used, by its coordinator, who has a password from the first group."""
    of_stranger: str | None
    """Closing it, by somebody who does not belong to it."""


async def form_other_group(stage: Stage) -> Other:
    """Let a member of the first group open a second one and issue its request; every provider is on its list."""
    first, group = stage.people, stage.scenario.other_group
    opener = first.members[first.group.members[0].buyer_id]
    purchase_id = await open_group(opener.signed.api, stage.scenario, group)
    initial = await mailed_password(stage.stack.mail_folder, group.contact, group)
    await opener.get(f"/purchases/{purchase_id}")
    before_sign_in = await opener.refusal(purchase_id, "close-group")
    of_stranger = await first.coordinator.refusal(purchase_id, "close-group")
    coordinator = await sign_in(
        stage.portal, group.contact, initial, purchase_id=purchase_id, has_password=True
    )
    opened = Opened(group, purchase_id, coordinator, {})
    await join(stage, opened)
    await await_reports(stage, opened)
    aggregated = await close(stage, opened)
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    await issue(stage, opened, stage.roles.everyone, in_an_hour, mode="transmit")
    return Other(aggregated, before_sign_in, of_stranger)


async def refuse_other_group(stage: Stage, other: Other) -> None:
    """Tell part 5."""
    aggregated = other.aggregated
    tell, purchase_id = stage.tell, aggregated.purchase_id
    tell.chapter(5, "A second group cannot be verified")
    tell.doing("a second group cannot be verified")
    tell.claim(
        "a member of the first group opened it, and could not close it before using this group's initial password "
        "(initial_password_unspent)",
        holds=other.before_sign_in == "initial_password_unspent",
    )
    tell.claim(
        "for the coordinator of the first group, who does not belong to it, it does not exist (purchase_unknown)",
        holds=other.of_stranger == "purchase_unknown",
    )
    await stage.officer.refuse(
        purchase_id,
        snapshot=aggregated.snapshot,
        party="coordinator",
        party_id=aggregated.coordinator_id,
        valid_until=datetime.now(UTC) + VALID_FOR,
        reference="Invented register extract 3",
        reason=REASON,
    )
    refused = await stage.watcher.journal.wait_for(
        lambda entry: entry.says(GroupNotQualified, purchase_id),
        within=PATIENCE,
        what="the officer's refusal",
    )
    waiting = await stage.waiting_for(purchase_id)
    tell.step(
        "The officer refuses", f"{refused.reason} Its request is issued and lists all providers, and waits."
    )
    tell.claim("its request waits for: qualification", holds=waiting == ("qualification",))
    names = [topic.name for pid in stage.roles.everyone for topic in provider_topics(pid)]
    entries = await read_all(stage.connection(stage.stack.admin), names, within=PATIENCE)
    tell.claim(
        f"all {len(names)} provider topics were read, {len(entries)} messages: none is about it",
        holds=bool(entries) and not any(_mentions(entry, purchase_id) for entry in entries),
    )


def _mentions(entry: Entry, purchase_id: UUID) -> bool:
    said = str(purchase_id).encode()
    headers = b" ".join(value or b"" for _, value in entry.headers)
    return any(said in text for text in (entry.key or b"", entry.body or b"", headers))
