"""Longer than a build may take."""

import asyncio

import pytest

from tests.integration.faults import kill_services, meanwhile
from tests.integration.system import RealSystem

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


async def test_fifty_kills_during_a_flow_of_twenty_purchases(system: RealSystem) -> None:
    purchases = [system.purchase() for _ in range(20)]
    await meanwhile(system, purchases, lambda: kill_services(system, 50), apart=6, takes=60)


async def test_everything_dies_in_turn_during_a_flow_of_twenty_purchases(system: RealSystem) -> None:
    async def storm() -> None:
        for seed in range(3):
            await kill_services(system, 5, seed=seed)
            await asyncio.to_thread(system.stack.kafka.kill)
            await kill_services(system, 1, seed=seed + 10)
            await asyncio.to_thread(system.stack.kafka.start)
            await asyncio.to_thread(system.stack.postgres.kill)
            await asyncio.to_thread(system.stack.postgres.start)

    purchases = [system.purchase() for _ in range(20)]
    await meanwhile(system, purchases, storm, apart=6, takes=90)
