"""How fast this machine is, so that a deadline is neither missed nor waited for long."""

from datetime import UTC, datetime, timedelta
from time import monotonic

from shared.messages.aggregation import GroupAggregated
from tests.flow.purchase import Purchase, bid, form, issue, register, verify
from tests.flow.system import System

_SLOWEST_S = 60.0
_PROVIDERS = ("aikoaikoaiko", "briobriobrio", "coracoracora")
_took: list[float] = []


def soon() -> float:
    """Return seconds from the need to a deadline before which the last reply is there."""
    return 1.0 + 3 * _took[0]


def is_measured() -> bool:
    return bool(_took)


async def measure(system: System) -> None:
    """Run two purchases up to their replies; the second counts, as it does nothing for the first time."""
    await register(system, *_PROVIDERS)
    for _ in range(2):
        purchase = Purchase(_PROVIDERS)
        await form(system, purchase)
        await system.until(GroupAggregated, purchase.purchase_id)
        began = monotonic()
        snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=_SLOWEST_S))
        await verify(system, purchase, snapshot)
        await bid(system, purchase)
        took = monotonic() - began
    _took.append(took)
