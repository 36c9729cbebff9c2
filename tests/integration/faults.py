"""What goes wrong around running purchases."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from deploy.local.services import SERVICES
from tests.flow.purchase import Purchase, buy
from tests.integration.system import RealSystem


async def kill_services(system: RealSystem, kills: int, *, seed: int = 1) -> list[str]:
    """SIGKILL services that are ready, one at random after the other; return which."""
    random = Random(seed)  # noqa: S311 # an order to repeat, no secret
    killed: list[str] = []
    while len(killed) < kills:
        name = random.choice(SERVICES)
        if await asyncio.to_thread(system.services.status, name, "/readyz") == 200:
            await asyncio.to_thread(system.services.kill, name)
            killed.append(name)
        await asyncio.sleep(random.uniform(0.1, 1.0))
    return killed


async def meanwhile(
    system: RealSystem,
    purchases: list[Purchase],
    fault: Callable[[], Awaitable[object]],
    *,
    apart: float,
    takes: float,
) -> None:
    """Run purchases, begun so many seconds apart, while a fault happens that takes some seconds; see that all is well."""

    async def later(number: int, purchase: Purchase) -> None:
        await asyncio.sleep(number * apart)
        await buy(system, purchase, seconds=lambda: system.soon(faults=takes))

    async with asyncio.TaskGroup() as tasks:
        for number, purchase in enumerate(purchases):
            tasks.create_task(later(number, purchase))
        tasks.create_task(_run(fault))
    await asyncio.to_thread(system.services.wait_ready)
    await system.rest()
    await system.complete(*purchases)
    await system.check()


async def _run(fault: Callable[[], Awaitable[object]]) -> None:
    await fault()
