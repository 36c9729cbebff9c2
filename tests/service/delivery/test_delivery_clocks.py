"""How far the clocks of Kafka and of the database disagree, as far as rounds of the relay can show it."""

from datetime import timedelta

from shared import clock_skew
from tests.memory import Running

SECOND = timedelta(seconds=1)


async def test_the_most_that_any_round_of_ten_minutes_showed_counts_for_every_process(
    service: Running,
) -> None:
    assert await clock_skew.measured(service.pool) is None
    async with service.pool.acquire() as connection:
        now = await connection.fetchval("SELECT clock_timestamp()")
        behind = now - 3 * SECOND
        await clock_skew.note(connection, before=now, first=behind, last=now)
        # A round that touches another broker, or that takes so long that it hides the difference, says nothing against it.
        await clock_skew.note(connection, before=now, first=now, last=now)
        await clock_skew.note(connection, before=behind, first=behind, last=now)
        assert await clock_skew.measured(service.pool) == 3 * SECOND

        await connection.execute("UPDATE clock_skews SET minute = minute - interval '10 minutes'")
        # Nothing was sent since: what was seen last still holds.
        await clock_skew.forget(connection)
        assert await clock_skew.measured(service.pool) == 3 * SECOND
        await clock_skew.note(connection, before=now, first=now, last=now)
        assert await clock_skew.measured(service.pool) == 0 * SECOND
        assert await connection.fetchval("SELECT count(*) FROM clock_skews") == 2
        await clock_skew.forget(connection)
        assert await connection.fetchval("SELECT count(*) FROM clock_skews") == 1


async def test_a_broker_whose_clock_is_ahead_shows_by_what_it_dates_later_than_now(service: Running) -> None:
    async with service.pool.acquire() as connection:
        now = await connection.fetchval("SELECT clock_timestamp()")
        await clock_skew.note(connection, before=now, first=now, last=now + 3600 * SECOND)
    shown = await clock_skew.measured(service.pool)
    assert shown is not None
    assert 3500 * SECOND < shown < 3600 * SECOND


async def test_what_a_process_of_the_release_before_measured_holds_until_something_is_measured(
    service: Running,
) -> None:
    await service.pool.execute("INSERT INTO clock_skew (skew) VALUES ($1)", 5 * SECOND)
    assert await clock_skew.measured(service.pool) == 5 * SECOND
    async with service.pool.acquire() as connection:
        now = await connection.fetchval("SELECT clock_timestamp()")
        await clock_skew.note(connection, before=now, first=now - SECOND, last=now)
    assert await clock_skew.measured(service.pool) == SECOND
