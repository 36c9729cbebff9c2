"""Nothing that the broker itself tells a provider's login says how many others there are, or what they do; with two limits.

A provider asks all that it may; others come, go, write and read; it asks again. What moves besides is in docs/access.md.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.admin import ListGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from deploy.access.apply import cut_provider_off
from deploy.local.stack import Stack
from linepool.client.connection import Connection
from linepool.client.orders import open_producer
from tests.integration.attempts import describe_cluster, describe_groups, raw_request
from tests.integration.tender import connected

ASKING, OTHER = "asksasksasks", "otherotherot"
LATER = ("latelatelate", "goesgoesgoes")
MESSAGES = 200
_TEXT = CompactString("utf-8")
describe_producers = raw_request(
    61,
    Schema(
        (
            "topics",
            CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    ),
    Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("message", _TEXT),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("transaction_start", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
    flexible=True,
)
list_transactions = raw_request(
    66,
    Schema(("states", CompactArray(_TEXT)), ("producer_ids", CompactArray(Int64)), ("tags", TaggedFields)),
    Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_states", CompactArray(_TEXT)),
        (
            "transactions",
            CompactArray(("id", _TEXT), ("producer_id", Int64), ("state", _TEXT), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    ),
    flexible=True,
)


@dataclass(frozen=True)
class Scene:
    """A stack with two providers, and their ways in."""

    stack: Stack
    asking: Connection
    other: Connection

    def way(self, login: Any) -> Connection:
        stack = self.stack
        return Connection(
            stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix
        )


@pytest.fixture(scope="module")
async def scene(stack: Stack) -> Scene:
    logins = await asyncio.to_thread(stack.add_providers, [ASKING, OTHER])
    asking, other = (
        Connection(stack.bootstrap_servers, one.username, one.password, stack.ca_file, stack.prefix)
        for one in logins
    )
    made = Scene(stack, asking, other)
    # What it asks about is there: a record on each of its topics, and a group of its own.
    for who, kind in (("distribution", "invitations"), ("bidding", "notices")):
        async with open_producer(made.way(stack.login(who))) as producer:
            await producer.send_and_wait(f"{stack.prefix}{kind}.{ASKING}", b"{}")
    async with open_producer(asking) as producer:
        await producer.send_and_wait(f"{stack.prefix}replies.{ASKING}", b"{}")
    await read_all(asking, ASKING)
    return made


@pytest.fixture
async def connection(scene: Scene) -> AsyncIterator[AIOKafkaConnection]:
    async with connected(scene.asking) as opened:
        yield opened


async def read_all(way: Connection, pid: str) -> None:
    """Read a provider's notices in a group of its own, and keep the position."""
    topic, group = way.topic(f"notices.{pid}"), way.topic(f"providers.{pid}.desk")
    consumer = AIOKafkaConsumer(
        topic, **way.arguments(), group_id=group, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        await consumer.getmany(timeout_ms=5000)
        await consumer.commit()
    finally:
        await consumer.stop()


async def all_answers(connection: AIOKafkaConnection, way: Connection) -> dict[str, Any]:
    """Return the broker's answer to each request that a provider may send, as it came."""
    own = [way.topic(f"{kind}.{ASKING}") for kind in ("invitations", "notices", "replies")]
    foreign = [way.topic(f"{kind}.{pid}") for kind in ("notices", "replies") for pid in (OTHER, *LATER)]
    group = way.topic(f"providers.{ASKING}.desk")
    long_ago = 1_000_000_000_000
    requests = {
        "metadata of all": MetadataRequest(None),
        "metadata of others": MetadataRequest(foreign, allow_auto_topic_creation=False),
        "cluster": describe_cluster(True, {}),
        "fetch": FetchRequest(0, 0, 1 << 20, 0, [(topic, [(0, 0, 1 << 20)]) for topic in (*own, *foreign)]),
        "ends": OffsetRequest(-1, 0, [(topic, [(0, -1)]) for topic in (*own, *foreign)]),
        "beginnings": OffsetRequest(-1, 0, [(topic, [(0, -2)]) for topic in (*own, *foreign)]),
        "offsets by time": OffsetRequest(-1, 0, [(topic, [(0, long_ago)]) for topic in (*own, *foreign)]),
        "groups": ListGroupsRequest(),
        "coordinator": FindCoordinatorRequest(group, 0),
        "own group": describe_groups([group]),
        "position": OffsetFetchRequest(group, [(own[1], [0])]),
        "producers": describe_producers([(topic, [0], {}) for topic in (*own, *foreign)], {}),
        "transactions": list_transactions([], [], {}),
    }
    return {name: str(await connection.send(request)) for name, request in requests.items()}


async def others_are_busy(scene: Scene) -> None:
    """Let providers come and go, write much and read."""
    stack = scene.stack
    logins = await asyncio.to_thread(stack.add_providers, list(LATER))
    for pid, login in zip((OTHER, *LATER), (None, *logins), strict=True):
        way = scene.other if login is None else scene.way(login)
        async with open_producer(way) as producer:
            await asyncio.gather(
                *[producer.send_and_wait(way.topic(f"replies.{pid}"), b"x" * 500) for _ in range(MESSAGES)]
            )
        async with open_producer(scene.way(stack.login("bidding"))) as producer:
            await producer.send_and_wait(f"{stack.prefix}notices.{pid}", b"{}")
        await read_all(way, pid)
    await asyncio.to_thread(cut_provider_off, stack.broker, LATER[1], delete_topics=True)


async def test_whatever_others_do_the_broker_answers_a_provider_the_same(
    scene: Scene, connection: AIOKafkaConnection
) -> None:
    before = await all_answers(connection, scene.asking)
    await others_are_busy(scene)
    after = await all_answers(connection, scene.asking)
    assert after == before
    # It is not for want of answers: what it does itself shows.
    async with open_producer(scene.asking) as producer:
        await producer.send_and_wait(scene.asking.topic(f"replies.{ASKING}"), b"{}")
    assert (await all_answers(connection, scene.asking))["ends"] != before["ends"]


async def next_producer_id(connection: AIOKafkaConnection) -> int:
    async with asyncio.timeout(30):
        while True:
            answer = await connection.send(InitProducerIdRequest(None, 0))
            if answer.error_code == 0:
                found: int = answer.producer_id
                return found
            # The broker has yet to ask for its first numbers.
            await asyncio.sleep(0.1)


async def test_the_counter_of_producers_is_not_moved_by_those_who_write_as_the_bundle_says(
    scene: Scene, connection: AIOKafkaConnection
) -> None:
    """The broker numbers idempotent producers, whoever they are, so such a number counts how many began since the last one."""
    before = await next_producer_id(connection)
    for _ in range(5):
        async with open_producer(scene.other) as producer:
            await producer.send_and_wait(scene.other.topic(f"replies.{OTHER}"), b"{}")
    between = await next_producer_id(connection)
    assert between == before + 1
    # The limit that docs/access.md names: who turns idempotence on is counted.
    idempotent = AIOKafkaProducer(**scene.other.arguments(), enable_idempotence=True)
    await idempotent.start()
    try:
        await idempotent.send_and_wait(scene.other.topic(f"replies.{OTHER}"), str(uuid4()).encode())
    finally:
        await idempotent.stop()
    assert await next_producer_id(connection) == between + 2


async def test_the_number_of_the_clusters_changes_tells_nothing_of_messages(scene: Scene) -> None:
    """`ApiVersions` tells, without a login, how many changes of topics, users and rules there were; idle time moves it too."""
    began, first = time.monotonic(), await asyncio.to_thread(changes_of_the_cluster, scene.stack)
    async with open_producer(scene.other) as producer:
        for _ in range(MESSAGES):
            await producer.send_and_wait(scene.other.topic(f"replies.{OTHER}"), b"x" * 500)
    await read_all(scene.other, OTHER)
    moved = await asyncio.to_thread(changes_of_the_cluster, scene.stack) - first
    # Twice a second the controller notes that it is there, whatever happens.
    assert moved <= 2 * (time.monotonic() - began) + 4
    # The limit that docs/access.md names: that somebody is added or removed can be seen.
    before = await asyncio.to_thread(changes_of_the_cluster, scene.stack)
    await asyncio.to_thread(scene.stack.add_providers, ["seenseenseen"])
    assert await asyncio.to_thread(changes_of_the_cluster, scene.stack) - before > 10


def changes_of_the_cluster(stack: Stack) -> int:
    """Return what the broker tells anybody in `ApiVersions` as the epoch of its features: how far its own log has come."""
    host, _, port = stack.bootstrap_servers.rpartition(":")
    trusting = ssl.create_default_context(cafile=str(stack.ca_file))
    asked = struct.pack(">hhih", 18, 3, 1, -1) + b"\0" + b"\6probe\2" + b"1" + b"\0"
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        trusting.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.sendall(struct.pack(">i", len(asked)) + asked)
        with connection.makefile("rb") as answer:
            size = struct.unpack(">i", answer.read(4))[0]
            said = memoryview(answer.read(size))
    keys, at = _varint(said, 6)
    for _ in range(keys - 1):
        _, at = _varint(said, at + 6)
    count, at = _varint(said, at + 4)
    tagged = {}
    for _ in range(count):
        tag, at = _varint(said, at)
        length, at = _varint(said, at)
        tagged[tag], at = said[at : at + length], at + length
    epoch: int = struct.unpack(">q", tagged[1])[0]
    return epoch


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
