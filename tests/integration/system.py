"""The five services as processes on a real stack, with the people and the providers around them.

system = ...                                      # the session's fixture
purchase = system.purchase()                      # a group, and providers that are registered
await buy(system, purchase, seconds=system.soon())
await system.rest()                               # everything is sent, read and mailed
await system.complete(purchase)                   # nothing is missing, nothing is doubled
await system.check()                              # the independent checker finds nothing
"""

import asyncio
import http.client
import json
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from time import monotonic
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.access.login import Login
from deploy.local.services import SERVICES, Services
from deploy.local.stack import Stack, start_stack
from linepool.checker.collect import Place, collect
from linepool.checker.judge import check
from linepool.checker.report import Report
from linepool.client.connection import Connection
from linepool.client.journal import Entry, Journal, open_journal
from shared.envelope import Actor, Headers, command_headers
from shared.messages import Message, registry
from shared.messages.notification import MailDelivered
from shared.messages.providers import ProviderMessage
from shared.streams import Streams
from tests.flow.purchase import (
    M,
    Purchase,
    bid,
    cancelling,
    expected_of,
    form,
    issue,
    mails_of,
    register,
    verify,
)

PROVIDERS = ("aikoaikoaiko", "briobriobrio", "coracoracora")
UNLISTED = "deltadeltade"
FACING_PROVIDERS = ("invitations.", "replies.", "notices.")
SERVICE_SETTINGS = {
    "LINEPOOL_SKEW_ALLOWANCE_S": "0.2",
    "LINEPOOL_JOB_PAUSE_S": "0.2",
    "LINEPOOL_MAIL_POLL_S": "0.2",
    "LINEPOOL_MAIL_RETRY_S": "0.5",
    "LINEPOOL_MAIL_RETRY_MAX_S": "2",
    # A mail that was being sent when its process died goes again when this time, times ten, is over.
    "LINEPOOL_SMTP_TIMEOUT_S": "0.5",
    # As long as a broker may be away on a busy machine: commands wait for facts, and the facts for the broker.
    "LINEPOOL_COMMAND_PATIENCE_S": "120",
}
SESSION_TIMEOUT_MS = 2_000
PATIENCE_S = 120.0
WRITERS = {
    "rfp.verifications": "officer",
    "rfp.registrations": "operator",
    "aggregation.administration": "operator",
}
"""Who gives the orders of a stream; the others are the portal's."""


@contextmanager
def own_stack(folder: Path) -> Iterator[Stack]:
    """Start a stack for the five services alone: where a Kafka is shared, under a prefix of its own."""
    with start_stack(folder, {**os.environ, "LINEPOOL_STACK_PREFIX": "flow."}) as stack:
        yield stack


