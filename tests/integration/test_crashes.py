"""Each service killed with SIGKILL at each named point of its work: nothing is lost, nothing is doubled, no hand is needed."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from deploy.local.services import SERVICES
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
)
"""What `make test` runs: in each service another point."""
NEVER_PASSED: dict[tuple[str, str], str] = {}
"""Points that a service does not pass, with the reason. All five consume, decide, say something and send it: there are none."""
SWEEP = [(name, point) for point in POINTS for name in SERVICES if (name, point) not in NEVER_PASSED]


async def has_crashed(marker: Path) -> bool:
    return await asyncio.to_thread(marker.exists)


async def survive(system: RealSystem, name: str, point: str, marker: Path) -> None:
    """Run a purchase while one service kills itself at a point, and see that it made no difference."""
    before = system.services.restarts_of(name)
    await system.crash_at(name, point, marker)
    purchase = system.purchase()
    await form(system, purchase)
    await system.until(GroupAggregated, purchase.purchase_id)
    if await has_crashed(marker):
        await asyncio.to_thread(system.services.wait_ready, [name])
    seconds = system.soon(faults=0 if await has_crashed(marker) else RESTART_S)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=seconds))
    await verify(system, purchase, snapshot)
    await bid(system, purchase)
    await conclude(system, purchase)
    await system.rest()
    assert await has_crashed(marker), f"{name} never passed {point}: nothing was tested"
    assert system.services.restarts_of(name) == before + 1
    await system.complete(purchase)
    await system.check()


@pytest.mark.parametrize(("name", "point"), ONE_EACH)
async def test_a_service_that_is_killed_there_loses_and_doubles_nothing(
    system: RealSystem, tmp_path: Path, name: str, point: str
) -> None:
    await survive(system, name, point, tmp_path / "crashed")


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "point"), SWEEP)
async def test_every_service_may_be_killed_at_every_point(
    system: RealSystem, tmp_path: Path, name: str, point: str
) -> None:
    await survive(system, name, point, tmp_path / "crashed")


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_that_is_told_to_stop_ends_in_order_and_soon(system: RealSystem, name: str) -> None:
    began = monotonic()
    await asyncio.to_thread(system.services.stop_one, name)
    took = monotonic() - began
    await asyncio.to_thread(system.services.start, name)
    # After 15 s the supervisor would have killed it.
    assert took < 15
