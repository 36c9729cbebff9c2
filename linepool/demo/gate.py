"""Part 2: the request is issued, waits for the group's qualification, and then goes to exactly the listed providers."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from linepool.demo import asking
from linepool.demo.forming import Formed
from linepool.demo.offers import CONTRACT_MONTHS
from linepool.demo.scenario import REGION
from linepool.demo.signed_in import Opened
from linepool.demo.stage import Stage
from linepool.demo.story import Answered, Rejection
from linepool.demo.telling import ClaimError
from linepool.demo.waiting import PATIENCE
from linepool.people.documents import parts_of
from linepool.provider import Request
from shared.messages.distribution import AccessOffered, RequestPresented
from shared.messages.rfp import (
    GroupQualified,
    Mode,
    ProviderRegistered,
    RequestIssued,
)

SHORTEST_TIME_TO_REPLY = 14.0
ATTACHED = ("Access to the sites.txt", b"The sites of this story are invented. Access is by the rear gate.\n")
"""A document that is attached to the request: name and content."""
VALID_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Invited:
    """The request is out."""

    issued: RequestIssued
    invitations: dict[str, Request]
    qualified: GroupQualified
    answered: Answered
    refused: tuple[Rejection, ...]


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
    tell, roles = stage.tell, stage.roles
    tell.chapter(2, "The request waits for the group's qualification")
    tell.doing("the request is issued")
    await register_providers(stage)
    # A slower machine, or more usage, gets a later deadline.
    seconds = time_to_reply or max(SHORTEST_TIME_TO_REPLY, 6 + 0.9 * formed.seconds)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    await _attach(stage)
    issued = await issue(stage, stage.people, roles.listed, deadline, mode=stage.scenario.mode)
    tell.step(
        "The request is issued",
        f"{len(roles.everyone)} providers are registered, {len(issued.provider_ids)} are on the list. "
        f"Replies count until {issued.deadline:%H:%M:%S} UTC.",
    )
    await _wait_for_qualification_alone(stage, stage.purchase_id)
    tell.claim(
        "no provider's topic holds anything, while all but the qualification is there",
        holds=not any(_on_topics_of(stage, pid) for pid in roles.everyone),
    )
    qualified = await _verify(stage, formed)
    tell.doing("invitations go out")
    await _invitations(stage, stage.purchase_id)
    _show_counter(stage, ())
    tell.step(
        "The officer verifies",
        f"The coordinator and one buyer are who they say; qualification {qualified.number} opens the gate.",
    )
    listed = [1 if pid in roles.listed else 0 for pid in roles.everyone]
    tell.claim(f"invitations on the providers' topics: {_spaced(listed)}", holds=_invited(stage) == listed)
    shown = await _shown(stage, issued)
    tell.claim(
        "every listed provider has put the request together, with its attached document, and found all hashes right",
        holds={one.presented.content.sha256 for one in shown.requests.values()} == {issued.content.sha256}
        and all(one.documents[ATTACHED[0]] == ATTACHED[1] for one in shown.requests.values()),
    )
    await asking.acknowledge(stage, shown.requests)
    answered = await asking.ask_a_question(stage, shown.requests)
    return Invited(issued, shown.requests, qualified, answered, shown.refused)


async def _attach(stage: Stage) -> None:
    name, content = ATTACHED
    file = stage.stack.folder / name
    file.write_bytes(content)
    for part in parts_of(file):
        await stage.people.coordinator.order(stage.purchase_id, "attach-document", part)


async def _shown(stage: Stage, issued: RequestIssued) -> asking.Shown:
    """Return the request as each listed provider has it: asked for, or brought by the invitation itself."""
    if issued.mode == "grant":
        return await asking.ask_for_access(stage, issued)
    listed = stage.roles.listed
    found = await asyncio.gather(
        *(stage.providers[pid].request(issued.purchase_id, within=PATIENCE) for pid in listed)
    )
    return asking.Shown(dict(zip(listed, found, strict=True)), ())


async def issue(
    stage: Stage, opened: Opened, listed: tuple[str, ...], deadline: datetime, *, mode: Mode
) -> RequestIssued:
    """Describe the need, set the list, and issue the request of a closed group."""
    by, purchase_id = opened.coordinator, opened.purchase_id
    need = {
        "title": "Telecom services for the group",
        "description": "Prices for what the group's lines use, over one term.",
        "services": [
            {"service": service, "unit": unit, "description": service}
            for service, unit in stage.scenario.services.items()
        ],
        "places": [REGION],
        "deadline": deadline.isoformat(),
        "contract_months": CONTRACT_MONTHS,
        "mode": mode,
        "buyers_shown": "named",
    }
    await by.order(purchase_id, "describe-need", need)
    await by.order(purchase_id, "set-provider-list", {"provider_ids": list(listed)})
    await by.order(purchase_id, "issue-request", {})
    return await stage.watcher.journal.wait_for(
        lambda entry: entry.says(RequestIssued, purchase_id), within=PATIENCE, what="the issued request"
    )


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


async def _invitations(stage: Stage, purchase_id: UUID) -> None:
    """Wait until every listed provider has its invitation."""
    invitation = _invitation(stage)
    await asyncio.gather(
        *(
            stage.providers[pid].journal.wait_for(
                lambda entry: entry.says(invitation, purchase_id), within=PATIENCE, what="the invitation"
            )
            for pid in stage.roles.listed
        )
    )
    await stage.watcher.journal.catch_up()


def _invitation(stage: Stage) -> type[AccessOffered | RequestPresented]:
    return AccessOffered if stage.scenario.mode == "grant" else RequestPresented


def _invited(stage: Stage) -> list[int]:
    """Return how many invitations each provider's topic holds; parts of their documents are not counted."""
    invitation = _invitation(stage)
    invited = Counter(
        entry.topic for entry in stage.watcher.journal.entries if entry.says(invitation) is not None
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
