"""Giving orders, and finding out what came of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from linepool.client.connection import Connection
from linepool.client.journal import Entry, Journal, open_journal
from shared.envelope import Actor, Headers, command_headers
from shared.messages import Message
from shared.messages import OrderRefused as Refusal


@dataclass(frozen=True)
class Outcome:
    """What an order led to: the events that name it as their cause, or the refusal."""

    events: tuple[Message, ...]
    refused: Refusal | None


@dataclass(frozen=True)
class Orders:
    """Sends orders with one login, and follows the events that it may read."""

    connection: Connection
    source: str
    """The CloudEvents source: who sends, as a path."""
    producer: AIOKafkaProducer
    journal: Journal

    async def give(self, order: Message, by: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        """Send one order; return its id once the broker has it. The same `id` again is the same order again."""
        order_id = id or uuid4()
        headers = command_headers(order, id=order_id, actor=by, source=self.source, time=datetime.now(UTC))
        await self.send(order.stream, order.to_bytes(), key=order.subject.encode(), headers=headers)
        return order_id

    async def send(self, topic: str, body: bytes | None, *, key: bytes | None, headers: Headers) -> None:
        """Send any bytes to a topic (named without prefix), and wait until the broker has them.

        Raises:
            KafkaError: the broker refuses it, or is away for longer than the producer's patience.
        """
        await self.producer.send_and_wait(self.connection.topic(topic), body, key=key, headers=headers)

    async def outcome(self, order_id: UUID, *, within: float = 30) -> Outcome:
        """Wait for the first event that this order caused, or for its refusal.

        A part of a usage report that is not the last is obeyed without an event, and so is an order that changes nothing: they
        end in TimeoutError like an order that nobody has obeyed yet.

        Raises:
            TimeoutError: there was neither within so many seconds.
        """

        def answer(entry: Entry) -> Message | None:
            return entry.message if _answers(entry, order_id) else None

        first = await self.journal.wait_for(answer, within=within, what=f"the outcome of order {order_id}")
        if isinstance(first, Refusal):
            return Outcome((), first)
        events = [entry.message for entry in self.journal.entries if _answers(entry, order_id)]
        return Outcome(tuple(message for message in events if message is not None), None)

    def refusals(self, about: UUID | str | None = None) -> list[Refusal]:
        """Return every refusal read so far (about this subject)."""
        found = (_refusal(entry) for entry in self.journal.entries)
        return [one for one in found if one is not None and (about is None or one.subject == str(about))]


def _answers(entry: Entry, order_id: UUID) -> bool:
    refusal = _refusal(entry)
    if refusal is not None:
        return refusal.command_id == order_id
    return entry.envelope.causation_id == order_id


def _refusal(entry: Entry) -> Refusal | None:
    return entry.says(Refusal)


@asynccontextmanager
async def open_orders(connection: Connection, *, source: str, reads: Sequence[str]) -> AsyncIterator[Orders]:
    """Connect a login that gives orders and reads these topics (named without prefix) from their beginning.

    Raises:
        KafkaError: the broker is away or refuses the login.
    """
    async with open_journal(connection, reads) as journal, open_producer(connection) as producer:
        yield Orders(connection, source, producer, journal)


@asynccontextmanager
async def open_producer(connection: Connection) -> AsyncIterator[AIOKafkaProducer]:
    """Connect a producer: acknowledged by all replicas.

    Not an idempotent one: a message's id makes it one, and the broker counts idempotent producers where others see it.
    """
    producer = AIOKafkaProducer(
        **connection.arguments(),
        client_id=f"{connection.username}-producer",
        acks="all",
        linger_ms=1,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
