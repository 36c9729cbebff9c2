"""Replies are taken: consumed, checked, deduplicated, stored, and a receipt sent for each.

Ours is the bidding service as a process. The bare one is what nobody can do without: aiokafka reads, one transaction for 500
records inserts one row each, a producer sends one receipt each. Both are timed by the broker: from the append time of the
first receipt to that of the last.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.measuring import append_times, connection, producer, rate
from deploy.local.services import Services
from deploy.local.stack import Stack
from shared.envelope import Envelope
from shared.messages import registry
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import DeadlinePassed, RequestIssued, RfpEvent
from shared.sealing import offer_info, seal_for

REPLIES = 20_000
SINGLE = 2_000
PROVIDERS = 20
Seal = Literal["none", "hpke"]
EXAMPLES = Path(__file__).parents[1] / "shared" / "messages" / "examples"


@dataclass(frozen=True)
class Figures:
    """Messages per second."""

    batched: float
    bare: float
    single: float


def measure(stack: Stack, number: int) -> Figures:
    """Run one round: the bare pipeline, our batches, and the same service with one transaction per message."""
    bare = asyncio.run(_bare_round(stack, f"b{number}"))
    batched = service_round(stack, f"o{number}", REPLIES, batch=500)
    single = service_round(stack, f"s{number}", SINGLE, batch=1)
    return Figures(batched, bare, single)


def service_round(stack: Stack, name: str, count: int, *, batch: int, seal: Seal = "none") -> float:
    """Return how many replies a second the bidding service takes; they wait for it when it starts."""
    providers, purchase = _prepare(stack, name)
    asyncio.run(tell_bidding(stack, purchase, providers))
    environment = {"LINEPOOL_BATCH_RECORDS": str(batch), "LINEPOOL_SEAL": seal}
    with Services(stack, ["bidding", "opener"], environment=environment):
        # The box is ready when bidding says so; only then does the flood begin to be measured.
        asyncio.run(box_is_ready(stack, purchase))
    key = asyncio.run(key_of(stack, purchase)) if seal == "hpke" else None
    asyncio.run(fill(stack, providers, purchase, count, key=key))
    topics = [f"{stack.prefix}notices.{provider}" for provider in providers]
    with Services(stack, ["bidding"], environment=environment):
        return rate(asyncio.run(append_times(stack, topics, count, within=300)))


async def _bare_round(stack: Stack, name: str) -> float:
    providers, purchase = await asyncio.to_thread(_prepare, stack, name)
    await fill(stack, providers, purchase, REPLIES)
    connected = await asyncpg.connect(stack.admin_dsn)
    table = f"bare_{name}"
    await connected.execute(f"CREATE TABLE {table} (id uuid PRIMARY KEY, body bytea NOT NULL)")
    places = [TopicPartition(f"{stack.prefix}replies.{provider}", 0) for provider in providers]
    consumer = AIOKafkaConsumer(
        **connection(stack).arguments(),
        group_id=f"bench.{name}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=65536,
    )
    await consumer.start()
    consumer.assign(places)
    taken = 0
    async with producer(stack, linger_ms=2, max_batch_size=131_072) as kafka:
        while taken < REPLIES:
            records = [
                one
                for some in (await consumer.getmany(timeout_ms=200, max_records=500)).values()
                for one in some
            ]
            if not records:
                continue
            async with connected.transaction():
                await connected.execute(
                    f"INSERT INTO {table} SELECT * FROM unnest($1::uuid[], $2::bytea[])",
                    [UUID(dict(one.headers)["ce_id"].decode()) for one in records],
                    [one.value for one in records],
                )
            receipts = [
                await kafka.send(
                    one.topic.replace("replies.", "notices."),
                    value=b'{"receipt":"%d"}' % one.offset,
                    key=one.key,
                )
                for one in records
            ]
            await asyncio.gather(*receipts)
            await consumer.commit()
            taken += len(records)
    await consumer.stop()
    await connected.close()
    topics = [f"{stack.prefix}notices.{provider}" for provider in providers]
    return rate(await append_times(stack, topics, REPLIES, within=60))


def _prepare(stack: Stack, name: str) -> tuple[list[str], UUID]:
    providers = [f"{name}{index:010d}" for index in range(PROVIDERS)]
    stack.add_providers(providers, quotas=False)
    return providers, uuid4()


async def tell_bidding(
    stack: Stack, purchase: UUID, providers: list[str], deadline: datetime | None = None
) -> None:
    """Issue a request that lists these providers, as rfp would; by default there is a day to reply."""
    body = json.loads((EXAMPLES / f"{RequestIssued.type()}.json").read_text())
    body |= {
        "purchase_id": str(purchase),
        "provider_ids": providers,
        "deadline": (deadline or datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
    await _say(stack, RequestIssued.model_validate_json(json.dumps(body)), 1)


async def tell_deadline_passed(stack: Stack, purchase: UUID, deadline: datetime) -> None:
    """Say that the first version of a request was its last, as rfp would once the deadline is over."""
    await _say(stack, DeadlinePassed(purchase_id=purchase, request_version=1, deadline=deadline), 2)


async def _say(stack: Stack, event: RfpEvent, sequence: int) -> None:
    id_ = uuid4()
    envelope = Envelope(
        id=id_,
        type=event.type(),
        source="/linepool/rfp",
        subject=event.subject,
        time=datetime.now(UTC),
        sequence=sequence,
        correlation_id=id_,
        causation_id=id_,
    )
    async with producer(stack) as kafka:
        await kafka.send_and_wait(
            stack.prefix + event.stream,
            value=event.to_bytes(),
            key=event.subject.encode(),
            headers=envelope.to_headers(),
        )


async def box_is_ready(stack: Stack, purchase: UUID) -> None:
    """Wait until bidding has said that replies can be taken."""
    connected = await asyncpg.connect(stack.dsn("bidding"))
    try:
        async with asyncio.timeout(60):
            while not await connected.fetchval(  # noqa: ASYNC110 # another process writes it
                "SELECT true FROM bidding.boxes WHERE purchase_id = $1 AND ready_version = 1", purchase
            ):
                await asyncio.sleep(0.05)
    finally:
        await connected.close()


async def key_of(stack: Stack, purchase: UUID) -> str:
    """Return the public key that the opener has made for the box of a request's first version."""
    connected = await asyncpg.connect(stack.dsn("bidding"))
    try:
        return str(
            await connected.fetchval("SELECT public_key FROM opener.keys WHERE purchase_id = $1", purchase)
        )
    finally:
        await connected.close()


