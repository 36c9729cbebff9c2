"""Commands are obeyed, refused with a reason, or wait a while for facts."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.adoption import AdoptedEvent
from shared.envelope import Actor
from shared.messages.rfp import (
    CancelRequest,
    CancelRequestRefused,
    RequestCancelled,
    RfpCommandRefused,
)
from shared.outcomes import NotYet, Refusal
from shared.workers import retry_parked
from tests.memory import MemoryKafka, Running
from tests.service.delivery.delivery_desk import COORDINATOR, Desk, cancelling, effects, parked, try_again


async def test_a_refused_command_leaves_nothing_but_its_refusal(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    async def refuse(command: CancelRequest, _tx: object, publish: Any) -> Refusal:
        await publish(RequestCancelled(purchase_id=command.purchase_id, reason="said too early"))
        return Refusal("no", "It cannot be.")

    desk.command = refuse
    id_ = kafka.command(cancelling("please"), COORDINATOR)
    await kafka.settle()
    assert await effects(service) == []
    [refused] = kafka.messages("rfp.events")
    assert isinstance(refused, CancelRequestRefused)
    assert (refused.command_id, refused.reason) == (id_, "no")


async def test_a_command_waits_for_facts_and_is_obeyed_when_they_come(
    begin: Callable[..., AbstractAsyncContextManager[Running]], kafka: MemoryKafka, desk: Desk
) -> None:
    async def wait(_command: CancelRequest, _tx: object, _publish: object) -> NotYet | None:
        return NotYet("unknown", "Not here yet.") if len(desk.runs) < 3 else None

    async with begin(command_patience_s=60) as service:
        desk.command = wait
        kafka.command(cancelling("please"), COORDINATOR)
        await kafka.settle()
        assert await parked(service) == [("waiting", "unknown")]
        for _ in range(3):
            await try_again(service, kafka)
        assert await effects(service) == ["please"]
        assert kafka.topics["rfp.events"] == []


@pytest.mark.parametrize(
    ("waited_s", "pause_s"),
    [
        pytest.param(0.1, 0.2, id="often at first"),
        pytest.param(8, 2, id="then after a quarter of the wait"),
        pytest.param(40, 5, id="at least every five seconds"),
        pytest.param(58, 2, id="and when its patience is over"),
        pytest.param(100, 5, id="and on, where it was obeyed before a restore"),
    ],
)
async def test_a_command_is_tried_less_often_the_longer_its_facts_are_missing(
    begin: Callable[..., AbstractAsyncContextManager[Running]],
    kafka: MemoryKafka,
    desk: Desk,
    waited_s: float,
    pause_s: float,
) -> None:
    async def wait(*_: object) -> NotYet:
        return NotYet("unknown", "Not here yet.")

    async with begin(command_patience_s=60) as service:
        desk.command = wait
        id_ = kafka.command(cancelling("please"), COORDINATOR)
        await kafka.settle()
        if waited_s > 60:
            said = AdoptedEvent(
                uuid4(), id_, "x", "rfp.events", "x", 1, datetime.now(UTC), b"", id_, None, b""
            )
            service.runtime.adoptions.add(said)
        await service.pool.execute(
            "UPDATE parked SET retry_at = clock_timestamp(), give_up_at = clock_timestamp() + $1::interval",
            timedelta(seconds=60 - waited_s),
        )
        await retry_parked(service.service.wiring, service.service.broker)
        pause = await service.pool.fetchval("SELECT retry_at - clock_timestamp() FROM parked")
        # The look itself takes a moment, which is waited besides.
        assert timedelta(seconds=pause_s - 0.2) < pause < timedelta(seconds=pause_s + 0.5)


async def test_a_command_whose_facts_do_not_come_is_refused_in_the_end(
    service: Running, kafka: MemoryKafka, desk: Desk
) -> None:
    async def wait(*_: object) -> NotYet:
        return NotYet("unknown", "Not here yet.")

    desk.command = wait
    kafka.command(cancelling("please"), COORDINATOR)
    await kafka.settle()
    await try_again(service, kafka)
    [refused] = kafka.messages("rfp.events")
    assert isinstance(refused, CancelRequestRefused)
    assert refused.reason == "unknown"
    assert await parked(service) == []


@pytest.mark.usefixtures("service")
async def test_another_command_under_a_used_id_is_refused_and_the_same_again_is_quiet(
    kafka: MemoryKafka, desk: Desk
) -> None:
    purchase = uuid4()
    id_ = kafka.command(cancelling("first", purchase), COORDINATOR)
    kafka.command(cancelling("first", purchase), COORDINATOR, id=id_)
    kafka.command(cancelling("second", purchase), COORDINATOR, id=id_)
    await kafka.settle()
    assert desk.runs == ["first"]
    [refused] = kafka.messages("rfp.events")
    assert isinstance(refused, CancelRequestRefused)
    assert refused.reason == "id_reused"


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ([("ce_type", CancelRequest.type().encode())], b"\xff\xfe", "invalid"),
        ([("ce_type", b"linepool.no-such.v1")], b"{}", "unknown_type"),
        ([], b"{}", "unknown_type"),
        ([("ce_type", None), ("\xe9", b"\xff")], b"{}", "unknown_type"),
        ([("ce_type", CancelRequest.type().encode())], None, "invalid"),
    ],
)
async def test_a_command_that_nobody_can_read_is_refused_and_the_next_is_obeyed(
    service: Running,
    kafka: MemoryKafka,
    headers: list[tuple[str, bytes | None]],
    body: bytes | None,
    reason: str,
) -> None:
    actor = ("ce_actor", COORDINATOR.model_dump_json().encode())
    kafka.append("rfp.commands", body, [*headers, actor, ("reply_to", b"rfp.events")], b"key")
    kafka.command(cancelling("next"), COORDINATOR)
    await kafka.settle()
    assert await effects(service) == ["next"]
    [refused] = kafka.messages("rfp.events")
    assert isinstance(refused, CancelRequestRefused | RfpCommandRefused)
    assert refused.reason == reason


@pytest.mark.usefixtures("service")
async def test_a_role_that_only_a_topic_can_give_is_never_taken_from_a_header(
    kafka: MemoryKafka, desk: Desk
) -> None:
    kafka.command(cancelling("please"), Actor(person_id=uuid4(), role="officer"))
    await kafka.settle()
    assert desk.runs == []
    [refused] = kafka.messages("rfp.events")
    assert isinstance(refused, CancelRequestRefused)
    assert refused.reason == "role_not_allowed"
