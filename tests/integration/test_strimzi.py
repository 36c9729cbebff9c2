"""What the chart gives to Strimzi, applied to a real broker by a stand-in for its operators, and lived with.

One release beside the stack's own installation: helm renders it, `tests.integration.strimzi` does what Strimzi does, and the
services log in as the users that come of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
from aiokafka.conn import AIOKafkaConnection
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from deploy.access.apply import cut_provider_off, difference_of
from deploy.access.found import look
from deploy.access.login import Login, admin_client
from deploy.access.model import kafka_users, provider
from deploy.local.stack import Stack
from tests.access_table import EVERYONE
from tests.deploy.rendering import NAMESPACE, Object, rendered
from tests.flow.purchase import buy
from tests.integration.beside import another_installation
from tests.integration.matrix import (
    FOUR,
    SUSPENDED,
    WITH_LOGIN,
    Scene,
    have_groups,
    topics_that_are_called_alike,
    try_everything,
)
from tests.integration.pods import Pods, migrate, secrets_for, values_for
from tests.integration.strimzi import Secrets, Strimzi
from tests.integration.system import PROVIDERS, SERVICE_SETTINGS, UNLISTED, running_system

pytestmark = pytest.mark.chart
PREFIX = "strimzi."
LISTED = (*PROVIDERS, UNLISTED, *FOUR, SUSPENDED)
SECONDS = 20


@dataclass(frozen=True)
class Release:
    """A release of the chart, and what has come of it at Kafka."""

    stack: Stack
    secrets: Secrets
    strimzi: Strimzi

    def objects(self, *, listed: tuple[str, ...] = LISTED, cut_off: tuple[str, ...] = ()) -> list[Object]:
        """Render the chart for a Kafka of one broker, with these providers."""
        values = values_for(self.stack, PREFIX)
        values["kafka"]["strimzi"] = {
            "enabled": True,
            "cluster": "events",
            "replicas": 1,
            "providers": list(listed),
            "cutOff": list(cut_off),
        }
        return rendered(values)

    def login(self, pid: str) -> Login:
        name = provider(pid).name
        return Login(PREFIX + name, self.secrets[f"linepool-{name}", "kafka-password"])


@pytest.fixture(scope="module")
async def release(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Release]:
    async with another_installation(stack, PREFIX, tmp_path_factory.mktemp("strimzi")) as beside:
        secrets = secrets_for(beside)
        for user in kafka_users():
            secrets[f"linepool-{user.name}", "kafka-password"] = beside.passwords[user.name]
        for pid in LISTED:
            secrets[f"linepool-{provider(pid).name}", "kafka-password"] = f"of-{pid}-0123456789"
        # The broker is shared: nobody without the prefix is Strimzi's.
        operators = Strimzi(stack.broker, "events", NAMESPACE, secrets, ignored_users=rf"(?!{PREFIX}).*")
        made = Release(beside, secrets, operators)
        assert not look(beside.broker).topics
        await asyncio.to_thread(operators.reconcile, made.objects())
        await settled(made)
        yield made


async def settled(release: Release) -> None:
    """Wait until the broker decides by what was made."""
    async with asyncio.timeout(SECONDS):
        while difference_of(replace(release.stack.broker, replicas=1)):  # noqa: ASYNC110 -- it is the broker that is waited for
            await asyncio.sleep(0.1)


async def test_strimzi_makes_what_access_apply_would_make(release: Release) -> None:
    broker = replace(release.stack.broker, replicas=1)
    assert list(difference_of(broker).sentences()) == []
    found = look(broker)
    assert {*found.providers()} == {*LISTED}
    assert all(topic.settings["min.insync.replicas"] == "1" for topic in found.topics.values())
    # A topic on as many brokers as Strimzi was told is nothing that `access apply` would take back.
    assert list(difference_of(release.stack.broker).sentences()) == []


async def test_a_purchase_runs_with_the_users_that_strimzi_made(release: Release) -> None:
    objects = release.objects()
    await asyncio.to_thread(migrate, objects, release.secrets)
    pods = Pods(release.stack, objects, release.secrets, SERVICE_SETTINGS)
    providers = {pid: release.login(pid) for pid in (*PROVIDERS, UNLISTED)}
    async with running_system(release.stack, services=pods, providers=providers) as system:
        purchase = system.purchase()
        await buy(system, purchase, seconds=system.soon)
        await system.rest()
        await system.complete(purchase)
        await system.check()


# After the purchase: whoever may write leaves what no service could read.
@pytest.fixture(scope="module")
async def scene(release: Release) -> AsyncIterator[Scene]:
    stack = release.stack
    logins = {name: stack.login(name) for name in EVERYONE}
    logins |= {f"providers.{pid}": release.login(pid) for pid in FOUR}
    async with topics_that_are_called_alike(stack), AsyncExitStack() as running:
        made = Scene(stack, logins, running)
        await have_groups(made, WITH_LOGIN)
        yield made


@pytest.mark.parametrize("who", WITH_LOGIN)
async def test_a_user_of_strimzi_may_do_what_the_table_says_and_nothing_else(scene: Scene, who: str) -> None:
    connection = await scene.connect(scene.logins[who])

    async def connect() -> AIOKafkaConnection:
        return connection

    await try_everything(scene, who, who, connect)


async def test_a_rule_that_no_resource_has_is_taken_away(release: Release) -> None:
    broker = release.stack.broker
    admin = broker.client()
    surplus = AclBinding(
        ResourceType.TOPIC,
        f"{PREFIX}rfp.documents",
        ResourcePatternType.LITERAL,
        f"User:{PREFIX}providers.{FOUR[0]}",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    for future in admin.create_acls([surplus]).values():
        await asyncio.to_thread(future.result, SECONDS)
    async with asyncio.timeout(SECONDS):
        while len(difference_of(broker).rules_surplus) != 1:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.1)
    await asyncio.to_thread(release.strimzi.reconcile, release.objects())
    await settled(release)


async def test_a_provider_is_cut_off_by_the_chart_and_not_by_a_command_that_strimzi_undoes(
    release: Release,
) -> None:
    broker, login = release.stack.broker, release.login(SUSPENDED)
    topics = {f"{PREFIX}{kind}.{SUSPENDED}" for kind in ("invitations", "replies", "notices")}
    own = admin_client(broker.bootstrap_servers, login, broker.ca_file)
    assert {*own.list_topics(timeout=SECONDS).topics} == topics
    await asyncio.to_thread(cut_provider_off, broker, SUSPENDED)
    assert look(broker).standing(SUSPENDED) == "cut off"
    await asyncio.to_thread(release.strimzi.reconcile, release.objects())
    await settled(release)
    assert look(broker).standing(SUSPENDED) == "admitted"

    secret = f"linepool-{provider(SUSPENDED).name}", "kafka-password"
    release.secrets[secret] = "nobody knows this one"
    listed = tuple(pid for pid in LISTED if pid != SUSPENDED)
    objects = release.objects(listed=listed, cut_off=(SUSPENDED,))
    await asyncio.to_thread(release.strimzi.reconcile, objects)
    async with asyncio.timeout(SECONDS):
        while look(broker).standing(SUSPENDED) != "cut off":  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.1)
    assert not {*own.list_topics(timeout=SECONDS).topics}
    with pytest.raises(KafkaException):
        admin_client(broker.bootstrap_servers, login, broker.ca_file).list_topics(timeout=5)
    # The user is there, its topics too, and what a fetch that waits could still bring is nothing.
    found = look(broker)
    assert login.username in found.users
    assert topics <= found.topics.keys()
    assert found.quotas[login.username] == {"consumer_byte_rate": 20.0}
