"""The relay sends in order, forgets what was acknowledged, and lets no topic delay another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from shared.relay import Relay, Sent
from tests.memory import MemoryKafka, MemorySender, Running
from tests.service.delivery.delivery_desk import Desk, opened, say_cancelled


async def _fill(service: Running, rows: list[tuple[str, bytes]]) -> None:
    await service.pool.executemany(
        "INSERT INTO outbox (event_id, topic, key, headers, body) VALUES ($1, $2, 'k', '[]', $3)",
        [(uuid4(), topic, body) for topic, body in rows],
    )


@dataclass
class PickySender(MemorySender):
    """Refuses some topics."""

    missing: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    rounds: list[list[str]] = field(default_factory=list)

    async def unknown(self, topics: set[str]) -> set[str]:
        return topics & self.missing

    async def send(self, rows: Any) -> list[Sent | Exception]:
        self.rounds.append([row["topic"] for row in rows])
        good = [row for row in rows if row["topic"] not in self.failing]
        sent = iter(await super().send(good))
        return [OSError("refused") if row["topic"] in self.failing else next(sent) for row in rows]


async def test_the_relay_sends_in_order_and_forgets_only_what_was_acknowledged(
    service: Running, kafka: MemoryKafka
) -> None:
    await _fill(service, [("a", b"1"), ("b", b"1"), ("a", b"2"), ("a", b"3")])
    sender = PickySender(kafka, failing={"b"})
    relay = Relay(service.runtime, kafka.sender)
    async with service.pool.acquire() as connection:
        assert await relay.send_some(connection, sender) is False
    assert [record.value for record in kafka.topics["a"]] == [b"1", b"2", b"3"]
    assert await service.pool.fetchval("SELECT array_agg(topic) FROM outbox") == ["b"]


async def test_a_topic_that_is_missing_delays_no_other_and_heals(
    service: Running, kafka: MemoryKafka
) -> None:
    await _fill(service, [("gone", b"1"), ("here", b"1"), ("gone", b"2")])
    sender = PickySender(kafka, missing={"gone"})
    relay = Relay(service.runtime, kafka.sender)
    async with service.pool.acquire() as connection:
        await relay.send_some(connection, sender)
        assert [record.value for record in kafka.topics["here"]] == [b"1"]
        assert "gone" in relay.blocked
        await _fill(service, [("here", b"2")])
        await relay.send_some(connection, sender)
        assert [record.value for record in kafka.topics["here"]] == [b"1", b"2"]
        sender.missing.clear()
        relay.blocked["gone"] = (0.0, 1.0)
        await relay.send_some(connection, sender)
    assert [record.value for record in kafka.topics["gone"]] == [b"1", b"2"]
    assert relay.blocked == {}


async def test_a_hundred_thousand_rows_to_one_topic_delay_nobody_s_single_one(
    service: Running, kafka: MemoryKafka
) -> None:
    await service.pool.execute(
        "INSERT INTO outbox (event_id, topic, key, headers, body) "
        "SELECT gen_random_uuid(), 'flood', 'k', '[]', 'x' FROM generate_series(1, 100000)"
    )
    await _fill(service, [("single", b"1")])
    sender = PickySender(kafka)
    relay = Relay(service.runtime, kafka.sender)
    async with service.pool.acquire() as connection:
        await relay.send_some(connection, sender)
    assert "single" in sender.rounds[0]


async def test_what_was_sent_but_not_forgotten_is_sent_again_under_the_same_id(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    desk.event = say_cancelled

    @dataclass
    class Deaf(MemorySender):
        async def send(self, rows: Any) -> list[Sent | Exception]:
            await super().send(rows)
            return [ConnectionResetError("no acknowledgement") for _ in rows]

    kafka.event(opened("first"))
    stream = service.service.wiring.stream_of("rfp.aggregation.events")
    await stream.subscriber.process_message(kafka.topics["aggregation.events"][0])
    relay = Relay(service.runtime, kafka.sender)
    async with service.pool.acquire() as connection:
        await relay.send_some(connection, Deaf(kafka))
    await service.send()
    first, second = kafka.topics["rfp.events"]
    assert (first.headers, first.value) == (second.headers, second.value)


async def test_a_process_that_is_told_to_end_while_it_sends_leaves_nothing_to_be_sent_again(
    service: Running, kafka: MemoryKafka
) -> None:
    await _fill(service, [("a", b"1")])
    sending, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow(MemorySender):
        async def send(self, rows: Any) -> list[Sent | Exception]:
            sent = await super().send(rows)
            sending.set()
            await may_go_on.wait()
            return sent

    @asynccontextmanager
    async def slow() -> AsyncIterator[Slow]:
        yield Slow(kafka)

    work = asyncio.create_task(Relay(service.runtime, slow).run())
    await sending.wait()
    work.cancel()
    await asyncio.wait([work], timeout=0.05)
    may_go_on.set()
    await asyncio.gather(work, return_exceptions=True)
    await service.send()
    assert [record.value for record in kafka.topics["a"]] == [b"1"]


async def test_reading_ahead_overtakes_nothing_that_was_committed_meanwhile(
    service: Running, kafka: MemoryKafka
) -> None:
    insert = "INSERT INTO outbox (event_id, topic, key, headers, body) VALUES (gen_random_uuid(), 'a', $1, '[]', $2)"
    slow = await service.pool.acquire()
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute(insert, b"one", b"third")
    await _fill(service, [("a", b"other")])

    @dataclass
    class Meanwhile(PickySender):
        async def unknown(self, topics: set[str]) -> set[str]:
            # The first round is read, and not sent yet.
            if not self.rounds:
                await transaction.commit()
                await service.pool.execute(insert, b"one", b"fourth")
            return await super().unknown(topics)

    sender = Meanwhile(kafka)
    relay = Relay(service.runtime, kafka.sender)
    async with service.pool.acquire() as connection:
        for _ in range(3):
            await relay.send_some(connection, sender)
    await service.pool.release(slow)
    assert [record.value for record in kafka.topics["a"]] == [b"other", b"third", b"fourth"]
