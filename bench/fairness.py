"""How much longer others wait for their receipts while one provider has a backlog of 100,000 poison messages, or floods.

In one run, against one service: others reply at a steady pace; each disturbed time is compared with the quiet one just before.
A receipt's latency is the time between two append times of the broker: the reply's and the receipt's.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench import intake
from bench.measuring import append_times, connection, producer
from deploy.access.login import Login
from deploy.local.services import Services
from deploy.local.stack import Stack
from shared.messages.providers import ReplySubmitted

OTHERS = 10
POISON = 100_000
SECONDS = 15
PAUSE_S = 0.05
"""Between two replies of others."""
UNSEALED = {"LINEPOOL_SEAL": "none"}
"""Sealing would be this program's work, and is no part of what is measured."""


@dataclass(frozen=True)
class Latencies:
    """Of others' receipts, in milliseconds: (median, 99th percentile)."""

    quiet: tuple[float, float]
    disturbed: tuple[float, float]


@dataclass(frozen=True)
class Fairness:
    """What one provider's poison does to others."""

    flood_within_quotas: Latencies
    """It sends as fast as the quotas let it that every provider has."""
    backlog: Latencies
    """All of it waits when the service starts."""
    flood: Latencies
    """It has no quotas, and sends as fast as it can."""


def measure(stack: Stack) -> Fairness:
    """Run the three disturbances on a bidding service of its own."""
    bounded, backlog, unbounded = "q00000000000", "b00000000000", "f00000000000"
    others = [f"o{number:011d}" for number in range(OTHERS)]
    (with_quotas,) = stack.add_providers([bounded])
    stack.add_providers([backlog, unbounded, *others], quotas=False)
    purchase = uuid4()
    asyncio.run(intake.tell_bidding(stack, purchase, [bounded, backlog, unbounded, *others]))

    def ask_others(first_revision: int) -> list[float]:
        return asyncio.run(_replies(stack, others, purchase, first_revision))

    def ask_others_beside(flood: Callable[[], Coroutine[Any, Any, None]], first_revision: int) -> list[float]:
        return asyncio.run(_beside(flood, _replies(stack, others, purchase, first_revision)))

    with Services(stack, ["bidding"], environment=UNSEALED) as services:
        asyncio.run(intake.box_is_ready(stack, purchase))
        ask_others(1)  # what runs for the first time is slower
        within_quotas = _latencies(
            ask_others(10_000),
            ask_others_beside(lambda: _poison(stack, bounded, with_quotas), 20_000),
        )
        asyncio.run(_all_is_answered(stack, bounded))
        quiet = ask_others(30_000)
        services.stop_one("bidding")
        asyncio.run(_poison(stack, backlog, None))
        services.start("bidding", UNSEALED)
        behind = _latencies(quiet, ask_others(40_000))
        asyncio.run(_all_is_answered(stack, backlog))
        beside = _latencies(
            ask_others(50_000),
            ask_others_beside(lambda: _poison(stack, unbounded, None), 60_000),
        )
    return Fairness(within_quotas, behind, beside)


def _latencies(quiet: list[float], disturbed: list[float]) -> Latencies:
    return Latencies(_figures(quiet), _figures(disturbed))


def _figures(latencies: list[float]) -> tuple[float, float]:
    return median(latencies), quantiles(latencies, n=100, method="inclusive")[98]


async def _beside(
    flood: Callable[[], Coroutine[Any, Any, None]], replies: Coroutine[Any, Any, list[float]]
) -> list[float]:
    flooding = asyncio.create_task(flood())
    try:
        return await replies
    finally:
        if flooding.done():
            flooding.result()  # a flood that failed disturbed nobody
        flooding.cancel()
        await asyncio.wait([flooding])


async def _poison(stack: Stack, provider: str, login: Login | None) -> None:
    """Send it all, as this user or as one without quotas."""
    topic = f"{stack.prefix}replies.{provider}"
    async with producer(stack, login=login, linger_ms=2, max_batch_size=131_072) as kafka:
        for first in range(0, POISON, 1000):
            sent = [
                await kafka.send(
                    topic,
                    value=b'{"poison": %d}' % number,
                    headers=[("ce_id", str(uuid4()).encode()), ("ce_type", ReplySubmitted.type().encode())],
                )
                for number in range(first, first + 1000)
            ]
            await asyncio.gather(*sent)


async def _all_is_answered(stack: Stack, provider: str) -> None:
    said = TopicPartition(f"{stack.prefix}replies.{provider}", 0)
    consumer = AIOKafkaConsumer(**connection(stack).arguments(), enable_auto_commit=False)
    async with consumer:
        ends = await consumer.end_offsets([said])
    await append_times(stack, [f"{stack.prefix}notices.{provider}"], ends[said], within=300)


async def _replies(stack: Stack, others: list[str], purchase: UUID, first_revision: int) -> list[float]:
    """Reply for some seconds; return how long each receipt took."""
    example = intake.EXAMPLES / f"{ReplySubmitted.type()}.json"
    body = json.loads(example.read_text()) | {"purchase_id": str(purchase)}
    sent: dict[str, int] = {}
    async with producer(stack) as kafka, _at_ends(stack, others) as consumer:
        until = monotonic() + SECONDS
        number = 0
        while monotonic() < until:
            provider = others[number % len(others)]
            body["revision"] = first_revision + number
            id_ = str(uuid4())
            sent[id_] = await _append(kafka, f"{stack.prefix}replies.{provider}", id_, body)
            number += 1
            await asyncio.sleep(PAUSE_S)
        return [at - sent[id_] for id_, at in await _receipts(consumer, sent)]


async def _append(kafka: AIOKafkaProducer, topic: str, id_: str, body: dict[str, object]) -> int:
    headers = [("ce_id", id_.encode()), ("ce_type", ReplySubmitted.type().encode())]
    appended = await kafka.send_and_wait(topic, value=json.dumps(body).encode(), headers=headers)
    return int(appended.timestamp)


class _at_ends:  # noqa: N801 # used as a function
    """A consumer of some providers' notices, from now on."""

    def __init__(self, stack: Stack, providers: Iterable[str]) -> None:
        self._consumer = AIOKafkaConsumer(**connection(stack).arguments(), enable_auto_commit=False)
        self._places = [TopicPartition(f"{stack.prefix}notices.{provider}", 0) for provider in providers]

    async def __aenter__(self) -> AIOKafkaConsumer:
        await self._consumer.start()
        self._consumer.assign(self._places)
        await self._consumer.seek_to_end(*self._places)
        return self._consumer

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()


async def _receipts(consumer: AIOKafkaConsumer, sent: dict[str, int]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    async with asyncio.timeout(300):
        while len(found) < len(sent):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    notice = json.loads(record.value)
                    if notice.get("message_id") in sent:
                        found.setdefault(notice["message_id"], record.timestamp)
    return list(found.items())
