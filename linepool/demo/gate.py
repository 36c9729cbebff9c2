"""Part 2: the request is issued, waits for the group's qualification, and then goes to exactly the listed providers."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from linepool.demo.forming import PATIENCE, Formed
from linepool.demo.offers import CONTRACT_MONTHS
from linepool.demo.scenario import REGION, Group
from linepool.demo.stage import Stage
from linepool.demo.telling import ClaimError
from linepool.provider import Request
from shared.messages.distribution import RequestPresented
from shared.messages.rfp import GroupQualified, ProviderRegistered, RequestIssued, ServiceNeed

SHORTEST_TIME_TO_REPLY = 10.0
VALID_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Invited:
    """The request is out."""

    issued: RequestIssued
    invitations: dict[str, Request]
    qualified: GroupQualified


async def register_providers(stage: Stage) -> None:
    """The operator registers every provider; refused orders end the story."""
    orders = await asyncio.gather(
        *(
            stage.operator.register(pid, name=name, categories=["voice"], regions=[REGION])
            for pid, name in stage.roles.names.items()
        )
    )
    for order in orders:
        outcome = await stage.operator.outcome(order, within=PATIENCE)
        if not any(isinstance(event, ProviderRegistered) for event in outcome.events):
            raise ClaimError(f"a provider was not registered: {outcome.refused}")


async def open_gate(stage: Stage, formed: Formed, *, time_to_reply: float | None) -> Invited:
    """Tell part 2."""
    tell, group, roles = stage.tell, stage.scenario.group, stage.roles
    tell.chapter(2, "The request waits for the group's qualification")
    tell.doing("the request is issued")
    await register_providers(stage)
    # A slower machine, or more usage, gets a later deadline.
    seconds = time_to_reply or max(SHORTEST_TIME_TO_REPLY, 3 + 0.6 * formed.seconds)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    issued = await issue(stage, group, roles.listed, deadline)
    tell.step(
        "The request is issued",
        f"{len(roles.everyone)} providers are registered, {len(issued.provider_ids)} are on the list. "
        f"Replies count until {issued.deadline:%H:%M:%S} UTC.",
    )
    await _wait_for_qualification_alone(stage, group.purchase_id)
    tell.claim(
        "no provider's topic holds anything, while all but the qualification is there",
        holds=not any(_on_topics_of(stage, pid) for pid in roles.everyone),
    )
    qualified = await _verify(stage, formed)
    tell.doing("invitations go out")
    invitations = await _invitations(stage, group.purchase_id)
    _show_counter(stage, ())
    tell.step(
        "The officer verifies",
        f"The coordinator and one buyer are who they say; qualification {qualified.number} opens the gate.",
    )
    listed = [1 if pid in roles.listed else 0 for pid in roles.everyone]
    tell.claim(f"invitations on the providers' topics: {_spaced(listed)}", holds=_invited(stage) == listed)
    tell.claim(
        "every invited provider has put the request together and found its hash right",
        holds={one.presented.content.sha256 for one in invitations.values()} == {issued.content.sha256},
    )
    return Invited(issued, invitations, qualified)


async def issue(stage: Stage, group: Group, listed: tuple[str, ...], deadline: datetime) -> RequestIssued:
    """Describe the need, set the list, and issue the request of a closed group."""
    people, by = stage.people, group.coordinator
    await people.describe_need(
        by,
        group.purchase_id,
        title="Telecom services for the group",
        description="Prices for what the group's lines use, over one term.",
        services=[
            ServiceNeed(service=service, unit=unit, description=service)
            for service, unit in stage.scenario.services.items()
        ],
        places=[REGION],
        deadline=deadline,
        contract_months=CONTRACT_MONTHS,
    )
    await people.set_provider_list(by, group.purchase_id, provider_ids=listed)
    order = await people.issue_request(by, group.purchase_id)
    outcome = await people.outcome(order, within=PATIENCE)
    for event in outcome.events:
        if isinstance(event, RequestIssued):
            return event
    raise ClaimError(f"the request was not issued: {outcome.refused}")


async def _wait_for_qualification_alone(stage: Stage, purchase_id: UUID) -> None:
    missing: tuple[str, ...] | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            while missing != ("qualification",):
                await asyncio.sleep(0.1)
                missing = await stage.waiting_for(purchase_id)
                _show_counter(stage, ("the request",) if missing is None else missing)
                if missing == ("deadline passed",):
                    raise ClaimError(
                        "the deadline passed before the officer could verify; --reply-seconds gives more time"
                    )
    except TimeoutError:
        raise TimeoutError(f"the gate waited for {missing} after {PATIENCE:.0f} s") from None
    await stage.watcher.journal.catch_up()


async def _verify(stage: Stage, formed: Formed) -> GroupQualified:
    aggregated = formed.aggregated
    parties = (("coordinator", aggregated.coordinator_id), ("buyer", aggregated.buyer_ids[0]))
    for number, (party, party_id) in enumerate(parties, start=1):
        await stage.officer.verify(
            aggregated.purchase_id,
            snapshot=aggregated.snapshot,
            party="coordinator" if party == "coordinator" else "buyer",
            party_id=party_id,
            valid_until=datetime.now(UTC) + VALID_FOR,
            reference=f"Invented register extract {number}",
        )
    return await stage.officer.journal.wait_for(
        lambda entry: entry.says(GroupQualified, aggregated.purchase_id),
        within=PATIENCE,
        what="the group's qualification",
    )


async def _invitations(stage: Stage, purchase_id: UUID) -> dict[str, Request]:
    listed = stage.roles.listed
    found = await asyncio.gather(
        *(stage.providers[pid].request(purchase_id, within=PATIENCE) for pid in listed)
    )
    await stage.watcher.journal.catch_up()
    return dict(zip(listed, found, strict=True))


def _invited(stage: Stage) -> list[int]:
    """Return how many invitations each provider's topic holds; parts of their documents are not counted."""
    invited = Counter(
        entry.topic for entry in stage.watcher.journal.entries if isinstance(entry.message, RequestPresented)
    )
    return [invited[f"invitations.{pid}"] for pid in stage.roles.everyone]


def _on_topics_of(stage: Stage, pid: str) -> int:
    return sum(stage.watcher.count(f"{kind}.{pid}") for kind in ("invitations", "notices"))


def _show_counter(stage: Stage, missing: tuple[str, ...]) -> None:
    waiting = (
        f"   waiting for: {', '.join(missing)}" if missing else "   waiting for nothing: the gate is open"
    )
    stage.tell.count(f"invitations on the providers' topics: {_spaced(_invited(stage))}{waiting}")


def _spaced(numbers: list[int]) -> str:
    return " ".join(str(number) for number in numbers)
