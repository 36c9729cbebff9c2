"""Principals x topics, groups and the cluster x operations on the real broker: every cell is tried.

What is tried and what must come of it: `tests.integration.matrix`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest

from deploy.access.apply import cut_provider_off
from deploy.access.login import Login
from deploy.local.stack import Stack
from tests.access_table import EVERYONE, MONITORS
from tests.integration.attempts import Codes, OnCluster, OnGroups, OnTopics
from tests.integration.matrix import (
    CELLS_OF_ONE,
    CUT_OFF,
    FOUR,
    GROUPS,
    ON_CLUSTER,
    ON_GROUPS,
    ON_TOPICS,
    REMOVED,
    SUSPENDED,
    TOPICS,
    WITH_LOGIN,
    WITHOUT_LOGIN,
    Scene,
    have_groups,
    topics_that_are_called_alike,
    try_everything,
    with_prefix,
)


@pytest.fixture(scope="module")
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    pids = [*FOUR, SUSPENDED, REMOVED]
    added = await asyncio.to_thread(stack.add_providers, pids)
    logins = {f"providers.{pid}": login for pid, login in zip(pids, added, strict=True)}
    logins |= {name: stack.login(name) for name in EVERYONE}
    logins |= {name: Login(stack.prefix + name, "0" * 32) for name in ("opener", "nobody-known")}
    async with topics_that_are_called_alike(stack), AsyncExitStack() as running:
        made = Scene(stack, logins, running)
        await have_groups(made, (*WITH_LOGIN, *CUT_OFF))
        for who in CUT_OFF:
            # One for each operation: the broker keeps one silent that exceeds its quota.
            made.before[who] = [
                await made.connect(logins[who]) for _ in range(ON_TOPICS + ON_GROUPS + ON_CLUSTER)
            ]
        await asyncio.to_thread(cut_provider_off, stack.broker, SUSPENDED)
        await asyncio.to_thread(cut_provider_off, stack.broker, REMOVED, delete_topics=True)
        yield made


@pytest.mark.parametrize("who", WITH_LOGIN)
async def test_a_principal_may_do_what_the_table_says_and_nothing_else(scene: Scene, who: str) -> None:
    connection = await scene.connect(scene.logins[who])

    async def connect() -> AIOKafkaConnection:
        return connection

    assert (await try_everything(scene, who, who, connect)).total() == CELLS_OF_ONE


@pytest.mark.parametrize("who", CUT_OFF)
async def test_one_who_was_cut_off_may_do_nothing_on_connections_that_are_still_open(
    scene: Scene, who: str
) -> None:
    open_ones = scene.before[who]

    async def connect() -> AIOKafkaConnection:
        return open_ones.pop()

    assert (await try_everything(scene, who, "nobody", connect)).total() == CELLS_OF_ONE


@pytest.mark.parametrize("who", WITHOUT_LOGIN)
async def test_one_without_a_user_does_not_get_in(scene: Scene, who: str) -> None:
    with pytest.raises(KafkaError):
        await scene.connect(scene.logins[who])


@pytest.mark.parametrize("kind", ["topics", "groups", "cluster"])
async def test_one_who_does_not_say_who_it_is_gets_no_answer(scene: Scene, kind: str) -> None:
    topics, groups = with_prefix(scene.stack, TOPICS), with_prefix(scene.stack, GROUPS)

    async def tries() -> dict[str, Callable[[], Awaitable[Codes | int]]]:
        connection = await scene.connect(None)
        if kind == "topics":
            return dict(OnTopics(connection, topics).operations())
        if kind == "groups":
            return dict(OnGroups(connection, groups, topics[0]).operations())
        return dict(OnCluster(connection, topics[0]).operations())

    names = list(await tries())
    assert len(names) == {"topics": ON_TOPICS, "groups": ON_GROUPS, "cluster": ON_CLUSTER - 3}[kind]
    for name in names:
        with pytest.raises(KafkaError):
            await (await tries())[name]()


@pytest.mark.parametrize("monitor", sorted(MONITORS))
async def test_a_monitor_is_not_told_how_far_replies_are_read(scene: Scene, monitor: str) -> None:
    """A group's offsets in a topic of replies would count them as well as the topic's end does."""
    replies, commands = (scene.stack.prefix + one for one in (f"replies.{FOUR[0]}", "bidding.commands"))
    group = scene.stack.prefix + "bidding.matrix"
    reader = await scene.connect(scene.logins["bidding"])
    for topic in (replies, commands):
        assert (await OnGroups(reader, [group], topic).commit()) == {group: 0}
    asked = [(replies, [0]), (commands, [0])]
    seen_by_reader = (await reader.send(OffsetFetchRequest(group, asked))).topics
    assert _without_fault(seen_by_reader) == {replies, commands}
    looking = await scene.connect(scene.logins[monitor])
    assert _without_fault((await looking.send(OffsetFetchRequest(group, asked))).topics) == {commands}


def _without_fault(topics: list[tuple[str, list[tuple[int, int, str, int]]]]) -> set[str]:
    return {topic for topic, [(_, offset, _, code)] in topics if code == 0 and offset >= 0}


def test_the_matrix_has_thousands_of_cells() -> None:
    assert len(TOPICS) == len(set(TOPICS)) == 44
    assert len(GROUPS) == len(set(GROUPS)) == 22
    assert CELLS_OF_ONE == 766
    assert CELLS_OF_ONE * len((*WITH_LOGIN, *CUT_OFF)) == 12_256
