"""From `kill -9` of a process to the next messages that it would have taken, by the length of sessions and by who takes over.

Right after the kill one command goes to each partition. What counts is when the broker appended the answer to the last of them.
A process that is started again is so at once, and its own start is part of the time. Broker and process share a clock.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.measuring import connection, producer
from deploy.local.services import Services, python_module
from deploy.local.stack import Stack
from linepool.client.journal import partitions_of
from linepool.client.people import coordinator
from shared.envelope import Headers, command_headers, read_headers
from shared.messages.aggregation import Contact, OpenGroup

SERVICE = "aggregation"
WITHIN_S = 120.0


def static_member(name: str) -> Sequence[str]:
    """Return the program of a service whose consumers are static members."""
    return sys.executable, "-m", "bench.static_member", name


@dataclass(frozen=True)
class Way:
    """How long sessions are, whether another replica takes over or the same process again, and what runs."""

    name: str
    session_ms: int
    replica: bool = False
    program: Callable[[str], Sequence[str]] = python_module


WAYS = (
    Way("session of 45 s, started again", 45_000),
    Way("session of 45 s, another replica", 45_000, replica=True),
    Way("session of 10 s, started again", 10_000),
    Way("session of 10 s, another replica", 10_000, replica=True),
    Way("session of 45 s, static member, started again", 45_000, program=static_member),
)


def measure(stack: Stack, way: Way, rounds: int) -> list[float]:
    """Return the seconds that each round took."""
    names = [SERVICE, f"{SERVICE}-2"] if way.replica else [SERVICE]
    with Services(
        stack, names, restarts=False, session_timeout_ms=way.session_ms, program=way.program
    ) as services:
        return [asyncio.run(_round(stack, services, way)) for _ in range(rounds)]


async def _round(stack: Stack, services: Services, way: Way) -> float:
    consumer = AIOKafkaConsumer(**connection(stack).arguments(), enable_auto_commit=False)
    await consumer.start()
    try:
        places = await partitions_of(consumer, f"{stack.prefix}{SERVICE}.commands")
        answers = await partitions_of(consumer, f"{stack.prefix}{SERVICE}.events")
        consumer.assign(answers)
        # All are at rest: whoever joined last has its partitions.
        await _answered(stack, consumer, answers, places)
        killed = time.time()
        await asyncio.to_thread(services.kill, SERVICE)
        if not way.replica:
            await asyncio.to_thread(services.start, SERVICE, wait=False)
        last = await _answered(stack, consumer, answers, places)
        if way.replica:
            await asyncio.to_thread(services.start, SERVICE)
        return last - killed
    finally:
        await consumer.stop()


async def _answered(
    stack: Stack,
    consumer: AIOKafkaConsumer,
    answers: Sequence[TopicPartition],
    places: Sequence[TopicPartition],
) -> float:
    """Give a command on each partition; return when the last answer was appended, in seconds since 1970."""
    await consumer.seek_to_end(*answers)
    for place in answers:
        await consumer.position(place)
    subjects = {str(uuid4()) for _ in places}
    async with producer(stack) as kafka:
        for place, subject in zip(places, sorted(subjects), strict=True):
            body, headers = _opening(subject)
            await kafka.send_and_wait(
                place.topic, body, key=subject.encode(), partition=place.partition, headers=headers
            )
    times: dict[str | None, int] = {}
    async with asyncio.timeout(WITHIN_S):
        while not subjects <= times.keys():
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    times.setdefault(read_headers(record.headers).subject, record.timestamp)
    return max(times[subject] for subject in subjects) / 1000


def _opening(subject: str) -> tuple[bytes, Headers]:
    person = uuid4()
    order = OpenGroup.model_validate(
        {
            "purchase_id": subject,
            "name": "Bench",
            "currency": "EUR",
            "tax_basis": "net",
            "contact": Contact(person_id=person, name="Bench", email="bench@linepool.invalid"),
        }
    )
    headers = command_headers(
        order, id=uuid4(), actor=coordinator(person), source="/bench", time=datetime.now(UTC)
    )
    return order.to_bytes(), headers
