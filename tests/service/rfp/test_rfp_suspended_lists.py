"""Who is suspended is not on the frozen list of a request."""

import asyncio

import pytest

from shared.messages.rfp import (
    ProviderRule,
    ReinstateProvider,
    RequestIssued,
    SetProviderList,
    SuspendProvider,
)
from tests.memory import Running
from tests.service.rfp.conftest import OPERATOR, Purchase

FIRST, SECOND = "aaaaaaaaaaa1", "aaaaaaaaaaa2"
RULE = ProviderRule(category="voice", region="DE-NI")


def listing(purchase: Purchase, kind: str) -> SetProviderList:
    """List both providers."""
    return purchase.listing(rule=RULE) if kind == "rule" else purchase.listing(SECOND, FIRST)


@pytest.fixture(params=["ids", "rule"])
async def listed(request: pytest.FixtureRequest, purchase: Purchase) -> Purchase:
    await purchase.ready()
    await purchase.say(listing(purchase, request.param))
    return purchase


async def test_a_provider_suspended_before_the_issue_is_not_on_the_frozen_list(listed: Purchase) -> None:
    await listed.say(SuspendProvider(provider_id=SECOND, reason="Fraud"), OPERATOR)
    await listed.say(listed.issuing())
    (issued,) = listed.events(RequestIssued)
    assert issued.provider_ids == (FIRST,)


async def test_a_provider_reinstated_before_the_issue_is_on_the_frozen_list(listed: Purchase) -> None:
    await listed.say(SuspendProvider(provider_id=SECOND, reason="Fraud"), OPERATOR)
    await listed.say(ReinstateProvider(provider_id=SECOND), OPERATOR)
    await listed.say(listed.issuing())
    (issued,) = listed.events(RequestIssued)
    assert sorted(issued.provider_ids) == [FIRST, SECOND]


async def test_a_list_on_which_nobody_is_left_is_not_issued_until_somebody_is_reinstated(
    listed: Purchase,
) -> None:
    for provider_id in (FIRST, SECOND):
        await listed.say(SuspendProvider(provider_id=provider_id, reason="Fraud"), OPERATOR)
    await listed.say(listed.issuing())
    assert listed.refusals() == ["list_empty"]
    await listed.say(ReinstateProvider(provider_id=FIRST), OPERATOR)
    await listed.say(listed.issuing())
    (issued,) = listed.events(RequestIssued)
    assert issued.provider_ids == (FIRST,)


async def test_an_issue_waits_for_a_suspension_that_is_under_way_and_honours_it(
    rfp: Running, listed: Purchase
) -> None:
    async with rfp.pool.acquire() as suspending, asyncio.TaskGroup() as tasks, suspending.transaction():
        await suspending.execute(
            "UPDATE providers SET suspended_at = clock_timestamp() WHERE provider_id = $1", SECOND
        )
        issue = tasks.create_task(listed.say(listed.issuing()))
        async with asyncio.timeout(10):
            while not await rfp.pool.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))",
                suspending.get_server_pid(),
            ):
                assert not issue.done(), "the issue did not wait"
                await asyncio.sleep(0.005)
    (issued,) = listed.events(RequestIssued)
    assert issued.provider_ids == (FIRST,)
