"""The operator registers, suspends, reinstates and removes providers."""

import asyncio
from uuid import uuid4

import pytest

from shared.messages.rfp import (
    ProviderOrderRefused,
    ProviderRegistered,
    ProviderReinstated,
    ProviderRemoved,
    ProviderSuspended,
    ReinstateProvider,
    RemoveProvider,
    RequestIssued,
    SuspendProvider,
)
from tests.memory import MemoryKafka, Running
from tests.service.rfp.conftest import OPERATOR, Purchase

PID = "aaaaaaaaaaa1"


async def test_a_provider_is_registered_and_changed(purchase: Purchase, kafka: MemoryKafka) -> None:
    await purchase.say(purchase.registering(PID), OPERATOR)
    await purchase.say(purchase.registering(PID), OPERATOR)
    await purchase.say(purchase.registering(PID, name="Tel AG"), OPERATOR)
    assert [one.name for one in purchase.events(ProviderRegistered)] == ["Tel", "Tel AG"]
    assert {record.key for record in kafka.topics["rfp.events"]} == {PID.encode()}


async def test_a_suspension_begins_and_ends_once(rfp: Running, purchase: Purchase) -> None:
    await purchase.say(purchase.registering(PID), OPERATOR)
    await purchase.say(ReinstateProvider(provider_id=PID), OPERATOR)
    for _ in range(2):
        await purchase.say(SuspendProvider(provider_id=PID, reason="Fraud"), OPERATOR)
    await purchase.say(purchase.registering(PID, name="Tel AG"), OPERATOR)
    assert await rfp.pool.fetchval("SELECT suspended_at IS NOT NULL FROM providers")
    for _ in range(2):
        await purchase.say(ReinstateProvider(provider_id=PID), OPERATOR)
    assert len(purchase.events(ProviderSuspended)) == len(purchase.events(ProviderReinstated)) == 1


async def test_an_order_about_an_unknown_provider_is_refused(purchase: Purchase) -> None:
    command_id = uuid4()
    await purchase.say(SuspendProvider(provider_id=PID, reason="Fraud"), OPERATOR, id=command_id)
    await purchase.say(ReinstateProvider(provider_id=PID), OPERATOR)
    refused = purchase.events(ProviderOrderRefused)
    assert [one.reason for one in refused] == ["provider_unknown", "provider_unknown"]
    assert (refused[0].command_id, refused[0].provider_id) == (command_id, PID)


REMOVING = RemoveProvider(provider_id=PID, reason="Closed down.")


async def test_a_removed_provider_is_unknown_until_it_is_registered_anew(purchase: Purchase) -> None:
    await purchase.say(purchase.registering(PID), OPERATOR)
    await purchase.say(SuspendProvider(provider_id=PID, reason="Fraud"), OPERATOR)
    await purchase.say(REMOVING, OPERATOR)
    await purchase.say(REMOVING, OPERATOR)
    await purchase.say(ReinstateProvider(provider_id=PID), OPERATOR)
    assert [one.reason for one in purchase.events(ProviderRemoved)] == ["Closed down."]
    assert [one.reason for one in purchase.events(ProviderOrderRefused)] == ["provider_unknown"] * 2
    await purchase.say(purchase.registering(PID), OPERATOR)
    assert len(purchase.events(ProviderRegistered)) == 2
    await purchase.say(SuspendProvider(provider_id=PID, reason="Fraud again"), OPERATOR)
    assert len(purchase.events(ProviderSuspended)) == 2


async def test_a_draft_that_lists_a_removed_provider_is_issued_without_it(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.listing(PID, "aaaaaaaaaaa2"))
    await purchase.say(REMOVING, OPERATOR)
    await purchase.say(purchase.issuing())
    (issued,) = purchase.events(RequestIssued)
    assert issued.provider_ids == ("aaaaaaaaaaa2",)
    assert not purchase.events(ProviderOrderRefused)


@pytest.mark.parametrize(
    "ending", ["deadline and acceptance", "cancellation", "cancellation after the deadline"]
)
async def test_a_provider_is_not_removed_while_a_purchase_that_lists_it_is_open(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka, ending: str
) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    await purchase.say(RemoveProvider(provider_id="aaaaaaaaaaa2", reason="Not listed."), OPERATOR)
    assert [one.provider_id for one in purchase.events(ProviderRemoved)] == ["aaaaaaaaaaa2"]
    await purchase.say(REMOVING, OPERATOR)
    if ending != "cancellation":
        await rfp.pool.execute("UPDATE timers SET due_at = clock_timestamp(), try_at = clock_timestamp()")
        await kafka.settle()
        await purchase.say(REMOVING, OPERATOR)
    if ending == "deadline and acceptance":
        kafka.event(purchase.accepted())
        await kafka.settle()
    else:
        await purchase.say(purchase.cancelling())
    refused = [one.reason for one in purchase.events(ProviderOrderRefused)]
    assert refused == ["purchase_open"] * (1 if ending == "cancellation" else 2)
    await purchase.say(REMOVING, OPERATOR)
    assert [one.provider_id for one in purchase.events(ProviderRemoved)] == ["aaaaaaaaaaa2", PID]


async def test_a_removal_waits_for_an_issue_that_is_under_way_and_is_refused(
    rfp: Running, purchase: Purchase
) -> None:
    await purchase.ready()
    async with rfp.pool.acquire() as issuing, asyncio.TaskGroup() as tasks, issuing.transaction():
        await issuing.execute("SELECT FROM providers WHERE provider_id = $1 FOR SHARE", PID)
        removal = tasks.create_task(purchase.say(REMOVING, OPERATOR))
        async with asyncio.timeout(10):
            while not await rfp.pool.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))",
                issuing.get_server_pid(),
            ):
                assert not removal.done(), "the removal did not wait"
                await asyncio.sleep(0.005)
        await issuing.execute(
            "UPDATE requests SET state = 'issued', version = 1, provider_ids = $1, content_sha256 = 'x', "
            "deadline_at = clock_timestamp() + interval '1 day', issued_at = clock_timestamp()",
            [PID],
        )
    assert [one.reason for one in purchase.events(ProviderOrderRefused)] == ["purchase_open"]
    assert not purchase.events(ProviderRemoved)
