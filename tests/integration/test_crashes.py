"""Each process killed with SIGKILL at each named point of its work: nothing is lost, nothing is doubled, no hand is needed."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.services import PROCESSES, SERVICES
from shared.crash import POINTS
from shared.messages.aggregation import GroupAggregated
from tests.flow.purchase import bid, conclude, form, issue, verify
from tests.integration.system import RealSystem

RESTART_S = 10.0
"""How long a killed service may be away: its start, and its group's waiting for the one that died."""

ONE_EACH = (
    ("aggregation", "after_send"),
    ("rfp", "after_commit"),
    ("distribution", "before_ack"),
    ("bidding", "before_offset"),
    ("notification", "after_outbox"),
    ("opener", "after_business"),
    ("portal", "after_inbox"),
)
"""What `make test` runs: in each process another point."""
OPENER_POINTS = ("before_business", "after_business", "before_commit", "after_commit")
"""It takes nothing from Kafka and sends nothing there: these are the points that it passes."""
PORTAL_POINTS = tuple(point for point in POINTS if not point.endswith(("_outbox", "_send", "_ack")))
"""It sends nothing that no person has ordered: it is killed at the other points in `test_portal_crashes`."""


async def have_crashed(markers: Mapping[str, Path]) -> set[str]:
    return {name for name, marker in markers.items() if await asyncio.to_thread(marker.exists)}


async def survive(system: RealSystem, names: Sequence[str], point: str, folder: Path) -> None:
    """Run a purchase while services kill themselves, each once, at a point; see that it made no difference."""
    before = {name: system.services.restarts_of(name) for name in names}
    markers = {name: folder / name for name in names}
    for name, marker in markers.items():
        await system.crash_at(name, point, marker)
    purchase = system.purchase()
    await form(system, purchase)
    await system.until(GroupAggregated, purchase.purchase_id)
    gone = await have_crashed(markers)
    await asyncio.to_thread(system.services.wait_ready, sorted(gone))
    seconds = system.soon(faults=0 if gone == set(names) else RESTART_S)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=seconds))
    await verify(system, purchase, snapshot)
    await bid(system, purchase)
    await conclude(system, purchase)
    await system.rest()
    # Each of these services passes this point on its way: there is none where nothing is tested.
    assert await have_crashed(markers) == set(names), f"some never passed {point}: nothing was tested there"
    assert {name: system.services.restarts_of(name) - before[name] for name in names} == dict.fromkeys(
        names, 1
    )
    await system.complete(purchase)
    await system.check()


@pytest.mark.parametrize(("name", "point"), ONE_EACH)
async def test_a_service_that_is_killed_there_loses_and_doubles_nothing(
    system: RealSystem, tmp_path: Path, name: str, point: str
) -> None:
    await survive(system, [name], point, tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize("point", POINTS)
async def test_every_process_may_be_killed_at_every_point_even_all_of_them_in_one_purchase(
    system: RealSystem, tmp_path: Path, point: str
) -> None:
    resting = {"portal"} if point not in PORTAL_POINTS else set()
    beside = ["opener"] if point in OPENER_POINTS else []
    await survive(system, [*sorted(set(SERVICES) - resting), *beside], point, tmp_path)


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_process_that_is_told_to_stop_ends_in_order_and_soon(system: RealSystem, name: str) -> None:
    # After 15 s the supervisor would have killed it, and the code were -9.
    code = await asyncio.to_thread(system.services.stop_one, name)
    await asyncio.to_thread(system.services.start, name)
    assert code == 0
