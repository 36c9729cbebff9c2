"""A Kafka that somebody else administers, from what they are given to a purchase: nobody here has rights there.

They make what `linepool access render` printed; the chart is installed with a prefix and without its Job for access; one
login of theirs may look; and a provider is added without asking for more.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.access.apply import difference_of
from deploy.access.broker import Broker, patiently, results, wait_until
from deploy.access.login import Login
from deploy.access.model import kafka_users, provider
from deploy.access.quotas import change_user_quotas
from deploy.local.stack import Stack
from linepool.provisioning.bundle import read_bundle
from shared.messages.rfp import ProviderSuspended
from tests.deploy.rendering import Object, of_kind, rendered
from tests.flow.purchase import buy
from tests.integration.beside import another_installation
from tests.integration.pods import Pods, migrate, secrets_for, values_for
from tests.integration.strimzi import Secrets
from tests.integration.system import PROVIDERS, SERVICE_SETTINGS, UNLISTED, RealSystem, running_system

pytestmark = pytest.mark.chart
PREFIX = "shared."
LISTED = (*PROVIDERS, UNLISTED)
LOOKER = "somebodys-looker"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Installation:
    """A release of the chart on that Kafka, its purchases, and `linepool` at the shell of whoever operates it."""

    place: Stack
    administrators: Broker
    objects: list[Object]
    system: RealSystem

    def shell(self, *words: str, expected: int = 0, **login: str) -> str:
        """Run a command with a login at Kafka; return what it says, on whichever way."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("LINEPOOL_")}
        known = {
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": self.place.bootstrap_servers,
            "LINEPOOL_KAFKA_CA_FILE": str(self.place.ca_file),
            "LINEPOOL_TOPIC_PREFIX": PREFIX,
            "LINEPOOL_OPERATOR_PASSWORD": self.place.passwords["operator"],
            "LINEPOOL_BIDDING_SECRET": self.place.secrets["bidding"],
            "LINEPOOL_OPENER_SECRET": self.place.secrets["opener"],
        }
        done = subprocess.run(
            [sys.executable, "-m", "linepool", *words],
            env=outside | known | login | {"PYTHONPATH": str(ROOT)},
            cwd=self.place.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    def as_principal(self, name: str) -> dict[str, str]:
        """Return the variables of one of our own logins."""
        return {
            "LINEPOOL_KAFKA_USERNAME": PREFIX + name,
            "LINEPOOL_KAFKA_PASSWORD": self.place.passwords[name],
        }


def printed(*providers: str) -> dict[str, Any]:
    """Return what `linepool access render` prints for an administrator's own tools; it asks no Kafka."""
    words = ["access", "render", "--format", "json", "--prefix", PREFIX, "--replicas", "1"]
    words += [word for pid in providers for word in ("--provider", pid)]
    done = subprocess.run(
        [sys.executable, "-m", "linepool", *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def administer(broker: Broker, wanted: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    """Do what whoever administers that Kafka does with it; `passwords` by user."""
    admin = broker.client()
    rules = [
        AclBinding(
            ResourceType[one["resource"]],
            one["name"],
            ResourcePatternType[one["pattern"]],
            one["principal"],
            one["host"],
            AclOperation[one["operation"]],
            AclPermissionType[one["permission"]],
        )
        for one in wanted["acls"]
    ]
    results(admin.create_acls(rules))
    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    users = [UserScramCredentialUpsertion(user, how, passwords[user].encode()) for user in wanted["users"]]
    results(admin.alter_user_scram_credentials(users))
    change_user_quotas(broker, wanted["quotas"])
    here = patiently(lambda: admin.list_topics(timeout=20)).topics
    new = [
        NewTopic(one["name"], one["partitions"], one["replicas"], config=one["config"])
        for one in wanted["topics"]
        if one["name"] not in here
    ]
    results(admin.create_topics(new))


@pytest.fixture(scope="module")
async def installation(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("shared")
    async with another_installation(stack, PREFIX, folder) as place:
        logins = {pid: Login(PREFIX + provider(pid).name, f"of-{pid}-0123456789") for pid in LISTED}
        passwords = {PREFIX + name: password for name, password in place.passwords.items()}
        passwords |= {login.username: login.password for login in logins.values()}
        await asyncio.to_thread(administer, stack.broker, printed(*LISTED), passwords)

        secrets: Secrets = secrets_for(place)
        for user in kafka_users():
            secrets[f"linepool-{user.name}", "kafka-password"] = place.passwords[user.name]
        objects = rendered(values_for(place, PREFIX))
        await asyncio.to_thread(migrate, objects, secrets)
        pods = Pods(place, objects, secrets, SERVICE_SETTINGS)
        async with running_system(place, services=pods, providers=logins) as system:
            yield Installation(place, stack.broker, objects, system)


async def test_a_purchase_runs_without_anybody_who_may_administer_that_kafka(
    installation: Installation,
) -> None:
    assert not of_kind(installation.objects, "KafkaUser", "KafkaTopic")
    assert {one["metadata"]["name"] for one in of_kind(installation.objects, "Job")} == {"shop-migrate"}
    for name in installation.system.services.names:
        told = installation.system.services.environment_of(name)
        assert told.get("LINEPOOL_KAFKA_USERNAME", "") in (PREFIX + name, "")
        assert installation.administrators.admin.password not in told.values()
    system = installation.system
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon)
    await system.rest()
    await system.complete(purchase)
    await system.check()


async def test_a_login_that_may_look_sees_whether_all_is_as_it_was_printed(
    installation: Installation,
) -> None:
    broker = installation.administrators
    rules = [
        AclBinding(kind, name, pattern, f"User:{LOOKER}", "*", operation, AclPermissionType.ALLOW)
        for kind, name, pattern in (
            (ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL),
            (ResourceType.TOPIC, PREFIX, ResourcePatternType.PREFIXED),
        )
        for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    ]
    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    admin = broker.client()
    results(admin.create_acls(rules))
    results(admin.alter_user_scram_credentials([UserScramCredentialUpsertion(LOOKER, how, b"looking")]))
    login = {"LINEPOOL_KAFKA_USERNAME": LOOKER, "LINEPOOL_KAFKA_PASSWORD": "looking"}
    look = ("access", "check", "--trusted", f"User:{LOOKER}")
    assert installation.shell(*look, **login) == "access: as it should be\n"

    # What somebody has changed meanwhile is seen.
    user = PREFIX + provider(UNLISTED).name
    change_user_quotas(broker, {user: {"request_percentage": 99.0}})
    try:
        said = installation.shell(*look, expected=1, **login)
    finally:
        change_user_quotas(broker, {user: {"request_percentage": 10.0}})
    assert said == f"access: 1 differences; the first: quota of {user}: request_percentage must be 10\n"


async def test_a_login_that_may_not_look_is_told_what_it_lacks(installation: Installation) -> None:
    said = installation.shell("access", "check", expected=1, **installation.as_principal("rfp"))
    assert said.count("\n") == 1
    assert said.startswith("linepool: ")
    assert "DescribeConfigs" in said


async def test_a_provider_is_added_once_somebody_has_let_it_in(installation: Installation) -> None:
    words = ("provider", "add", "Neu AG", "--category", "voice.day", "--region", "DE-NI")
    words += ("--administered-elsewhere", "--output", "neu")
    login = installation.as_principal("operator")
    said = await asyncio.to_thread(installation.shell, *words, expected=1, **login)
    written = read_bundle(installation.place.folder / "neu")
    assert written
    pid, password = written.provider_id, written.password
    assert f"`linepool access render --prefix {PREFIX} --provider {pid}`" in said
    assert password
    assert password not in said

    user = PREFIX + provider(pid).name
    wanted = printed(pid)
    wanted["users"] = [user]
    await asyncio.to_thread(administer, installation.administrators, wanted, {user: password})
    await asyncio.to_thread(
        wait_until,
        lambda: not difference_of(installation.place.broker, trusted=[f"User:{LOOKER}"]),
        "the provider was not let in",
    )
    said = await asyncio.to_thread(installation.shell, *words, **login)
    assert said.startswith(f"Neu AG is admitted: its id is {pid}.\n")
    assert read_bundle(installation.place.folder / "neu") == written
    registered = await asyncio.to_thread(installation.shell, "provider", "add", "Neu AG", *words[3:], **login)
    assert registered == said

    # To suspend it, rfp is told; what is left at the broker is said, and is its administrator's.
    words = ("provider", "suspend", "Neu AG", "--reason", "unpaid fees")
    said = await asyncio.to_thread(installation.shell, *words, expected=1, **login)
    assert said.startswith(f"linepool: Kafka does not let {PREFIX}operator look: ")
    await installation.system.journal.wait_for(
        lambda entry: entry.says(ProviderSuspended, pid), within=20, what="the suspension"
    )
