"""The log of a subject: each event carries its head, and after a restore every row is as it was."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from linepool.audit.gathered import Gathered
from linepool.audit.tables import read_tables
from linepool.audit.verify import judge
from linepool.client.journal import entry_of
from shared.envelope import read_headers
from shared.messages.rfp import CancelRequest, RequestCancelled
from shared.readback import own_streams
from tests.memory import MemoryKafka, Running
from tests.service.delivery.delivery_desk import COORDINATOR, Desk, cancelling, opened, say_cancelled
from tests.service.rebuilding import rebuilt

EVENTS = ("rfp.aggregation.events", "aggregation.events")
COMMANDS = ("rfp.rfp.commands", "rfp.commands")


async def obey(command: CancelRequest, _tx: asyncpg.Connection, publish: object) -> None:
    assert callable(publish)
    await publish(RequestCancelled(purchase_id=command.purchase_id, reason=command.reason))


async def log_of(service: Running, subject: UUID) -> Sequence[asyncpg.Record]:
    rows: Sequence[asyncpg.Record] = await service.pool.fetch(
        "SELECT * FROM log WHERE subject = $1 ORDER BY sequence", str(subject)
    )
    return rows


async def findings(service: Running, kafka: MemoryKafka) -> list[str]:
    with Gathered("rfp") as gathered:
        for stream in own_streams("rfp"):
            gathered.add_records(entry_of(record) for record in kafka.topics[stream])
        async with service.pool.acquire() as connection:
            await read_tables(connection, gathered)
        return [str(finding) for finding in judge(gathered).findings]


@pytest.fixture(autouse=True)
def talkative(desk: Desk) -> None:
    desk.event, desk.command = say_cancelled, obey


async def test_an_event_carries_all_that_its_entry_in_the_log_covers(
    service: Running, kafka: MemoryKafka
) -> None:
    purchase = uuid4()
    kafka.event(opened("an event", purchase))
    await kafka.settle()
    kafka.command(cancelling("an order", purchase), COORDINATOR)
    await kafka.settle()
    rows = await log_of(service, purchase)
    assert [row["actor_id"] for row in rows] == [None, COORDINATOR.person_id]
    said = [read_headers(record.headers) for record in kafka.topics["rfp.events"]]
    assert [one.log_head for one in said] == [row["chain"] for row in rows]
    assert [one.actor_id for one in said] == [row["actor_id"] for row in rows]
    assert await findings(service, kafka) == []


@pytest.mark.parametrize("forgotten", ["EVENTS", "COMMANDS"])
async def test_a_restored_log_is_as_it_was_in_whatever_order_and_new_facts_go_on_from_its_head(
    service: Running, kafka: MemoryKafka, database: str, forgotten: str
) -> None:
    purchase = uuid4()
    for number in range(3):
        kafka.event(opened(f"event {number}", purchase))
        await kafka.settle()
        kafka.command(cancelling(f"order {number}", purchase), COORDINATOR)
        await kafka.settle()
    before = await log_of(service, purchase)
    assert len(before) == 2 * 3
    async with rebuilt("rfp", service, database, own_streams("rfp")) as again:
        # One stream is read to its end, with something new there, before the other begins.
        last = {"EVENTS": EVENTS, "COMMANDS": COMMANDS}[forgotten]
        kafka.event(opened("new", purchase))
        kafka.command(cancelling("new", purchase), COORDINATOR)
        again.next[last] = len(kafka.topics[last[1]])
        assert await findings(again, kafka) == []
        await kafka.settle()
        assert await findings(again, kafka) == []
        again.rewind()
        await kafka.settle()
        after = await log_of(again, purchase)
        assert after[: len(before)] == before
        assert [row["sequence"] for row in after] == list(range(1, len(before) + 3))
        assert await findings(again, kafka) == []
