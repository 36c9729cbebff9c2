"""Going on where it was: a consumer group of the provider's own, whose position is kept at the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from linepool.client.journal import Entry, entry_of
from linepool.provider.bundle import Bundle
from shared.fetched import fetch_safely

_POLL_MS = 500


class Subscription:
    """Everything on the provider's topics, one by one. Made by `subscribe`."""

    def __init__(self, consumer: AIOKafkaConsumer, prefix: str) -> None:
        self._consumer = consumer
        self._prefix = prefix

    async def from_beginning(self) -> None:
        """Go back to the beginning of both topics."""
        await self._consumer.seek_to_beginning(*await self._places())

    async def __aiter__(self) -> AsyncIterator[Entry]:
        """Yield what comes, for ever; what was yielded is done with once the next is asked for."""
        while True:
            async for entry in self._next():
                yield entry

    async def so_far(self) -> AsyncIterator[Entry]:
        """Yield what the topics hold now, and end."""
        ends = await self._consumer.end_offsets(await self._places())
        while [place for place, end in ends.items() if await self._consumer.position(place) < end]:
            async for entry in self._next():
                yield entry

    async def _next(self) -> AsyncIterator[Entry]:
        found = await self._consumer.getmany(timeout_ms=_POLL_MS)
        for place, records in found.items():
            for record in records:
                yield entry_of(record, self._prefix)
                await self._consumer.commit({place: record.offset + 1})

    async def _places(self) -> list[TopicPartition]:
        while not (places := sorted(self._consumer.assignment())):  # noqa: ASYNC110 # joining a group is told to nobody
            await asyncio.sleep(0.05)
        return places


@asynccontextmanager
async def subscribe(bundle: Bundle, *, group: str = "listen") -> AsyncIterator[Subscription]:
    """Read invitations and notices from where this group was, or from the beginning where it is new.

    What was yielded comes again where the program died before it asked for the next: whoever must do something once does it by
    the entry's id.

    Args:
        bundle: whose topics.
        group: one name for each program, such as `crm`; the provider's group prefix is put before it.

    Raises:
        KafkaError: the broker is away or refuses the login.
    """
    connection, provider_id = bundle.connection, bundle.provider_id
    fetch_safely()
    consumer = AIOKafkaConsumer(
        *(connection.topic(f"{kind}.{provider_id}") for kind in ("invitations", "notices")),
        **connection.arguments(),
        client_id=f"{connection.username}-{group}",
        group_id=connection.topic(f"providers.{provider_id}.{group}"),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield Subscription(consumer, connection.prefix)
    finally:
        await consumer.stop()
