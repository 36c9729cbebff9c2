"""What the broker and the database really refuse, on the access rules as they are applied."""

import asyncio
import secrets

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.helpers import create_ssl_context
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from deploy.access.apply import apply_access
from deploy.access.login import Login, admin_client
from deploy.access.model import acls_of, principals, provider_acls, topics
from deploy.access.postgres import apply_roles
from deploy.local.stack import Stack

ONE, OTHER = "accessone000", "accessother0"
DENIED = Code.TOPIC_AUTHORIZATION_FAILED
SECONDS = 20


@pytest.fixture(scope="module")
def providers(stack: Stack) -> dict[str, Login]:
    return dict(zip((ONE, OTHER), stack.add_providers([ONE, OTHER]), strict=True))


def client_settings(stack: Stack, login: Login) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": stack.bootstrap_servers,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": login.username,
        "sasl.password": login.password,
        "log_level": 0,
        "ssl.ca.location": str(stack.ca_file),
    }


def write(stack: Stack, login: Login, topic: str) -> int | None:
    """Write one message as an idempotent producer; return Kafka's error code, None when it was stored."""
    outcome: list[int | None] = []
    settings = client_settings(stack, login) | {
        "enable.idempotence": True,
        "message.timeout.ms": SECONDS * 1000,
    }
    producer = Producer(settings)

    def told(error: Code | None, _: Message) -> None:
        outcome.append(error.code() if error else None)

    producer.produce(stack.prefix + topic, b"value", on_delivery=told)
    assert producer.flush(SECONDS) == 0
    return outcome[0]


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


async def read(stack: Stack, login: Login, topic: str, group: str | None = None) -> type[KafkaError] | None:
    """Read one message, in a group if one is named; return how it was refused, None when it was given."""
    settings = aiokafka_settings(stack, login) | {"group_id": stack.prefix + group if group else None}
    consumer = AIOKafkaConsumer(stack.prefix + topic, **settings)
    try:
        async with asyncio.timeout(SECONDS):
            await consumer.start()
            await consumer.getone()
    except KafkaError as error:
        return type(error)
    finally:
        await consumer.stop()
    return None


async def test_a_provider_reads_its_own_invitations_and_writes_its_own_replies(
    stack: Stack, providers: dict[str, Login]
) -> None:
    assert write(stack, stack.login("distribution"), f"invitations.{ONE}") is None
    assert await read(stack, providers[ONE], f"invitations.{ONE}") is None
    assert await read(stack, providers[ONE], f"invitations.{ONE}", f"providers.{ONE}.desk") is None
    assert write(stack, providers[ONE], f"replies.{ONE}") is None
    assert await read(stack, stack.login("bidding"), f"replies.{ONE}", "bidding.replies") is None


async def test_a_provider_reads_nobody_elses_topics(stack: Stack, providers: dict[str, Login]) -> None:
    foreign = [
        f"invitations.{OTHER}",
        f"notices.{OTHER}",
        f"replies.{OTHER}",
        f"replies.{ONE}",
        "rfp.documents",
    ]
    for topic in foreign:
        assert await read(stack, providers[ONE], topic) is TopicAuthorizationFailedError, topic


def test_a_provider_writes_only_its_own_replies(stack: Stack, providers: dict[str, Login]) -> None:
    for topic in (
        f"invitations.{ONE}",
        f"notices.{ONE}",
        f"replies.{OTHER}",
        "rfp.events",
        "rfp.verifications",
    ):
        assert write(stack, providers[ONE], topic) == DENIED, topic


def test_a_foreign_topic_and_one_that_does_not_exist_are_refused_alike(
    stack: Stack, providers: dict[str, Login]
) -> None:
    assert write(stack, providers[ONE], f"replies.{OTHER}") == write(
        stack, providers[ONE], "replies.nosuchperson"
    )
    seen = (
        admin_client(stack.bootstrap_servers, providers[ONE], stack.ca_file)
        .list_topics(timeout=SECONDS)
        .topics
    )
    assert set(seen) == {stack.prefix + f"{kind}.{ONE}" for kind in ("invitations", "replies", "notices")}


async def test_a_provider_joins_no_group_but_its_own(stack: Stack, providers: dict[str, Login]) -> None:
    for group in ("bidding.replies", f"providers.{OTHER}.desk", f"providers.{ONE}"):
        refused = await read(stack, providers[ONE], f"invitations.{ONE}", group)
        assert refused is GroupAuthorizationFailedError, group


def test_only_the_officer_verifies_and_only_the_operator_registers(stack: Stack) -> None:
    for topic, writer in (("rfp.verifications", "officer"), ("rfp.registrations", "operator")):
        for principal in principals():
            expected = None if principal.name == writer else DENIED
            assert write(stack, stack.login(principal.name), topic) == expected, (topic, principal.name)


def test_only_distribution_writes_invitations(stack: Stack, providers: dict[str, Login]) -> None:
    assert providers
    for principal in principals():
        expected = None if principal.name == "distribution" else DENIED
        assert write(stack, stack.login(principal.name), f"invitations.{ONE}") == expected, principal.name


async def test_only_bidding_reads_replies(stack: Stack, providers: dict[str, Login]) -> None:
    assert write(stack, providers[ONE], f"replies.{ONE}") is None
    for principal in principals():
        expected = None if principal.name == "bidding" else TopicAuthorizationFailedError
        assert await read(stack, stack.login(principal.name), f"replies.{ONE}") is expected, principal.name


def test_a_name_that_only_begins_alike_is_not_matched(stack: Stack) -> None:
    admin = admin_client(stack.bootstrap_servers, stack.admin, stack.ca_file)
    names = ["invitationsx", "rfp.verifications2", "rfp.verifications.old"]
    created = admin.create_topics([NewTopic(stack.prefix + name, 1) for name in names])
    for future in created.values():
        future.result(SECONDS)
    try:
        assert write(stack, stack.login("distribution"), "invitationsx") == DENIED
        assert write(stack, stack.login("officer"), "rfp.verifications2") == DENIED
        assert write(stack, stack.login("officer"), "rfp.verifications.old") == DENIED
    finally:
        for future in admin.delete_topics([stack.prefix + name for name in names]).values():
            future.result(SECONDS)


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


def test_nobody_but_the_admin_creates_topics_or_sees_rules(stack: Stack, providers: dict[str, Login]) -> None:
    for login in (providers[ONE], stack.login("bidding")):
        client = admin_client(stack.bootstrap_servers, login, stack.ca_file)
        future = client.create_topics([NewTopic(f"{stack.prefix}replies.{secrets.token_hex(6)}", 1)])
        with pytest.raises(KafkaException) as refused:
            next(iter(future.values())).result(SECONDS)
        assert refused.value.args[0].code() == DENIED


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
    expected = [rule for principal in principals() for rule in acls_of(principal, stack.prefix)]
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
