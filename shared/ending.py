"""What must not be left in the middle when a process is told to end: done there, and not noted, it would be done again."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def to_its_end(work: Awaitable[Result], *, at_most: float) -> Result:
    """Do some work to its end, even if this task is cancelled meanwhile; from then on for so many seconds at most.

    Raises:
        CancelledError: this task was cancelled; the work has ended by then.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=at_most)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
