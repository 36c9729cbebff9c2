"""Whole purchases on the real stack."""

import asyncio

from tests.flow.purchase import buy
from tests.integration.system import RealSystem


async def test_a_purchase_runs_from_its_group_to_accepted_terms(system: RealSystem) -> None:
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon)
    await system.rest()
    await system.complete(purchase)
    await system.check()


async def test_many_purchases_at_once_do_not_disturb_each_other(system: RealSystem) -> None:
    purchases = [system.purchase() for _ in range(5)]
    await asyncio.gather(*(buy(system, one, seconds=lambda: system.soon(faults=30)) for one in purchases))
    await system.rest()
    await system.complete(*purchases)
    await system.check()
