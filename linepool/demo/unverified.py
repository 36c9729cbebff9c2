"""Part 5: a second group cannot be verified, and its request never leaves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from deploy.access.model import provider_topics
from linepool.client.journal import Entry, read_all
from linepool.demo.forming import PATIENCE, close, join
from linepool.demo.gate import VALID_FOR, issue
from linepool.demo.stage import Stage
from shared.messages.aggregation import GroupAggregated
from shared.messages.rfp import GroupNotQualified

REASON = "The register has no such organisation."


async def form_other_group(stage: Stage) -> GroupAggregated:
    """Give the second group's orders, up to its issued request; every provider is on its list."""
    group = stage.scenario.other_group
    await join(stage, group)
    aggregated = await close(stage, group)
    await issue(stage, group, stage.roles.everyone, datetime.now(UTC) + timedelta(hours=1))
    return aggregated


async def refuse_other_group(stage: Stage, aggregated: GroupAggregated) -> None:
    """Tell part 5."""
    tell, purchase_id = stage.tell, aggregated.purchase_id
    tell.chapter(5, "A second group cannot be verified")
    tell.doing("a second group cannot be verified")
    await stage.officer.refuse(
        purchase_id,
        snapshot=aggregated.snapshot,
        party="coordinator",
        party_id=aggregated.coordinator_id,
        valid_until=datetime.now(UTC) + VALID_FOR,
        reference="Invented register extract 3",
        reason=REASON,
    )
    refused = await stage.people.journal.wait_for(
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
