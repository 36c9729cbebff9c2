"""Nothing that a provider can read tells how many others there are, or whether they replied.

Two worlds in which the same people give the same orders under the same ids, and the same provider says the same. They differ
only in who else is on the list and replies. What stands on the provider's topics must be the same, byte for byte, apart from
times and what is computed over times.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from aiokafka import ConsumerRecord

from shared.envelope import Actor
from shared.messages import Message
from shared.messages.providers import ProviderMessage
from tests.flow.purchase import M, Purchase, bid, conclude, form, issue, register, verify
from tests.flow.system import FACING_PROVIDERS, PartitionedKafka, Parts, System, five_services

FEW = 3
MANY = 9
NAMES = tuple(f"prov{number:08d}" for number in range(MANY))
WINNER, SECOND = NAMES[:2]
"""The same in both worlds: all others ask more."""
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
# Hashes and signatures over times: only their lengths can be compared.
OVER_TIMES = re.compile(rb'"(head|signature|root|chain_head)":"([^"]+)"')


@dataclass
class Repeatable:
    """A world in which every order has an id that follows from what it says."""

    system: System

    async def order(self, order: Message, by: Actor, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        said = order.model_dump_json(exclude={"provider_ids", "valid_until"})
        return await self.system.order(order, by, id=id or uuid5(NAMESPACE_URL, f"{order.type()} {said}"))

    async def word(self, provider_id: str, message: ProviderMessage, *, id: str | None = None) -> str:  # noqa: A002 # as above
        id_ = id or str(uuid5(NAMESPACE_URL, f"{provider_id} {message.model_dump_json()}"))
        return await self.system.word(provider_id, message, id=id_)

    async def until(self, type_: type[M], about: UUID, *, provider_id: str = "", within: float = 60) -> M:
        return await self.system.until(type_, about, provider_id=provider_id, within=within)


def seen(record: ConsumerRecord) -> tuple[object, ...]:
    """Return all that a provider can read of a record, without what depends on when it was written."""

    def without_times(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        timeless = TIME.sub(b"<time>", data)
        return OVER_TIMES.sub(lambda found: b'"%s":<%d>' % (found[1], len(found[2])), timeless)

    headers = [(name, without_times(value)) for name, value in record.headers]
    return record.partition, record.offset, record.key, headers, without_times(record.value)


async def whole_purchase(parts: Parts, purchase: Purchase, deadline: datetime) -> None:
    async with five_services(parts) as system:
        world = Repeatable(system)
        await register(world, *NAMES)
        await form(world, purchase)
        snapshot = await issue(world, purchase, deadline)
        await verify(world, purchase, snapshot)
        await bid(world, purchase)
        await conclude(world, purchase)
        await system.rest()


async def test_a_provider_reads_the_same_however_many_others_there_are(
    parts: Parts, postgres_copy: Callable[[str], Awaitable[str]]
) -> None:
    few = Purchase(NAMES[:FEW])
    many = replace(few, providers=NAMES)
    others = Parts(await postgres_copy(parts.dsn), PartitionedKafka(), parts.mail, parts.worker)
    deadline = datetime.now(UTC) + timedelta(seconds=15)
    async with asyncio.TaskGroup() as both:
        both.create_task(whole_purchase(parts, few, deadline))
        both.create_task(whole_purchase(others, many, deadline))
    for provider_id in (WINNER, SECOND):
        for kind in FACING_PROVIDERS:
            in_few = [seen(record) for record in parts.kafka.topics[kind + provider_id]]
            in_many = [seen(record) for record in others.kafka.topics[kind + provider_id]]
            assert in_few, kind
            assert in_many == in_few, kind
