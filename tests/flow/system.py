"""The five services and the opener on a real Postgres, with Kafka in memory: several partitions, any order, any repetition."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import import_module
from time import monotonic
from typing import Any
from uuid import UUID
from zlib import crc32

import asyncpg
from aiokafka import ConsumerRecord, TopicPartition
from faststream.kafka import TestKafkaBroker

from deploy.local.mail import LocalMail
from services.bidding.checkpoints import prove_checkpoints, publish_checkpoints
from services.bidding.comparing import compare_opened_boxes
from services.bidding.jobs import close_boxes, judge_held_messages
from services.bidding.opener.opening import Opener
from services.bidding.opening import judge_opened_boxes, tell_of_keys
from services.notification.mailing import send_due_mails
from shared import adoption
from shared.envelope import Actor, read_headers
from shared.messages import Message, registry
from shared.messages.providers import ProviderMessage
from shared.outbox import decode_headers
from shared.readback import PROVIDER_FACING, own_streams
from shared.relay import Relay, Sent
from shared.runtime import Runtime
from shared.sealing import INITIAL_PASSWORDS, private_key, public_key_b64
from shared.service import Service
from shared.wiring import Stream
from tests.conftest import SERVICES
from tests.flow.purchase import M
from tests.memory import TEST_SETTINGS, MemoryKafka, Running, open_opener, record_time

PARTITIONS = 3
PORTAL_URL = "https://portal.linepool.invalid"
FACING_PROVIDERS = ("invitations.", "replies.", "notices.")


@dataclass
class PartitionedKafka(MemoryKafka):
    """Topics of three partitions, chosen by key, as on the real broker; those of providers have one."""

    logs: dict[tuple[str, int], list[ConsumerRecord]] = field(default_factory=lambda: defaultdict(list))
    appended_times: int = 1
    """How often each message is appended: a sender that misses an acknowledgement sends again."""
    in_pieces: bool = False
    """Deliver only some of what is there at a time, so that the streams interleave in any way."""

    def append(
        self, topic: str, body: bytes | None, headers: Any, key: bytes | None, *, at: datetime | None = None
    ) -> ConsumerRecord:
        for _ in range(self.appended_times):
            record = self._append_once(topic, body, tuple(headers), key, at)
        return record

    def _append_once(
        self, topic: str, body: bytes | None, headers: Any, key: bytes | None, at: datetime | None
    ) -> ConsumerRecord:
        record = super().append(topic, body, headers, key, at=at)
        single = topic.startswith(FACING_PROVIDERS) or key is None
        record.partition = 0 if single else crc32(key or b"") % PARTITIONS
        log = self.logs[topic, record.partition]
        record.offset = len(log)
        log.append(record)
        return record

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        single = topic.startswith(FACING_PROVIDERS)
        return {
            TopicPartition(topic, number): len(self.logs[topic, number])
            for number in range(1 if single else PARTITIONS)
        }

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Any]:
        yield PartitionedSender(self)

    def records(self, *, without: Sequence[str] = ()) -> dict[str, list[tuple[str | None, bytes | None]]]:
        """Return each topic's ids and bodies in the order of appending."""
        return {
            topic: [(read_headers(one.headers).id, one.value) for one in records]
            for topic, records in self.topics.items()
            if not topic.startswith(tuple(without))
        }

    def distinct(self, subjects: frozenset[str]) -> dict[str, int]:
        """Count the different messages about these subjects by type; the same id must always say the same."""
        said: dict[str, dict[str, bytes | None]] = defaultdict(dict)
        for topic, records in self.topics.items():
            for record in records:
                envelope = read_headers(record.headers)
                model = registry.get(envelope.type or "")
                if model is None or topic.endswith((".commands", ".verifications", ".registrations")):
                    continue
                if topic.startswith("replies.") or envelope.subject not in subjects:
                    continue
                before = said[model.__name__].setdefault(f"{topic} {envelope.id}", record.value)
                assert before == record.value, f"{model.__name__} says two things under one id"
        return {name: len(ids) for name, ids in said.items()}


