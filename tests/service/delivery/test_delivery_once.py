"""Each message takes effect once, and what it led to is said once."""

from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition

from shared.messages.aggregation import GroupOpened
from tests.memory import MemoryKafka, Running
from tests.service.delivery.delivery_desk import (
    Desk,
    Disturbance,
    effects,
    opened,
    parked,
    raising,
    say_cancelled,
    try_again,
)


async def test_a_message_that_is_appended_twice_is_handled_once(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    id_ = kafka.event(opened("first"))
    record = kafka.topics["aggregation.events"][0]
    kafka.append("aggregation.events", record.value, record.headers, record.key)
    await kafka.settle()
    assert desk.runs == ["first"]
    assert await effects(service) == ["first"]
    assert await service.pool.fetchval("SELECT count(*) FROM inbox") == 1
    assert id_


async def test_a_record_that_is_delivered_again_is_passed_over_also_without_an_inbox(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    kafka.event(opened("first"))
    await kafka.settle()
    await service.pool.execute("TRUNCATE inbox")
    service.rewind()
    await kafka.settle()
    assert desk.runs == ["first"]


async def test_the_position_is_written_with_what_was_done(service: Running, kafka: MemoryKafka) -> None:
    for name in ("first", "second", "third"):
        kafka.event(opened(name))
    await kafka.settle()
    rows = await service.pool.fetch("SELECT consumer, topic, next FROM positions WHERE consumer <> 'relay'")
    assert [tuple(row) for row in rows] == [("rfp.aggregation.events", "aggregation.events", 3)]


async def test_kafka_s_offset_moves_only_after_the_commit(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    seen: list[int | None] = []

    class Consumer:
        async def commit(self) -> None:
            seen.append(await service.pool.fetchval("SELECT count(*) FROM effects"))

        def seek(self, *_: object, **__: object) -> None:
            seen.append(None)

    kafka.event(opened("first"))
    record: Any = kafka.topics["aggregation.events"][0]
    record.consumer = Consumer()
    subscriber = service.service.wiring.stream_of("rfp.aggregation.events").subscriber
    await subscriber.process_message(record)
    # What the offset says is behind us is seen by every other connection.
    assert seen == [1]
    assert desk.runs == ["first"]


async def test_a_database_that_goes_away_moves_no_offset_and_the_record_comes_again(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    sought: list[object] = []

    class Consumer:
        async def commit(self) -> None:
            sought.append("committed")

        def seek(self, partition: TopicPartition, offset: int) -> None:
            sought.append((partition.topic, offset))

    desk.event = raising(asyncpg.ConnectionDoesNotExistError("away"))
    kafka.event(opened("first"))
    record: Any = kafka.topics["aggregation.events"][0]
    record.consumer = Consumer()
    subscriber = service.service.wiring.stream_of("rfp.aggregation.events").subscriber
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await subscriber.process_message(record)
    assert sought == [("aggregation.events", 0)]
    assert await effects(service) == []
    assert await parked(service) == []
    desk.event = None
    await subscriber.process_message(record)
    assert sought == [("aggregation.events", 0), "committed"]
    assert await effects(service) == ["first"]


async def test_what_a_handler_said_before_it_failed_is_never_sent(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    async def say_and_fail(event: GroupOpened, tx: asyncpg.Connection, publish: Any) -> None:
        await say_cancelled(event, tx, publish)
        await service.send()
        raise Disturbance

    desk.event = say_and_fail
    kafka.event(opened("first"))
    await kafka.settle()
    assert kafka.topics["rfp.events"] == []
    assert await effects(service) == []
    assert await parked(service) == [("failed", "Disturbance")]


async def test_a_database_error_that_a_handler_swallows_loses_nothing(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    async def swallow(_event: GroupOpened, tx: asyncpg.Connection, _publish: object) -> None:
        try:
            await tx.execute("SELECT no_such_column FROM effects")
        except asyncpg.PostgresError:
            return

    desk.event = swallow
    kafka.event(opened("first"))
    await kafka.settle()
    # A COMMIT would have rolled back without a word, and the message would be gone.
    assert await parked(service) == [("failed", "InFailedSQLTransactionError")]
    desk.event = None
    await try_again(service, kafka)
    assert await effects(service) == ["first"]


async def test_the_same_decision_has_the_same_id_also_when_inbox_and_log_are_gone(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    desk.event = say_cancelled
    kafka.event(opened("first"))
    await kafka.settle()
    await service.pool.execute("TRUNCATE inbox, positions")
    await service.pool.execute("ALTER TABLE log DISABLE TRIGGER USER")
    await service.pool.execute("TRUNCATE log")
    service.rewind()
    await kafka.settle()
    first, second = kafka.topics["rfp.events"]
    assert dict(first.headers)["ce_id"] == dict(second.headers)["ce_id"]


async def test_a_decision_is_said_once_however_often_it_is_made(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    desk.event = say_cancelled
    kafka.event(opened("first"))
    await kafka.settle()
    await service.pool.execute("TRUNCATE inbox, positions")
    service.rewind()
    await kafka.settle()
    assert desk.runs == ["first", "first"]
    assert len(kafka.topics["rfp.events"]) == 1