@dataclass
class RealSystem:
    """A `World` for purchases on the real stack."""

    stack: Stack
    journal: Journal
    logs: Path
    """The folder with what the services have logged."""
    services: Services | None
    """What starts and stops them; None where somebody else does."""
    producers: dict[str, AIOKafkaProducer] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    pace: float = 10.0
    """Seconds from the need to the last reply, as measured at the start."""
    patience: float = PATIENCE_S
    """How long what must come is waited for, unless it is said otherwise."""

    def soon(self, *, faults: float = 0.0) -> float:
        """Return seconds to a deadline that is not missed on this machine; `faults` is what they may take besides."""
        return 1.0 + 2.5 * self.pace + faults

    def purchase(self, *, buyers: int = 2) -> Purchase:
        return Purchase(PROVIDERS, buyers=buyers)

    async def order(self, order: Message, by: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        order_id = id or uuid4()
        who = WRITERS.get(order.stream, "portal")
        headers = command_headers(order, id=order_id, actor=by, source="/test", time=datetime.now(UTC))
        await self.send(who, order.stream, order.to_bytes(), key=order.subject.encode(), headers=headers)
        return order_id

    async def word(self, provider_id: str, message: ProviderMessage, *, id: str | None = None) -> str:  # noqa: A002 # as above
        message_id = id or str(uuid4())
        headers = [("ce_id", message_id.encode()), ("ce_type", message.type().encode())]
        await self.send(provider_id, f"replies.{provider_id}", message.to_bytes(), headers=headers)
        return message_id

    async def send(
        self, who: str, topic: str, body: bytes | None, *, key: bytes | None = None, headers: Headers
    ) -> None:
        """Send with this principal's login, again and again while the broker is away."""
        deadline = monotonic() + PATIENCE_S
        while True:
            try:
                await self.producers[who].send_and_wait(
                    self.stack.prefix + topic, body, key=key, headers=headers
                )
            except KafkaError:
                if monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
                await self.renew(who)
            else:
                return

    async def connect(self, provider_id: str) -> None:
        """Let one more provider in, and read its topics."""
        [login] = await asyncio.to_thread(self.stack.add_providers, [provider_id])
        stack = self.stack
        self.connections[provider_id] = Connection(
            stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix
        )
        producer = AIOKafkaProducer(**self.connections[provider_id].arguments(), acks="all")
        await producer.start()
        self.producers[provider_id] = producer
        await self.journal.add([kind + provider_id for kind in FACING_PROVIDERS])
        await register(self, provider_id)

    async def renew(self, who: str) -> None:
        # An idempotent producer that has met an error may refuse everything after it.
        try:
            fresh = AIOKafkaProducer(**self.connections[who].arguments(), acks="all", enable_idempotence=True)
            await fresh.start()
        except KafkaError:
            return
        old, self.producers[who] = self.producers[who], fresh
        await end(old)

    async def until(
        self, type_: type[M], about: UUID, *, provider_id: str = "", within: float | None = None
    ) -> M:
        topic = type_.stream + provider_id
        try:
            return await self.journal.wait_for(
                lambda entry: entry.says(type_, about) if entry.topic == topic else None,
                within=self.patience if within is None else within,
                what=f"{type_.__name__} on {topic}",
            )
        except TimeoutError as error:
            refused = [
                f"{entry.type_name}: {entry.body!r}"
                for entry in self.entries(frozenset({str(about)}))
                if entry.type_name.endswith("Refused")
            ]
            raise TimeoutError(f"{error}; refused about it: {refused}") from error

    def entries(self, subjects: frozenset[str]) -> Iterator[Entry]:
        """Return what the services said about these subjects."""
        for entry in self.journal.entries:
            said_by_us = entry.message is not None and not isinstance(entry.message, ProviderMessage)
            orders = entry.topic.endswith((".commands", ".verifications", ".registrations"))
            if said_by_us and not orders and entry.envelope.subject in subjects:
                yield entry

    def distinct(self, subjects: frozenset[str]) -> dict[str, int]:
        """Count the different messages about these subjects by type; the same id must always say the same."""
        said: dict[str, dict[str, bytes | None]] = defaultdict(dict)
        for entry in self.entries(subjects):
            name = entry.type_name
            before = said[name].setdefault(f"{entry.topic} {entry.envelope.id}", entry.body)
            assert before == entry.body, f"{name} says two things under one id"
        return {name: len(ids) for name, ids in said.items()}

    def mails(self, purchase: Purchase) -> set[str]:
        """Return the Message-IDs of the mails to this purchase's people."""
        addresses = {purchase.contact(number).email for number in range(purchase.buyers + 1)}
        found = set()
        for file in self.stack.mail_folder.glob("*.eml"):
            head = file.read_text().partition("\n\n")[0]
            fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
            if any(address in fields["To"] for address in addresses):
                found.add(fields["Message-ID"])
        return found

    async def complete(self, *purchases: Purchase) -> None:
        """Check that nothing of these purchases is missing and nothing is doubled, once all is at rest."""
        await self.journal.catch_up()
        for purchase in purchases:
            assert self.distinct(purchase.subjects) == expected_of(purchase)
            delivered = {
                entry.envelope.id: entry.message
                for entry in self.entries(purchase.subjects)
                if isinstance(entry.message, MailDelivered)
            }
            told = [one for one in delivered.values() if isinstance(one, MailDelivered)]
            assert sorted((one.person_id, one.kind) for one in told) == sorted(mails_of(purchase))
            assert self.mails(purchase) == {one.message_id for one in told}

    async def rest(self, *, within: float | None = None) -> None:
        """Wait until everything is read, nothing is parked, and everything is sent and mailed."""
        within = self.patience if within is None else within
        deadline = monotonic() + within
        while waiting := await self._waiting():
            if monotonic() > deadline:
                raise AssertionError(f"not at rest within {within:.0f} s: {dict(waiting)}")
            await asyncio.sleep(0.1)

    async def _waiting(self) -> Counter[str]:
        try:
            connection = await asyncpg.connect(self.stack.admin_dsn)
        except (OSError, asyncpg.PostgresError):
            return Counter({"database away": 1})
        waiting = Counter[str]()
        try:
            # In the order in which work moves on: what is not counted at one place any more is counted at a later one, or
            # has come to Kafka meanwhile.
            ends = await self._ends()
            for name in SERVICES:
                waiting[f"{name} unread"] = await self._unread(connection, name, ends)
            waiting["notification.mails"] = await connection.fetchval(
                "SELECT count(*) FROM notification.mails WHERE delivered_at IS NULL AND failed_at IS NULL"
            )
            for table in ("parked", "outbox"):
                for name in SERVICES:
                    waiting[f"{name}.{table}"] = await connection.fetchval(
                        f"SELECT count(*) FROM {name}.{table}"
                    )
            waiting["come meanwhile"] = int(await self._ends() != ends)
        except (OSError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            waiting[type(error).__name__] += 1
        finally:
            await connection.close()
        return +waiting

    async def _ends(self) -> dict[TopicPartition, int]:
        consumer = self.journal._consumer
        ends: dict[TopicPartition, int] = await consumer.end_offsets(sorted(consumer.assignment()))
        return ends

    async def _unread(
        self, connection: asyncpg.Connection, name: str, ends: Mapping[TopicPartition, int]
    ) -> int:
        rows = await connection.fetch(f"SELECT consumer, topic, partition, next FROM {name}.positions")
        positions = {(row["consumer"], row["topic"], row["partition"]): row["next"] for row in rows}
        unread = 0
        for consumer, topic in _consumers(name):
            for place, end in ends.items():
                stream = place.topic.removeprefix(self.stack.prefix)
                if stream == topic or (topic.endswith(".") and stream.startswith(topic)):
                    unread += max(0, end - positions.get((consumer, place.topic, place.partition), 0))
        return unread

    def metrics(self, name: str) -> bytes:
        """Return what a service's `/metrics` shows."""
        connection = http.client.HTTPConnection("127.0.0.1", self.services.port(name), timeout=10)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read()
        finally:
            connection.close()

    async def report(self) -> Report:
        """Let the independent checker judge everything that happened on this stack."""
        admin = self.stack.admin
        place = Place(
            bootstrap_servers=self.stack.bootstrap_servers,
            username=admin.username,
            password=admin.password,
            admin_dsn=self.stack.admin_dsn,
            prefix=self.stack.prefix,
            ca_file=self.stack.ca_file,
        )
        return check(await collect(place, mails=self.stack.mail_folder, logs=[self.logs]))

    async def check(self) -> None:
        report = await self.report()
        assert report.ok, f"\n{report}"

    async def tables(self, *, without: Sequence[str] = ()) -> dict[str, list[str]]:
        """Return every table of every service as sorted rows of text; `without` names tables, as `schema.table` or `table`."""
        connection = await asyncpg.connect(self.stack.admin_dsn, server_settings={"timezone": "UTC"})
        try:
            names = await connection.fetch(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", SERVICES
            )
            return {
                f"{schema}.{table}": sorted(
                    json.dumps([str(value) for value in row.values()])
                    for row in await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
                )
                for schema, table in names
                if table not in without and f"{schema}.{table}" not in without
            }
        finally:
            await connection.close()

    async def crash_at(self, name: str, point: str, marker: Path) -> None:
        """Start one service anew so that it kills itself once at this point; `marker` appears when it does."""
        environment = {"LINEPOOL_CRASH_AT": point, "LINEPOOL_CRASH_ONCE": str(marker)}
        await asyncio.to_thread(self.services.stop_one, name)
        await asyncio.to_thread(self.services.start, name, environment, wait=False)

    async def measure(self) -> None:
        """See how fast this machine is now, by a purchase that is called off in the end."""
        purchase = self.purchase()
        await form(self, purchase)
        began = monotonic()
        snapshot = await issue(self, purchase, datetime.now(UTC) + timedelta(days=1))
        await verify(self, purchase, snapshot)
        await bid(self, purchase)
        self.pace = monotonic() - began
        await self.order(cancelling(purchase), purchase.coordinator)


async def end(producer: AIOKafkaProducer) -> None:
    """Stop a producer; a broken one is not waited for."""
    try:
        async with asyncio.timeout(3):
            await producer.stop()
    except (TimeoutError, KafkaError):
        await producer.client.close()


def _consumers(name: str) -> list[tuple[str, str]]:
    streams: Streams = import_module(f"services.{name}.handlers").streams
    return [(f"{name}.{one.topic.rstrip('.')}", one.topic) for one in streams.subscriptions]


@asynccontextmanager
async def running_system(
    stack: Stack,
    *,
    environment: Mapping[str, str] | None = None,
    services: Services | None = None,
    providers: Mapping[str, Login] | None = None,
) -> AsyncIterator[RealSystem]:
    """Start the five services, connect the people and the providers, and register the providers.

    `services` are others than the stack's own; `providers` are those that somebody else has let in, by id.
    """
    services = services or Services(
        stack,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        environment={**SERVICE_SETTINGS, **(environment or {})},
    )
    try:
        # Their topics are there before the services look for them.
        if providers is None:
            providers = await let_in(stack)
        await asyncio.to_thread(services.start_all)
        logs = services.log(SERVICES[0]).parent
        async with people_around(stack, providers, logs=logs, services=services) as system:
            yield system
    finally:
        await asyncio.to_thread(services.stop)


async def let_in(stack: Stack) -> dict[str, Login]:
    """Give the providers their topics, users and rules; return their logins."""
    provider_ids = (*PROVIDERS, UNLISTED)
    logins = await asyncio.to_thread(stack.add_providers, list(provider_ids))
    return dict(zip(provider_ids, logins, strict=True))


@asynccontextmanager
async def people_around(
    stack: Stack,
    providers: Mapping[str, Login],
    *,
    logs: Path,
    services: Services | None = None,
    patience: float = PATIENCE_S,
) -> AsyncIterator[RealSystem]:
    """Connect the people and the providers to services that run, and register the providers.

    `services` starts and stops them; it is left out where somebody else does.
    """
    logins = {who: stack.login(who) for who in ("portal", "officer", "operator")} | dict(providers)
    connections = {
        who: Connection(stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix)
        for who, login in (logins | {"admin": stack.admin}).items()
    }
    topics = sorted(
        {one.stream for one in registry.values() if not one.stream.endswith(".")}
        | {kind + provider_id for kind in FACING_PROVIDERS for provider_id in providers}
    )
    async with open_journal(connections["admin"], topics) as journal:
        system = RealSystem(stack, journal, logs, services, connections=connections, patience=patience)
        try:
            for who in logins:
                system.producers[who] = AIOKafkaProducer(
                    **connections[who].arguments(), acks="all", enable_idempotence=True, linger_ms=1
                )
                await system.producers[who].start()
            await register(system, *providers)
            await system.measure()
            yield system
        finally:
            for producer in system.producers.values():
                await end(producer)