@dataclass
class PartitionedSender:
    """Appends outbox rows to their partitions."""

    kafka: PartitionedKafka

    async def unknown(self, topics: set[str]) -> set[str]:
        return topics - topics

    async def send(self, rows: Sequence[asyncpg.Record]) -> list[Sent | Exception]:
        appended = [
            self.kafka.append(row["topic"], row["body"], decode_headers(row["headers"]), row["key"])
            for row in rows
        ]
        return [Sent(one.partition, one.offset, record_time(one)) for one in appended]


class FlowService(Running):
    """A service that reads partition by partition."""

    async def _deliver(self, stream: Stream, topic: str) -> bool:
        kafka = self.kafka
        assert isinstance(kafka, PartitionedKafka)
        moved = False
        for number in kafka.random.sample(range(PARTITIONS), PARTITIONS):
            place = (stream.consumer, f"{topic}/{number}")
            new = kafka.logs[topic, number][self.next[place] :]
            if not new:
                continue
            moved = True
            if kafka.in_pieces:
                new = new[: kafka.random.randint(0, len(new))]
            self.next[place] += len(new)
            for _ in range(kafka.copies):
                if stream.kind == "batches" and new:
                    await stream.subscriber.process_message(tuple(copy_of(one) for one in new))
                elif stream.kind != "batches":
                    for one in new:
                        await stream.subscriber.process_message(copy_of(one))
        return moved


def copy_of(record: ConsumerRecord) -> ConsumerRecord:
    return ConsumerRecord(**{name: getattr(record, name) for name in record.__dataclass_fields__})


