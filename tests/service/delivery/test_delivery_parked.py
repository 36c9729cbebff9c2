"""What fails stands aside behind its key; nothing else waits, and nothing is lost."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

from shared.messages.aggregation import GroupOpened
from shared.messages.bidding import MessageRejected
from shared.record import Batch
from tests.memory import MemoryKafka, Running
from tests.service.delivery.delivery_desk import (
    Desk,
    Disturbance,
    effects,
    opened,
    parked,
    raising,
    try_again,
)


async def test_behind_a_message_that_fails_its_own_key_waits_in_order_and_others_go_on(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    slow, other = uuid4(), uuid4()

    async def fail_first(event: GroupOpened, _tx: object, _publish: object) -> None:
        if event.name == "first":
            raise Disturbance

    desk.event = fail_first
    for name, purchase in (("first", slow), ("second", slow), ("other", other), ("third", slow)):
        kafka.event(opened(name, purchase))
    await kafka.settle()
    assert await effects(service) == ["other"]
    assert await parked(service) == [
        ("failed", "Disturbance"),
        ("waiting", "behind another"),
        ("waiting", "behind another"),
    ]
    desk.event = None
    for _ in range(3):
        await try_again(service, kafka)
    assert await effects(service) == ["other", "first", "second", "third"]
    assert await parked(service) == []


async def test_after_enough_tries_a_message_is_stuck_and_tried_no_more(
    begin: Callable[..., AbstractAsyncContextManager[Running]], kafka: MemoryKafka, desk: Desk
) -> None:
    async with begin(park_retries=3) as service:
        desk.event = raising(Disturbance())
        kafka.event(opened("first"))
        await kafka.settle()
        for _ in range(5):
            await try_again(service, kafka)
        assert await parked(service) == [("stuck", "Disturbance")]
        assert desk.runs == ["first"] * 4


async def test_pauses_between_tries_grow(service: Running, kafka: MemoryKafka, desk: Desk) -> None:
    desk.event = raising(Disturbance())
    kafka.event(opened("first"))
    pauses = []
    for _ in range(3):
        await try_again(service, kafka)
        pause = await service.pool.fetchval("SELECT retry_at - clock_timestamp() FROM parked")
        pauses.append(pause.total_seconds())
    assert pauses[0] < pauses[1] < pauses[2]


async def test_an_event_of_an_unknown_type_is_parked_and_its_error_quotes_no_data(
    service: Running, kafka: MemoryKafka
) -> None:
    secret = b'{"secret": "4711"}'
    kafka.append("aggregation.events", secret, [("ce_id", b"x"), ("ce_type", b"linepool.no-such.v1")], b"key")
    await kafka.settle()
    assert await parked(service) == [("failed", "UnknownType")]


async def test_an_event_that_cannot_be_read_is_parked_and_the_next_key_goes_on(
    service: Running, kafka: MemoryKafka
) -> None:
    kafka.append(
        "aggregation.events", b"{", [("ce_id", b"x"), ("ce_type", GroupOpened.type().encode())], b"k"
    )
    kafka.event(opened("next"))
    await kafka.settle()
    assert await effects(service) == ["next"]
    [(state, _)] = await parked(service)
    assert state == "failed"


async def test_a_message_of_a_known_type_that_is_not_for_this_service_is_skipped(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    rejected = MessageRejected(
        purchase_id=None,
        message_id=None,
        sha256="0" * 64,
        appended_at="2026-05-01T00:00:00Z",
        reason="late",
        detail="Late.",
    )
    kafka.append(
        "aggregation.events",
        rejected.to_bytes(),
        [("ce_id", b"x"), ("ce_type", rejected.type().encode())],
        b"k",
    )
    await kafka.settle()
    assert desk.runs == []
    assert await parked(service) == []


async def test_one_record_that_fails_is_found_among_many_and_the_others_are_handled_once(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    async def fail_on_poison(batch: Batch, _tx: object, _publish: object) -> None:
        if any(record.body == b"poison" for record in batch.fresh):
            raise Disturbance

    desk.batch = fail_on_poison
    for number in range(40):
        body = b"poison" if number == 23 else f"{number}".encode()
        kafka.append(f"replies.{number % 4:012d}", body, [("ce_id", f"{number}".encode())], None)
    await kafka.settle()
    found = await effects(service)
    assert sorted(found, key=int) == [str(number) for number in range(40) if number % 4 != 3 or number < 23]
    # Behind it waits only what its own provider said.
    assert await parked(service) == [("failed", "Disturbance"), *[("waiting", "behind another")] * 4]
    desk.batch = None
    for _ in range(5):
        await try_again(service, kafka)
    assert sorted(await effects(service)) == sorted(["poison", *(str(n) for n in range(40) if n != 23)])
    assert await parked(service) == []


async def test_a_provider_cannot_use_up_the_ids_of_another(service: Running, kafka: MemoryKafka) -> None:
    for provider in ("a" * 12, "b" * 12):
        kafka.append(f"replies.{provider}", provider.encode(), [("ce_id", b"1")], None)
    await kafka.settle()
    assert sorted(await effects(service)) == ["a" * 12, "b" * 12]
