"""Principals x topics, groups and the cluster x operations: what may be tried on a broker, and what must come of it.

What is expected follows from tests/access_table.py, which was written by hand. Whatever is not allowed there must be
refused with the authorization error, or be absent.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.helpers import create_ssl_context
from confluent_kafka.admin import NewTopic

from deploy.access.login import Login
from deploy.local.stack import Stack
from tests.access_table import (
    EVERYONE,
    INTERNAL,
    OF_PROVIDERS,
    may_join,
    may_read,
    may_see,
    may_see_group,
    may_write,
)
from tests.integration.attempts import OnCluster, OnGroups, OnTopics

SECONDS = 20
FOUR = ("matrixone000", "matrixtwo000", "matrixthree0", "matrixfour00")
SUSPENDED, REMOVED = "matrixsuspen", "matrixremove"
CUT_OFF = (f"providers.{SUSPENDED}", f"providers.{REMOVED}")
WITH_LOGIN = (*sorted(EVERYONE), *(f"providers.{pid}" for pid in FOUR))
WITHOUT_LOGIN = ("opener", "nobody-known", *CUT_OFF)

# Names that begin like ours; these exist.
ALIKE = (
    "invitationsx",
    "repliesx",
    "rfp.verifications2",
    "rfp.verifications.old",
    f"replies.{FOUR[0]}x",
    f"invitations.{FOUR[0]}.old",
    "somebodys.rfp.events",
    "matrix.topic.of.somebody",
)
MISSING = ("replies.nosuchperson", "rfp.nosuchtopic", f"notices.{REMOVED}", f"replies.{REMOVED}")
TOPICS = (
    *INTERNAL,
    *(kind + pid for pid in (*FOUR, SUSPENDED) for kind in OF_PROVIDERS),
    *ALIKE,
    *MISSING,
)
GROUPS = (
    *(f"{name}.matrix" for name in sorted(EVERYONE)),
    *(f"providers.{pid}.desk" for pid in (*FOUR, SUSPENDED, REMOVED)),
    # Names that begin like ours.
    "bidding",
    "biddings.matrix",
    f"providers.{FOUR[0]}",
    f"providers.{FOUR[0]}x.desk",
    "providers.desk",
    "somebodys.group",
)
ON_TOPICS, ON_GROUPS, ON_CLUSTER = 12, 10, 18
CELLS_OF_ONE = len(TOPICS) * ON_TOPICS + len(GROUPS) * ON_GROUPS + ON_CLUSTER

UNKNOWN_TOPIC, TOPIC_DENIED, GROUP_DENIED, CLUSTER_DENIED, TRANSACTION_DENIED = 3, 29, 30, 31, 53
# The group coordinator's answers to one whom it obeys, and who is not (yet) a member.
OBEYED = {
    "join": {0, 79},
    "join by the new protocol": {0},
    "sync": {25},
    "heartbeat": {25},
    "leave": {0, 25},
    "commit offsets": {0},
    "fetch offsets": {0},
    "find coordinator": {0},
    "describe group": {0},
    "delete group": set[int](),
}
TO_SEE_A_GROUP = {"fetch offsets", "find coordinator", "describe group"}
TOPIC_OPERATIONS = (
    "produce",
    "idempotent produce",
    "fetch",
    "describe",
    "list offsets",
    "create",
    "delete",
    "delete records",
    "alter configs",
    "incremental alter configs",
    "describe configs",
    "create partitions",
)
# Nobody may do the others.
ON_TOPIC_ALLOWED: dict[str, Callable[[str, str], bool]] = {
    "produce": may_write,
    "idempotent produce": may_write,
    "fetch": may_read,
    "describe": may_see,
    "list offsets": may_see,
}
CLUSTER_OPERATIONS = (
    "describe acls",
    "create acls",
    "delete acls",
    "describe scram users",
    "alter scram users",
    "describe quotas",
    "alter quotas",
    "describe broker configs",
    "alter broker configs",
    "elect leaders",
    "list reassignments",
    "init transactional id",
    "find transaction coordinator",
    "add partitions to transaction",
    "end transaction",
)

Open = Callable[[], Awaitable[AIOKafkaConnection]]


@dataclass
class Scene:
    """A stack with the logins of all who try, and connections that were opened before two providers were cut off."""

    stack: Stack
    logins: dict[str, Login]
    running: AsyncExitStack
    before: dict[str, list[AIOKafkaConnection]] = field(default_factory=dict)

    async def connect(self, login: Login | None) -> AIOKafkaConnection:
        """Open a connection; without a login it does not say who it is."""
        host, _, port = self.stack.bootstrap_servers.rpartition(":")
        tls = create_ssl_context(cafile=str(self.stack.ca_file))
        proof = (
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": login.username,
                "sasl_plain_password": login.password,
            }
            if login
            else {"security_protocol": "SSL" if tls else "PLAINTEXT"}
        )
        connection = await create_conn(
            host, int(port), ssl_context=tls, request_timeout_ms=SECONDS * 1000, **proof
        )
        self.running.push_async_callback(_closed, connection)
        return connection


async def _closed(connection: AIOKafkaConnection) -> None:
    closing = connection.close()
    if closing is not None:
        await closing


@asynccontextmanager
async def topics_that_are_called_alike(stack: Stack) -> AsyncIterator[None]:
    """Make the topics that nobody may use, and delete them in the end."""
    admin, names = stack.broker.client(), with_prefix(stack, ALIKE)
    for future in admin.create_topics([NewTopic(name, 1) for name in names]).values():
        await asyncio.to_thread(future.result, SECONDS)
    try:
        yield
    finally:
        for future in admin.delete_topics(names).values():
            await asyncio.to_thread(future.result, SECONDS)


async def have_groups(scene: Scene, everyone: Iterable[str]) -> None:
    """Let each who may use a group have one, so that lists of groups have something to hide."""
    for who in everyone:
        own = [group for group in GROUPS if may_join(who, group)]
        topic = next((name for name in TOPICS if may_read(who, name)), None)
        if own and topic:
            connection = await scene.connect(scene.logins[who])
            await _settled(OnGroups(connection, with_prefix(scene.stack, own), scene.stack.prefix + topic))


async def _settled(on_groups: OnGroups) -> None:
    """Commit offsets until the broker keeps them: at first it has yet to make the topic for them."""
    async with asyncio.timeout(SECONDS):
        while set((await on_groups.find()).values()) | set((await on_groups.commit()).values()) != {0}:  # noqa: ASYNC110 -- it is the broker that is waited for
            await asyncio.sleep(0.05)


def with_prefix(stack: Stack, names: Iterable[str]) -> list[str]:
    """Return the names as they are at this broker."""
    return [stack.prefix + name for name in names]


async def try_everything(scene: Scene, who: str, rights: str, connect: Open) -> Counter[str]:
    """Try every cell of one principal as `rights` may; return how many cells there were of each kind."""
    prefix, cells = scene.stack.prefix, Counter[str]()
    wrong: list[str] = []
    for name in TOPIC_OPERATIONS:
        codes = await OnTopics(await connect(), with_prefix(scene.stack, TOPICS)).operations()[name]()
        for topic in TOPICS:
            allowed = ON_TOPIC_ALLOWED.get(name, lambda *_: False)(rights, topic)
            expected = {UNKNOWN_TOPIC if topic in MISSING else 0} if allowed else {TOPIC_DENIED}
            if who in CUT_OFF and name == "fetch":
                expected.add(-1)
            if name == "delete" and topic in MISSING and may_see(rights, topic):
                # Who may know of a topic is told that it is not there.
                expected = {UNKNOWN_TOPIC}
            found = codes.get(prefix + topic)
            cells["topics"] += 1
            if (-1 if found is None else found) not in expected:
                wrong.append(f"{name} {topic}: {found}, not {expected}")
    readable = next((name for name in TOPICS if may_read(rights, name)), "rfp.events")
    for name, obeyed in OBEYED.items():
        on_groups = OnGroups(await connect(), with_prefix(scene.stack, GROUPS), prefix + readable)
        codes = await on_groups.operations()[name]()
        for group in GROUPS:
            right = may_see_group if name in TO_SEE_A_GROUP else may_join
            expected = obeyed if right(rights, group) and obeyed else {GROUP_DENIED}
            found = codes.get(prefix + group)
            cells["groups"] += 1
            if found not in expected:
                wrong.append(f"{name} {group}: {found}, not {expected}")
    wrong += await _try_cluster(scene, rights, connect, cells)
    assert not wrong, "\n" + "\n".join(wrong)
    return cells


async def _try_cluster(scene: Scene, rights: str, connect: Open, cells: Counter[str]) -> list[str]:
    wrong = []
    topic = scene.stack.prefix + "rfp.events"
    for name in CLUSTER_OPERATIONS:
        code = await OnCluster(await connect(), topic).operations()[name]()
        expected = TRANSACTION_DENIED if "transaction" in name else CLUSTER_DENIED
        cells["cluster"] += 1
        if code != expected:
            wrong.append(f"{name}: {code}, not {expected}")
    on_cluster = OnCluster(await connect(), topic)
    writes = any(may_write(rights, one) for one in TOPICS)
    if (code := await on_cluster.init_producer_id()) != (0 if writes else CLUSTER_DENIED):
        wrong.append(f"init producer id: {code}")
    listed = {one.removeprefix(scene.stack.prefix) for one in await on_cluster.list_groups()} & set(GROUPS)
    if any(not may_see_group(rights, group) for group in listed):
        wrong.append(f"list groups: {listed}")
    own = {group for group in GROUPS if may_join(rights, group)}
    if not own <= listed:
        wrong.append(f"list groups lacks {own - listed}")
    # Where the brokers are is no secret: clients must know it. That nothing may be done with the cluster is what counts.
    if (answer := await on_cluster.describe_cluster()) != (0, 0):
        wrong.append(f"describe cluster: {answer}")
    cells["cluster"] += 3
    return wrong
