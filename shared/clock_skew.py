"""How far Kafka's append times and the database's clock disagree, kept where every process of a service sees it.

One round of the relay touches some brokers and shows the least disagreement that explains what it saw: a slow round hides more.
So what counts is the most of the last ten minutes in which anything was measured. Where nothing was sent since, that still holds.
"""

from datetime import datetime, timedelta

import asyncpg

WINDOW = timedelta(minutes=10)


async def note(connection: asyncpg.Connection, *, before: datetime, first: datetime, last: datetime) -> None:
    """Note one round, in which messages were appended from `first` to `last` by the brokers' clocks.

    By the database's clock that was between `before` and now: what lies outside is disagreement.
    """
    await connection.execute(
        "INSERT INTO clock_skews AS known (minute, skew) SELECT date_trunc('minute', clock_timestamp()),"
        " greatest($3::timestamptz - clock_timestamp(), $1::timestamptz - $2::timestamptz, interval '0')"
        " ON CONFLICT (minute) DO UPDATE SET skew = excluded.skew WHERE excluded.skew > known.skew",
        before,
        first,
        last,
    )


async def measured(connection: asyncpg.Connection | asyncpg.Pool) -> timedelta | None:
    """Return what counts now, whichever process measured it; None while nobody has."""
    skew: timedelta | None = await connection.fetchval(
        # A process of the release before has left one row elsewhere.
        "SELECT coalesce((SELECT max(skew) FROM clock_skews"
        "  WHERE minute > (SELECT max(minute) FROM clock_skews) - $1::interval), (SELECT skew FROM clock_skew))",
        WINDOW,
    )
    return skew


async def forget(connection: asyncpg.Connection | asyncpg.Pool) -> None:
    """Delete what counts no more."""
    await connection.execute(
        "DELETE FROM clock_skews WHERE minute <= (SELECT max(minute) FROM clock_skews) - $1::interval", WINDOW
    )