@dataclass
class System:
    """The five services, as a `World` for purchases."""

    kafka: PartitionedKafka
    services: dict[str, FlowService]
    last_word: float = 0.0
    """When a provider last said something, on the monotonic clock."""

    async def order(self, order: Message, by: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        return self.kafka.command(order, by, id=id)

    async def word(self, provider_id: str, message: ProviderMessage, *, id: str | None = None) -> str:  # noqa: A002 # as above
        self.last_word = monotonic()
        return self.kafka.from_provider(provider_id, message, id=id)

    async def until(
        self,
        type_: type[M],
        about: UUID,
        *,
        provider_id: str = "",
        where: Callable[[M], bool] = lambda _said: True,
        within: float = 60,
    ) -> M:
        topic = type_.stream + provider_id
        found: list[M] = []

        async def said() -> bool:
            for one in self.kafka.messages(topic):
                if isinstance(one, type_) and one.subject == str(about) and where(one):
                    found.append(one)
                    return True
            return False

        await self.work_until(said, within=within, what=type_.__name__)
        return found[0]

    async def work_until(self, done: Callable[[], Awaitable[bool]], *, within: float, what: str) -> None:
        """Let the services work until something holds."""
        deadline = monotonic() + within
        while not await done():
            if monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {within:.0f} s")
            await self.kafka.settle(rounds=2_000)
            await asyncio.sleep(0.01)

    async def rest(self, *, within: float = 30) -> None:
        """Let the services work until nothing is waiting, to be sent, or due."""

        async def quiet() -> bool:
            await self.kafka.settle(rounds=2_000)
            return not any([await self._waiting(one.pool) for one in self.services.values()])

        await self.work_until(quiet, within=within, what="rest")

    @staticmethod
    async def _waiting(pool: asyncpg.Pool) -> bool:
        return bool(await pool.fetchval("SELECT EXISTS (SELECT FROM parked) OR EXISTS (SELECT FROM outbox)"))

    async def forget(self) -> None:
        """Empty the database, as if nothing had happened there."""
        for service in self.services.values():
            await service.pool.execute(f"DROP SCHEMA {service.service.name} CASCADE")
            await service.pool.execute(f"CREATE SCHEMA {service.service.name}")
        bidding = self.services["bidding"].pool
        await bidding.execute("DROP SCHEMA opener CASCADE")
        await bidding.execute("CREATE SCHEMA opener AUTHORIZATION opener")

    async def tables(self) -> dict[str, dict[str, list[str]]]:
        """Return all rows of all services but what only delivery's own memory needs."""
        return {name: await one.tables(without=("inbox", "positions")) for name, one in self.services.items()}


def settings_of(name: str, dsn: str, mail: LocalMail, **other: Any) -> Any:
    """Return one service's settings: patient, because here commands overtake facts all the time."""
    values: dict[str, Any] = {**TEST_SETTINGS, "postgres_dsn": dsn, "command_patience_s": 20.0}
    if name == "aggregation":
        key = private_key(bytes.fromhex(str(values["secret"])), INITIAL_PASSWORDS)
        values["notification_public_key"] = public_key_b64(key)
    if name == "bidding":
        values["skew_allowance_s"] = 0.2
    if name == "portal":
        # Who asks it waits for nothing here: the services work when the test lets them.
        values["order_wait_s"] = 0
    if name == "notification":
        values |= {
            "mail_from": "linepool@linepool.invalid",
            "smtp_host": mail.host,
            "smtp_port": mail.port,
            "smtp_security": "none",
            "portal_url": PORTAL_URL,
        }
    return import_module(f"services.{name}.settings").Settings(**{**values, **other})


@asynccontextmanager
async def started(
    name: str, settings: Any, kafka: PartitionedKafka, worker: Executor
) -> AsyncIterator[FlowService]:
    """Start one service; what it has said and forgotten it adopts first, as on the real broker."""
    service: Service = import_module(f"services.{name}.app").build(settings)
    async with service.open() as runtime, TestKafkaBroker(service.broker):
        runtime.end_offsets = kafka.end_offsets
        await _adopt(runtime, kafka)
        for put_right in service.on_adopted:
            await put_right(runtime)
        one = FlowService(service, runtime, kafka, Relay(runtime, kafka.sender))
        if name == "bidding":
            one.steps += [
                judge_held_messages,
                tell_of_keys,
                close_boxes,
                judge_opened_boxes,
                partial(compare_opened_boxes, worker=worker),
            ]
            one.steps += [publish_checkpoints, prove_checkpoints]
        if name == "notification":
            one.steps.append(partial(_send_mails, settings=settings))
        kafka.services.append(one)
        try:
            yield one
        finally:
            kafka.services.remove(one)


async def _open_boxes(opener: Opener, _runtime: Runtime) -> int:
    return await opener.work()


async def _send_mails(runtime: Runtime, settings: Any) -> int:
    return await send_due_mails(runtime, settings)


async def _adopt(runtime: Runtime, kafka: PartitionedKafka) -> None:
    async with runtime.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT topic, partition, next FROM positions WHERE consumer = $1", adoption.RELAY
        )
        known = {(row["topic"], row["partition"]): row["next"] for row in rows}
        for stream in own_streams(runtime.service):
            for number in range(PARTITIONS):
                behind = kafka.logs[stream, number][known.get((stream, number), 0) :]
                await adoption.adopt(connection, stream, [(list(one.headers), one.value) for one in behind])
        source = ("ce_source", f"/linepool/{runtime.service}".encode())
        for topic in _facing(runtime.service, kafka):
            behind = kafka.logs[topic, 0][known.get((topic, 0), 0) :]
            own = [(list(one.headers), one.value) for one in behind if source in one.headers]
            await adoption.adopt(connection, topic, own, topic=topic)
        runtime.adoptions = await adoption.load(connection)


def _facing(service: str, kafka: PartitionedKafka) -> list[str]:
    facing = PROVIDER_FACING.get(service)
    return sorted(topic for topic in kafka.topics if facing and topic.startswith(facing))


@dataclass(frozen=True)
class Parts:
    """What a system is made of; `worker` is the process that evaluates replies."""

    dsn: str
    kafka: PartitionedKafka
    mail: LocalMail
    worker: Executor


@asynccontextmanager
async def five_services(parts: Parts) -> AsyncIterator[System]:
    """Start all five on one database; each begins to read at its positions."""
    kafka = parts.kafka
    async with AsyncExitStack() as stack:
        services = {
            name: await stack.enter_async_context(
                started(name, settings_of(name, parts.dsn, parts.mail), kafka, parts.worker)
            )
            for name in SERVICES
        }
        # It looks with its own role, whenever bidding's jobs look.
        opener = await stack.enter_async_context(open_opener(parts.dsn, skew_allowance_s=0.2))
        services["bidding"].steps.append(partial(_open_boxes, opener))
        for one in services.values():
            for row in await one.pool.fetch("SELECT consumer, topic, partition, next FROM positions"):
                one.next[row["consumer"], f"{row['topic']}/{row['partition']}"] = row["next"]
        yield System(kafka, services)
