"""The operator registers, suspends and reinstates providers."""

from uuid import uuid4

from shared.messages.rfp import (
    ProviderOrderRefused,
    ProviderRegistered,
    ProviderReinstated,
    ProviderSuspended,
    ReinstateProvider,
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