async def fill(
    stack: Stack, providers: list[str], purchase: UUID, count: int, *, key: str | None = None
) -> None:
    """Send so many replies, of each provider in turn; sealed for the key, where there is one."""
    async with producer(stack, linger_ms=2, max_batch_size=131_072) as kafka:
        await send_replies(kafka, stack, providers, purchase, count, key=key)


async def send_replies(
    kafka: AIOKafkaProducer,
    stack: Stack,
    providers: list[str],
    purchase: UUID,
    count: int,
    *,
    key: str | None = None,
) -> None:
    """Do the same with a producer that is there."""
    type_ = ReplySubmitted.type()
    body = json.loads((EXAMPLES / f"{type_}.json").read_text()) | {"purchase_id": str(purchase)}
    offer = json.dumps(body["offer"]).encode()
    pending = []
    for index in range(count):
        body["revision"] = index // len(providers) + 1
        provider = providers[index % len(providers)]
        if key is not None:
            info = offer_info(purchase, 1, provider, body["revision"])
            body |= {"seal": "hpke", "offer": None, "sealed_offer": seal_for(key, offer, info)}
        value = registry[type_].model_validate_json(json.dumps(body)).to_bytes()
        headers = [
            ("ce_id", str(uuid4()).encode()),
            ("ce_type", type_.encode()),
            ("ce_specversion", b"1.0"),
        ]
        topic = f"{stack.prefix}replies.{provider}"
        pending.append(await kafka.send(topic, value=value, key=b"k", headers=headers))
    await asyncio.gather(*pending)
