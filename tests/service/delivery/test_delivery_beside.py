"""What runs beside the consumers: timers, migrations, the watchdog."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared import migrations
from shared.migrations import MigrationError
from shared.timers import Timer, schedule
from shared.workers import fire_timer
from tests.memory import MemoryKafka, Running
from tests.service.delivery.delivery_desk import EFFECTS, Desk, Disturbance, opened

Prepare = Callable[[asyncpg.Connection, Path], Awaitable[object]]


async def test_a_timer_fires_once_when_its_time_has_come_and_one_that_fails_comes_again(
    service: Running, desk: Desk
) -> None:
    fired: list[str] = []

    @desk.timers.handle("ring")
    async def ring(timer: Timer, _tx: asyncpg.Connection, _publish: object) -> None:
        fired.append(timer.subject)
        if fired == ["fails once"]:
            raise Disturbance

    now = await service.pool.fetchval("SELECT clock_timestamp()")
    later = await service.pool.fetchval("SELECT clock_timestamp() + interval '1 hour'")
    async with service.pool.acquire() as connection:
        await schedule(connection, kind="ring", subject="fails once", due_at=now)
        await schedule(connection, kind="ring", subject="due too", due_at=now + timedelta(milliseconds=1))
        await schedule(connection, kind="ring", subject="not due", due_at=later)
    async with asyncio.timeout(20):
        while len(fired) < 3:
            if not await fire_timer(service.runtime, desk.timers):
                await asyncio.sleep(0.05)
    # The one that failed let the other go first, and kept the time that its ids derive from.
    assert fired == ["fails once", "due too", "fails once"]
    assert await service.pool.fetchval("SELECT array_agg(subject) FROM timers") == ["not due"]


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    service: Running, tmp_path: Path
) -> None:
    (tmp_path / "0001_effects.sql").write_text(EFFECTS + "-- changed")
    async with service.pool.acquire() as connection:
        with pytest.raises(MigrationError, match="changed"):
            await migrations.apply(connection, tmp_path)


async def test_two_services_that_migrate_at_once_apply_each_file_once(database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_effects.sql").write_text(EFFECTS)

    async def apply() -> list[str]:
        connection = await asyncpg.connect(database, server_settings={"search_path": "rfp"})
        try:
            return await migrations.apply(connection, tmp_path)
        finally:
            await connection.close()

    applied = await asyncio.gather(*(apply() for _ in range(4)))
    assert sorted(len(one) for one in applied)[:3] == [0, 0, 0]
    assert sum(("service/0001_effects.sql" in one) for one in applied) == 1


async def record(service: Running, name: str, needs: str | None = None) -> None:
    """Say that a process of another release has applied this migration."""
    await service.pool.execute(
        "INSERT INTO migrations (name, checksum, needs) VALUES ($1, 'of another release', $2)", name, needs
    )


@pytest.mark.parametrize("prepare", [migrations.apply, migrations.check])
@pytest.mark.parametrize("needs", [None, "service/0001_effects.sql"])
async def test_a_process_works_on_a_newer_schema_from_which_nothing_is_gone_that_it_needs(
    service: Running, tmp_path: Path, prepare: Prepare, needs: str | None
) -> None:
    await record(service, "service/0002_of_the_next_release.sql", needs)
    async with service.pool.acquire() as connection:
        await prepare(connection, tmp_path)
        found = await migrations.status(connection, tmp_path)
    assert {one.name: one.state for one in found if one.state != "applied"} == {
        "service/0002_of_the_next_release.sql": "newer"
    }


@pytest.mark.parametrize("prepare", [migrations.apply, migrations.check])
@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("service/0003_of_the_release_after_next.sql", "service/0002_of_the_next_release.sql"),
        ("service/0000_of_another_branch.sql", None),
        ("another/0001_role.sql", "service/0002_of_the_next_release.sql"),
    ],
)
async def test_a_process_refuses_a_schema_that_lacks_what_it_needs_or_has_what_no_release_put_there(
    service: Running, tmp_path: Path, prepare: Prepare, name: str, needs: str | None
) -> None:
    await record(service, name, needs)
    async with service.pool.acquire() as connection:
        with pytest.raises(MigrationError, match=f"{name} is unknown"):
            await prepare(connection, tmp_path)


async def test_what_a_migration_needs_is_kept_for_processes_that_do_not_have_its_file(
    service: Running, tmp_path: Path
) -> None:
    (tmp_path / "0002_more.sql").write_text("ALTER TABLE effects ADD COLUMN more text;\n")
    (tmp_path / "0003_less.sql").write_text(
        "-- needs service/0002_more.sql\nALTER TABLE effects DROP COLUMN more;\n"
    )
    async with service.pool.acquire() as connection:
        assert await migrations.apply(connection, tmp_path) == [
            "service/0002_more.sql",
            "service/0003_less.sql",
        ]
        (tmp_path / "0003_less.sql").unlink()
        await migrations.check(connection, tmp_path)
        (tmp_path / "0002_more.sql").unlink()
        with pytest.raises(MigrationError, match=r"0003_less\.sql is unknown"):
            await migrations.check(connection, tmp_path)


async def test_checking_a_schema_says_what_it_lacks_and_leaves_it_empty(
    database: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_effects.sql").write_text(EFFECTS)
    connection = await asyncpg.connect(database, server_settings={"search_path": "rfp"})
    try:
        with pytest.raises(
            MigrationError, match=r"schema rfp lacks \d+ migrations, the first is delivery/0001"
        ):
            await migrations.check(connection, tmp_path)
        assert not await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'rfp'")
        await migrations.apply(connection, tmp_path)
        await migrations.check(connection, tmp_path)
    finally:
        await connection.close()


class Standing:
    """An aiokafka consumer as far as the watchdog looks at it."""

    class _coordinator:  # noqa: N801 # the attribute's name at aiokafka
        @staticmethod
        def check_errors() -> None:
            return None

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("aggregation.events", 0)}

    def highwater(self, _place: TopicPartition) -> int:
        return 9

    async def beginning_offsets(self, places: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.begins)

    async def end_offsets(self, places: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.ends)

    begins, ends = 0, 9


async def test_a_consumer_that_has_lag_and_stands_still_ails_until_it_moves(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Standing()
    stream = service.service.wiring.stream_of("rfp.aggregation.events")
    stream.subscriber.consumer = consumer
    watchdog = service.service.watchdog
    await watchdog.look()
    assert watchdog.ailing == {}
    monkeypatch.setattr("shared.watchdog.STANDSTILL_S", -1.0)
    await watchdog.look()
    assert watchdog.ailing == {"rfp.aggregation.events": "stands still"}
    # What moves is the position in the database: a message that comes again and again moves nothing.
    await service.pool.execute(
        "INSERT INTO positions (consumer, topic, partition, next) VALUES ('rfp.aggregation.events', 'aggregation.events', 0, 4)"
    )
    await watchdog.look()
    assert watchdog.ailing == {}


async def test_while_one_consumer_is_still_connecting_the_others_are_looked_at(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting = AIOKafkaConsumer(group_id="any")
    first, *_, last = service.service.wiring.streams.values()
    first.subscriber.consumer, last.subscriber.consumer = connecting, Standing()
    monkeypatch.setattr("shared.watchdog.STANDSTILL_S", -1.0)
    try:
        for _ in range(2):
            await service.service.watchdog.look()
        assert service.service.watchdog.ailing == {last.consumer: "stands still"}
    finally:
        await connecting.stop()


@pytest.mark.parametrize(
    ("begins", "ends", "kind"), [(5, 9, "messages_gone"), (0, 3, "topic_began_anew"), (0, 9, None)]
)
async def test_a_topic_that_does_not_go_on_where_we_were_is_alarmed(
    service: Running, begins: int, ends: int, kind: str | None
) -> None:
    standing = Standing()
    standing.begins, standing.ends = begins, ends
    stream = service.service.wiring.stream_of("rfp.aggregation.events")
    stream.subscriber.consumer = standing
    await service.pool.execute(
        "INSERT INTO positions (consumer, topic, partition, next) VALUES ('rfp.aggregation.events', 'aggregation.events', 0, 4)"
    )
    await service.service.watchdog.look()
    raised = {
        sample.labels["kind"]
        for metric in service.runtime.metrics.alarms.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.value
    }
    assert raised == ({kind} if kind else set())


async def test_a_database_that_became_older_under_a_running_service_is_noticed_at_the_next_connection(
    service: Running, kafka: MemoryKafka
) -> None:
    noticed: list[str] = []
    service.runtime.progress.react = lambda: noticed.append("older")
    kafka.event(opened("first"))
    kafka.event(opened("second"))
    await kafka.settle()
    await service.pool.expire_connections()
    assert await service.pool.fetchval("SELECT true")
    assert noticed == []
    await service.pool.execute("UPDATE positions SET next = 1 WHERE consumer = 'rfp.aggregation.events'")
    await service.pool.expire_connections()
    assert await service.pool.fetchval("SELECT true")
    assert noticed == ["older"]


async def test_one_provider_s_topic_that_is_ahead_hides_no_other_that_is_behind(service: Running) -> None:
    noticed: list[str] = []
    progress = service.runtime.progress
    progress.react = lambda: noticed.append("older")
    progress.note("rfp.replies", {("replies.a", 0): 5, ("replies.b", 0): 5})
    await service.pool.execute("INSERT INTO positions VALUES ('rfp.replies', 'replies.a', 0, 900)")
    await service.pool.expire_connections()
    assert await service.pool.fetchval("SELECT true")
    assert noticed == ["older"]
