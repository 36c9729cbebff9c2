"""The relay sends 20,000 stored invitations to 200 topics, against a bare producer that has them in memory."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from uuid import UUID, uuid4

import asyncpg

from bench.measuring import producer
from deploy.local.stack import Stack
from shared import migrations
from shared.envelope import Envelope
from shared.kafka import sender
from shared.outbox import decode_headers, encode_headers
from shared.postgres import open_pool
from shared.relay import Relay
from shared.runtime import Runtime
from shared.settings import ServiceSettings
from shared.telemetry import Metrics

TOPICS = 200
MESSAGES = 20_000
BODY = b'{"title":"Voice for forty offices","content_json":"' + b"x" * 740 + b'"}'


async def measure(stack: Stack, number: int) -> tuple[float, float]:
    """Return (the relay's, the bare producer's) messages per second."""
    providers = [f"drain{number}{index:06d}" for index in range(TOPICS)]
    await asyncio.to_thread(stack.add_providers, providers, quotas=False)
    topics = [f"{stack.prefix}invitations.{provider}" for provider in providers]
    envelope = Envelope(
        id=uuid4(),
        type="linepool.request-presented.v1",
        source="/linepool/distribution",
        subject=str(UUID(int=1)),
        time=datetime.now(UTC),
        sequence=1,
        correlation_id=uuid4(),
        causation_id=uuid4(),
    )
    login = stack.login("distribution")
    settings = ServiceSettings(
        kafka_bootstrap_servers=stack.services_bootstrap,
        kafka_ca_file=str(stack.ca_file),
        kafka_username=login.username,
        kafka_password=login.password,
        postgres_dsn=stack.dsn("distribution"),
        http_port=1,
        secret=b"11" * 32,
    )
    pool = await open_pool(stack.dsn("distribution"), "distribution")
    try:
        async with pool.acquire() as opened:
            await migrations.apply(
                opened, Path(__file__).parents[1] / "services" / "distribution" / "migrations"
            )
        ours = await _relay(pool, settings, topics, envelope)
    finally:
        await pool.close()
    return ours, await _bare(stack, topics, envelope)


async def _relay(
    pool: asyncpg.Pool, settings: ServiceSettings, topics: list[str], envelope: Envelope
) -> float:
    headers = encode_headers(envelope)
    await pool.executemany(
        "INSERT INTO outbox (event_id, topic, key, headers, body) VALUES ($1, $2, $3, $4, $5)",
        [(uuid4(), topics[index % TOPICS], b"k", headers, BODY) for index in range(MESSAGES)],
    )
    await pool.execute("ANALYZE outbox")
    runtime = Runtime("distribution", settings, pool, Metrics.create("distribution"))
    relay = Relay(runtime, partial(sender, settings))
    async with pool.acquire() as opened, sender(settings) as kafka:
        await kafka.unknown(set(topics))
        started = perf_counter()
        while await opened.fetchval("SELECT true FROM outbox LIMIT 1"):
            await relay.send_some(opened, kafka)
        return MESSAGES / (perf_counter() - started)


async def _bare(stack: Stack, topics: list[str], envelope: Envelope) -> float:
    headers = decode_headers(encode_headers(envelope))
    async with producer(stack, linger_ms=2, max_batch_size=131_072) as kafka:
        for topic in topics:
            await kafka.partitions_for(topic)
        started = perf_counter()
        pending = [
            await kafka.send(topics[index % TOPICS], value=BODY, key=b"k", headers=headers)
            for index in range(MESSAGES)
        ]
        await asyncio.gather(*pending)
        return MESSAGES / (perf_counter() - started)
