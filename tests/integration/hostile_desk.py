"""A system for providers that mean harm: they send by librdkafka, as fast as it goes, and all answers are read as raw records."""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from deploy.access.login import Login, admin_client
from deploy.local.services import SERVICES
from linepool.client.connection import Connection
from shared.messages.bidding import MessageRejected, ReceiptIssued
from shared.messages.distribution import RequestPresented
from shared.messages.providers import Offer, ReplySubmitted
from shared.sealing import offer_info, seal_for
from tests.flow.purchase import Purchase, form, issue, register, verify
from tests.hostile import Headers, Sending
from tests.integration.system import RealSystem, own_stack, running_system

Answer = ReceiptIssued | MessageRejected
_ANSWERS = {one.type().encode(): one for one in (ReceiptIssued, MessageRejected)}
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass
class Desk:
    """The five services, one purchase with these providers on its list, and their connections."""

    system: RealSystem
    logins: Mapping[str, Login]
    purchase: Purchase
    invitation: RequestPresented
    raw: AIOKafkaProducer
    """With the super user's rights, for batches made by hand."""
    revisions: Counter[str] = field(default_factory=Counter)

    def topic(self, kind: str, provider_id: str) -> str:
        return f"{self.system.stack.prefix}{kind}.{provider_id}"

    def connection(self, provider_id: str) -> Connection:
        login = self.logins[provider_id]
        stack = self.system.stack
        return Connection(
            stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix
        )

    async def send_all(
        self,
        provider_id: str,
        sendings: Iterable[Sending],
        codec: str = "none",
        *,
        within: float = 120,  # seconds
    ) -> list[Sending]:
        """Send with the provider's own login; return what the broker stored, in its order."""
        settings = self.librdkafka(provider_id) | {
            "compression.codec": codec,
            "linger.ms": 20,
            "message.timeout.ms": int(within * 1000),
        }
        return await asyncio.to_thread(self._send_all, provider_id, sendings, settings)

    def _send_all(
        self, provider_id: str, sendings: Iterable[Sending], settings: dict[str, Any]
    ) -> list[Sending]:
        stored: list[tuple[int, Sending]] = []
        producer = Producer(settings)
        topic = self.topic("replies", provider_id)
        for sending in sendings:

            def told(error: Any, message: Any, sending: Sending = sending) -> None:
                if error is None:
                    stored.append((message.offset(), sending))

            arguments = {
                "value": sending.body,
                "key": sending.key,
                "headers": sending.headers,
                "timestamp": sending.timestamp,
                "on_delivery": told,
            }
            try:
                producer.produce(topic, **arguments)
            except BufferError:
                producer.poll(1)
                producer.produce(topic, **arguments)
            producer.poll(0)
        assert producer.flush() == 0
        return [sending for _, sending in sorted(stored, key=lambda one: one[0])]

    def librdkafka(self, provider_id: str) -> dict[str, Any]:
        login, stack = self.logins[provider_id], self.system.stack
        return {
            "bootstrap.servers": stack.bootstrap_servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": login.username,
            "sasl.password": login.password,
            "log_level": 0,
        } | {"ssl.ca.location": str(stack.ca_file)}

    def reply(self, provider_id: str, offer: Offer | None = None) -> ReplySubmitted:
        """Return the provider's next reply, sealed where the invitation asks for it."""
        self.revisions[provider_id] += 1
        revision = 1000 + self.revisions[provider_id]
        return reply_to(self.invitation, provider_id, offer or an_offer(), revision)

    async def send_good(self, provider_id: str, reply: ReplySubmitted | None = None) -> str:
        """Send a good reply; return its id."""
        said, id_ = reply or self.reply(provider_id), str(uuid4())
        headers: Headers = [("ce_id", id_.encode()), ("ce_type", said.type().encode())]
        stored = await self.send_all(provider_id, [Sending("good", None, headers, said.to_bytes())])
        assert len(stored) == 1
        return id_

    async def is_receipted(
        self, provider_id: str, reply: ReplySubmitted, *, within: float = 60
    ) -> ReceiptIssued:
        """Send a good reply; return its receipt."""
        id_ = await self.send_good(provider_id, reply)
        async with asyncio.timeout(within):
            while True:
                for _, answer in await self.answers(provider_id):
                    if answer.message_id == id_:
                        assert isinstance(answer, ReceiptIssued), answer
                        return answer
                await asyncio.sleep(0.2)

    async def answered_at(self, provider_id: str, message_id: str) -> int:
        """Return when the answer to a message was appended, in ms."""
        answers = await self.answers(provider_id)
        return next(record.timestamp for record, answer in answers if answer.message_id == message_id)

    def take_rights(self, provider_id: str) -> None:
        """Take a provider's rights at the broker."""
        user = f"User:{self.logins[provider_id].username}"
        rules = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            user,
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        admin = self._admin()
        assert admin.delete_acls([rules])[rules].result(20)

    def delete_topics(self, provider_id: str) -> None:
        """Delete a provider's topics."""
        topics = [self.topic(kind, provider_id) for kind in ("invitations", "replies", "notices")]
        admin = self._admin()
        for deleted in admin.delete_topics(topics).values():
            deleted.result(20)

    def _admin(self) -> AdminClient:
        stack = self.system.stack
        return admin_client(stack.bootstrap_servers, stack.admin, stack.ca_file)

    async def records(self, kind: str, provider_id: str) -> list[ConsumerRecord]:
        """Return all that one of a provider's topics holds."""
        place = TopicPartition(self.topic(kind, provider_id), 0)
        consumer = AIOKafkaConsumer(
            **self.system.connections["admin"].arguments(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        await consumer.start()
        try:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            await consumer.seek_to_beginning(place)
            found: list[ConsumerRecord] = []
            while await consumer.position(place) < end:
                for some in (await consumer.getmany(timeout_ms=500)).values():
                    found += some
            return found
        finally:
            await consumer.stop()

    async def answers(self, provider_id: str) -> list[tuple[ConsumerRecord, Answer]]:
        """Return the answers to the provider's messages."""
        found = [(one, answer_of(one)) for one in await self.records("notices", provider_id)]
        return [(one, answer) for one, answer in found if answer is not None]

    async def all_is_read(self, *, within: float) -> None:
        """Wait until bidding has read all that all providers said, and all its answers are sent."""
        connection = await asyncpg.connect(self.system.stack.admin_dsn)
        try:
            async with asyncio.timeout(within):
                while await self._is_behind(connection):  # noqa: ASYNC110 # another process reads it
                    await asyncio.sleep(0.2)
        finally:
            await connection.close()

    async def _is_behind(self, connection: asyncpg.Connection) -> bool:
        places = [TopicPartition(self.topic("replies", one), 0) for one in self.logins]
        consumer = self.system.journal._consumer
        ends = await consumer.end_offsets(places)
        rows = await connection.fetch(
            "SELECT topic, next FROM bidding.positions WHERE consumer = 'bidding.replies'"
        )
        positions = {row["topic"]: row["next"] for row in rows}
        unread = any(end > positions.get(place.topic, 0) for place, end in ends.items())
        return unread or await connection.fetchval(
            "SELECT EXISTS (SELECT FROM bidding.outbox) OR EXISTS (SELECT FROM bidding.held_messages)"
        )

    def processes(self) -> dict[str, int | None]:
        """Return the process ids of the services and of the servers."""
        services, stack = self.system.services, self.system.stack
        found = {name: services.pid(name) for name in services.names}
        servers = {"kafka": stack.kafka, "postgres": stack.postgres}
        return found | {name: getattr(one, "pid", None) for name, one in servers.items()}

    async def parked(self) -> int:
        connection = await asyncpg.connect(self.system.stack.admin_dsn)
        try:
            counts = [await connection.fetchval(f"SELECT count(*) FROM {name}.parked") for name in SERVICES]
        finally:
            await connection.close()
        return sum(counts)


def an_offer(name: str = "Offer", billing: str = "One UBL invoice a month.", price: str = "0.12") -> Offer:
    return Offer.model_validate(
        {
            "name": name,
            "currency": "EUR",
            "tax_basis": "net",
            "contract_months": 24,
            "components": [{"kind": "usage", "service": "voice.day", "unit": "MIN", "price": price}],
            "billing": billing,
        }
    )


def reply_to(invitation: RequestPresented, provider_id: str, offer: Offer, revision: int) -> ReplySubmitted:
    """Return a reply as the invitation asks for it."""
    said: dict[str, Any] = {
        "purchase_id": invitation.purchase_id,
        "request_version": invitation.request_version,
        "revision": revision,
        "seal": invitation.seal,
    }
    if invitation.public_key is None:
        return ReplySubmitted(**said, offer=offer)
    info = offer_info(invitation.purchase_id, invitation.request_version, provider_id, revision)
    box = seal_for(invitation.public_key, offer.model_dump_json().encode(), info)
    return ReplySubmitted(**said, sealed_offer=box)


def answer_of(record: ConsumerRecord) -> Answer | None:
    model = _ANSWERS.get(dict(record.headers).get("ce_type") or b"")
    return model.model_validate_json(record.value) if model else None


def expected_answer(sending: Sending) -> tuple[str | None, str]:
    """Return what an answer must cite: the id where it can be one, and the hash of the bytes."""
    ids = [value for name, value in sending.headers if name == "ce_id"]
    text = (ids[-1] or b"").decode("utf-8", "replace") if ids else ""
    id_ = text if _PRINTABLE.fullmatch(text) else None
    return id_, sha256(sending.body or b"").hexdigest()


def by_message(answers: Sequence[tuple[ConsumerRecord, Answer]]) -> dict[tuple[str | None, str], list[bytes]]:
    """Return the bodies of the answers to each message."""
    found: dict[tuple[str | None, str], list[bytes]] = defaultdict(list)
    for record, answer in answers:
        found[answer.message_id, answer.sha256].append(record.value)
    return found


@asynccontextmanager
async def open_desk(folder: Path, provider_ids: Sequence[str]) -> AsyncIterator[Desk]:
    """Start a stack and the services, and bring one purchase so far that these providers may reply for an hour."""
    with own_stack(folder) as stack:
        async with running_system(stack) as system:
            added = await asyncio.to_thread(stack.add_providers, list(provider_ids))
            await register(system, *provider_ids)
            purchase = Purchase(tuple(provider_ids))
            await form(system, purchase)
            snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(hours=1))
            await verify(system, purchase, snapshot)
            logins = dict(zip(provider_ids, added, strict=True))
            async with AIOKafkaProducer(**system.connections["admin"].arguments(), acks="all") as raw:
                desk = Desk(system, logins, purchase, await _invitation(system, provider_ids[0]), raw)
                yield desk


async def _invitation(system: RealSystem, provider_id: str) -> RequestPresented:
    await system.journal.add([f"invitations.{provider_id}"])
    return await system.journal.wait_for(
        lambda entry: entry.says(RequestPresented) if entry.topic == f"invitations.{provider_id}" else None,
        within=60,
        what="the invitation",
    )
