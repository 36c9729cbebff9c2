"""How much longer others wait for their receipts while one provider has a backlog of 100,000 poison messages, or floods.

In one run, against one service: others reply at a steady pace, first alone, then behind the backlog, then beside the flood.
A receipt's latency is the time between two append times of the broker: the reply's and the receipt's.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from time import monotonic
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench import intake
from bench.measuring import connection, producer
from deploy.local.services import Services
from deploy.local.stack import Stack
from shared.messages.providers import ReplySubmitted

OTHERS = 10
POISON = 100_000
SECONDS = 20
PAUSE_S = 0.05
"""Between two replies of others."""


@dataclass(frozen=True)
class Fairness:
    """Latencies of others' receipts in milliseconds: (median, 99th percentile)."""

    alone: tuple[float, float]
    behind_backlog: tuple[float, float]
    beside_flood: tuple[float, float]


def measure(stack: Stack) -> Fairness:
    """Run the three phases on a bidding service of its own."""
    flood = "f00000000000"
    others = [f"o{number:011d}" for number in range(OTHERS)]
    stack.add_providers([flood, *others])
    purchase = uuid4()
    asyncio.run(intake.tell_bidding(stack, purchase, [flood, *others]))
    with Services(stack, ["bidding"]) as services:
        asyncio.run(intake.box_is_ready(stack, purchase))
        alone = asyncio.run(_replies(stack, others, purchase, 1))
        services.stop_one("bidding")
        asyncio.run(_poison(stack, flood, POISON))
        services.start("bidding", wait=False)
        behind = asyncio.run(_replies(stack, others, purchase, 10_000))
        beside = asyncio.run(_beside(stack, flood, others, purchase))
    return Fairness(_figures(alone), _figures(behind), _figures(beside))


def _figures(latencies: list[float]) -> tuple[float, float]:
    return median(latencies), quantiles(latencies, n=100, method="inclusive")[98]


async def _beside(stack: Stack, flood: str, others: list[str], purchase: UUID) -> list[float]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_poison(stack, flood, POISON))
        return await _replies(stack, others, purchase, 20_000)


async def _poison(stack: Stack, provider: str, count: int) -> None:
    topic = f"{stack.prefix}replies.{provider}"
    async with producer(stack, linger_ms=2, max_batch_size=131_072) as kafka:
        for first in range(0, count, 1000):
            sent = [
                await kafka.send(
                    topic,
                    value=b'{"poison": %d}' % number,
                    headers=[("ce_id", str(uuid4()).encode()), ("ce_type", ReplySubmitted.type().encode())],
                )
                for number in range(first, first + 1000)
            ]
            await asyncio.gather(*sent)


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
