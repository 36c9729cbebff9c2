"""What is over is forgotten: sessions that have ended, and attempts that no limit looks back to."""

import asyncio

from services.portal.store import attempts, sessions
from shared.postgres import connect
from shared.runtime import Runtime

_PAUSE_S = 600.0
_LONGEST_LIMIT_S = 3600.0


async def forget_what_is_over(runtime: Runtime) -> None:
    """Forget it now and then, for as long as the portal runs."""
    while True:
        async with connect(runtime.pool) as db:
            await attempts.purge(db, _LONGEST_LIMIT_S)
            await sessions.purge(db)
        await asyncio.sleep(_PAUSE_S)
