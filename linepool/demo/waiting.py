"""Waiting for what no topic tells."""

import asyncio
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds that anything of the story may take before it counts as not happening."""


async def until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Ask, in a thread, every tenth of a second until a condition holds.

    Raises:
        TimeoutError: it did not within so many seconds; it names `what`.
    """
    try:
        async with asyncio.timeout(within):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 # nothing tells us: that is why we ask
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"{what} did not come within {within:.0f} s") from None
