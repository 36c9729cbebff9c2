"""What the broker and the database really refuse, on the access rules as they are applied."""

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    KafkaConnectionError,
)
from aiokafka.helpers import create_ssl_context
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from deploy.access.apply import apply_access
from deploy.access.login import Login, admin_client
from deploy.access.model import acls_of, kafka_users, provider_acls, topics
from deploy.access.postgres import apply_roles
from deploy.local.stack import Stack

ONE, OTHER = "accessone000", "accessother0"
SECONDS = 20


@pytest.fixture(scope="module")
def providers(stack: Stack) -> dict[str, Login]:
    return dict(zip((ONE, OTHER), stack.add_providers([ONE, OTHER]), strict=True))


def aiokafka_settings(stack: Stack, login: Login) -> dict[str, object]:
    return {
        "bootstrap_servers": stack.bootstrap_servers,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": login.username,
        "sasl_plain_password": login.password,
        "ssl_context": create_ssl_context(cafile=str(stack.ca_file)),
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"sasl_plain_password": "not-the-password"},
        {"sasl_plain_username": "nobody-known"},
        {"security_protocol": "PLAINTEXT"},
    ],
    ids=["a wrong password", "an unknown user", "no credentials at all"],
)
async def test_a_client_that_does_not_prove_who_it_is_gets_nothing(
    stack: Stack, changed: dict[str, str]
) -> None:
    settings = aiokafka_settings(stack, stack.login("distribution"))
    known = AIOKafkaConsumer(**settings)
    await known.start()
    assert f"{stack.prefix}rfp.events" in await known.topics()
    await known.stop()
    unproven = AIOKafkaConsumer(**settings | changed)
    with pytest.raises(KafkaConnectionError):
        await unproven.start()
    await unproven.stop()


def every_rule(stack: Stack) -> set[tuple[str, str, str, str, str]]:
    anything = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    admin = admin_client(stack.bootstrap_servers, stack.admin, stack.ca_file)
    found = admin.describe_acls(anything).result(SECONDS)
    assert {(rule.permission_type, rule.host) for rule in found} == {(AclPermissionType.ALLOW, "*")}
    return {
        (rule.principal, rule.restype.name, rule.resource_pattern_type.name, rule.name, rule.operation.name)
        for rule in found
    }


def test_the_broker_holds_exactly_the_rules_and_applying_them_again_changes_nothing(
    stack: Stack, providers: dict[str, Login]
) -> None:
    assert providers
    before = every_rule(stack)
    apply_access(stack.broker, stack.passwords)
    assert every_rule(stack) == before
    expected = [rule for principal in kafka_users() for rule in acls_of(principal, stack.prefix)]
    expected += [rule for pid in (ONE, OTHER) for rule in provider_acls(pid, stack.prefix)]
    ours = {
        (f"User:{rule.username}", rule.resource, rule.pattern, rule.name, rule.operation) for rule in expected
    }
    users = {f"User:{rule.username}" for rule in expected}
    assert {rule for rule in before if rule[0] in users} == ours


def test_topics_have_their_settings_and_get_them_back(stack: Stack) -> None:
    admin = admin_client(stack.bootstrap_servers, stack.admin, stack.ca_file)
    wanted = topics(stack.prefix)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in wanted]
    described = {
        resource.name: future.result(SECONDS)
        for resource, future in admin.describe_configs(resources).items()
    }
    for topic in wanted:
        actual = {name: entry.value for name, entry in described[topic.name].items()}
        assert actual | topic.config() == actual, topic.name


async def test_a_role_owns_its_schema_and_sees_no_other(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.dsn("bidding"))
    try:
        await connection.execute("CREATE TABLE access_probe (id int)")
        place = await connection.fetchval("SELECT schemaname FROM pg_tables WHERE tablename = 'access_probe'")
        await connection.execute("DROP TABLE access_probe")
        assert place == "bidding"
        for statement in (
            "CREATE TABLE rfp.stolen (id int)",
            "CREATE TABLE public.stolen (id int)",
            "CREATE SCHEMA stolen",
            "CREATE ROLE stolen",
            "CREATE TEMPORARY TABLE stolen (id int)",
            "SET ROLE rfp",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert await connection.fetchval("SHOW log_error_verbosity") == "terse"
    finally:
        await connection.close()


async def test_a_role_reads_no_other_schema_even_when_it_knows_the_table(stack: Stack) -> None:
    owner = await asyncpg.connect(stack.dsn("rfp"))
    other = await asyncpg.connect(stack.dsn("bidding"))
    try:
        await owner.execute("CREATE TABLE access_secret (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute("SELECT * FROM rfp.access_secret")
    finally:
        await owner.execute("DROP TABLE IF EXISTS access_secret")
        await owner.close()
        await other.close()


async def test_a_wrong_password_opens_no_database(stack: Stack) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.dsn("bidding"), password="not-the-password")


async def test_roles_can_be_applied_again(stack: Stack) -> None:
    await apply_roles(stack.admin_dsn, stack.role_passwords)
    connection = await asyncpg.connect(stack.dsn("aggregation"))
    assert await connection.fetchval("SELECT current_schema()") == "aggregation"
    await connection.close()
