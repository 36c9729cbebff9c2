"""What the client makes of records, whatever they hold, and how it finds what came of an order."""

import asyncio
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiokafka import ConsumerRecord

from linepool.client.journal import Entry, Journal, entry_of
from linepool.client.orders import Orders
from linepool.usage.parts import BYTES_PER_PART, LINES_PER_PART, parts_of
from shared.messages.aggregation import BuyerLeft, CloseGroupRefused, GroupOpened, LineUsage, ServiceUsage

PURCHASE = uuid4()


def record(topic: str, body: bytes | None, headers: list[tuple[str, bytes | None]]) -> ConsumerRecord:
    return ConsumerRecord(
        topic=topic,
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=1,
        key=None,
        value=body,
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=-1,
        headers=tuple(headers),
    )


def entry(message: Any, *, cause: UUID | None = None) -> Entry:
    headers = [("ce_type", message.type().encode()), ("ce_id", str(uuid4()).encode())]
    if cause:
        headers.append(("ce_causationid", str(cause).encode()))
    return entry_of(record("p.aggregation.events", message.to_bytes(), headers), "p.")


def journal(*entries: Entry) -> Journal:
    made = Journal(cast("Any", None), "p.")
    made.entries += entries
    return made


def orders(*entries: Entry) -> Orders:
    return Orders(cast("Any", None), "/test", cast("Any", None), journal(*entries))


opened = GroupOpened(
    purchase_id=PURCHASE, name="Group", currency="EUR", tax_basis="net", coordinator_id=uuid4()
)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (None, []),
        (b"{}", [("ce_type", None), ("ce_id", b"\xff")]),
        (b"\xff\x00", [("ce_type", GroupOpened.type().encode())]),
        (None, [("ce_type", GroupOpened.type().encode())]),
        (b"{}", [("ce_type", b"linepool.unheard-of.v9"), ("ce_id", b"not a uuid")]),
    ],
)
def test_a_record_that_cannot_be_read_is_an_entry_without_a_message(
    body: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    found = entry_of(record("rfp.events", body, headers))
    assert found.message is None
    assert found.says(GroupOpened) is None
    assert found.id is None
    assert found.type_name


def test_an_entry_has_its_topic_without_prefix_and_its_message() -> None:
    found = entry(opened)
    assert found.topic == "aggregation.events"
    assert found.says(GroupOpened, PURCHASE) == opened
    assert found.says(GroupOpened, uuid4()) is None
    assert found.says(BuyerLeft) is None
    assert found.type_name == "GroupOpened"


async def test_an_order_is_answered_by_the_events_that_name_it_as_their_cause() -> None:
    order = uuid4()
    found = await orders(entry(opened, cause=uuid4()), entry(opened, cause=order)).outcome(order, within=1)
    assert found.events == (opened,)
    assert found.refused is None


async def test_an_order_that_is_not_obeyed_is_answered_by_its_refusal() -> None:
    order, other = uuid4(), uuid4()
    refusals = [
        CloseGroupRefused(purchase_id=PURCHASE, command_id=id_, reason="no_buyers", detail="None.")
        for id_ in (other, order)
    ]
    asked = orders(*(entry(one, cause=order) for one in refusals))
    found = await asked.outcome(order, within=1)
    assert found.events == ()
    assert found.refused == refusals[1]
    assert asked.refusals(PURCHASE) == refusals


async def test_an_order_without_an_outcome_says_so_after_its_time() -> None:
    with pytest.raises(TimeoutError, match="the outcome of order"):
        await orders(entry(opened, cause=uuid4())).outcome(uuid4(), within=0.05)


async def test_what_comes_later_ends_the_waiting() -> None:
    read = journal()
    waiting = asyncio.create_task(read.wait_for(lambda one: one.says(GroupOpened), within=5))
    await asyncio.sleep(0)
    read.entries.append(entry(opened))
    async with read._grown:
        read._grown.notify_all()
    assert await waiting == opened


def lines(number: int, *, services: int) -> list[LineUsage]:
    return [
        LineUsage(
            line_id=f"line-{line}",
            services=tuple(
                ServiceUsage(
                    service=f"voice.{index}",
                    quantity=Decimal("123456.123456"),
                    unit="MIN",
                    charged=Decimal("1.00"),
                )
                for index in range(services)
            ),
            recurring_charged=Decimal("0.00"),
            exit_fee=Decimal("0.00"),
        )
        for line in range(number)
    ]


@pytest.mark.parametrize(
    ("number", "services", "sizes"),
    [(1, 1, [1]), (500, 1, [500]), (501, 1, [500, 1]), (1200, 1, [500, 500, 200])],
)
def test_a_report_is_cut_into_parts_of_at_most_500_lines(
    number: int, services: int, sizes: list[int]
) -> None:
    all_lines = lines(number, services=services)
    parts = list(parts_of(all_lines))
    assert [len(part) for part in parts] == sizes
    assert [line for part in parts for line in part] == all_lines


def test_lines_with_many_services_make_smaller_parts_that_fit_into_a_message() -> None:
    parts = list(parts_of(lines(LINES_PER_PART, services=40)))
    assert len(parts) > 1
    assert sum(len(part) for part in parts) == LINES_PER_PART
    for part in parts:
        assert sum(len(line.model_dump_json()) + 1 for line in part) <= BYTES_PER_PART
