"""A broker that has drifted is put right; what is not ours is left alone; one who is cut off gets nothing more."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka.conn import create_conn
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from deploy.access.apply import (
    add_provider,
    admit_provider,
    apply_access,
    cut_provider_off,
    difference_of,
    settle,
)
from deploy.access.broker import Broker
from deploy.access.found import look
from deploy.access.login import admin_client
from deploy.access.model import kafka_users
from deploy.access.quotas import change_user_quotas, user_quotas
from deploy.local.stack import Stack

SECONDS = 20


@pytest.fixture(scope="module")
def broker(stack: Stack) -> Broker:
    """Another installation on the same broker: what these tests break is nobody else's."""
    made = replace(stack.broker, prefix="drift.")
    apply_access(made, {user.name: "0123456789abcdef" for user in kafka_users()})
    return made


def rule(principal: str, topic: str, operation: AclOperation) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        principal,
        "*",
        operation,
        AclPermissionType.ALLOW,
    )


def as_filter(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype,
        one.name,
        one.resource_pattern_type,
        one.principal,
        one.host,
        one.operation,
        one.permission_type,
    )


def done(futures: dict[object, object]) -> None:
    for future in futures.values():
        future.result(SECONDS)


def set_retention(admin: AdminClient, topic: str, name: str) -> None:
    entry = ConfigEntry(name, "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    done(admin.incremental_alter_configs([resource]))


async def until(condition: object) -> None:
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 -- it is the broker that is waited for
            await asyncio.sleep(0.05)


async def test_a_broker_that_has_drifted_is_put_right_and_what_is_foreign_is_not_touched(
    broker: Broker,
) -> None:
    assert not difference_of(broker)
    add_provider(broker, "driftedprov0", "0123456789abcdef")
    admin = broker.client()
    done(admin.create_topics([NewTopic("drift.somebody", 1), NewTopic("driftx.rfp.events", 1)]))
    set_retention(admin, "drift.rfp.events", "retention.ms")
    set_retention(admin, "drift.rfp.documents", "retention.bytes")
    set_retention(admin, "drift.somebody", "retention.ms")
    surplus = rule("User:drift.providers.driftedprov0", "drift.rfp.documents", AclOperation.READ)
    done(admin.create_acls([surplus, rule("User:stranger", "drift.somebody", AclOperation.READ)]))
    lost = rule("User:drift.officer", "drift.rfp.verifications", AclOperation.WRITE)
    done(admin.delete_acls([as_filter(lost)]))
    done(admin.delete_topics(["drift.notification.events", "drift.notices.driftedprov0"]))
    change_user_quotas(broker, {"drift.providers.driftedprov0": {"request_percentage": 99.0}})
    expected = {
        "rule missing: User:drift.officer may WRITE TOPIC drift.rfp.verifications",
        "rule too many: User:drift.providers.driftedprov0 may READ TOPIC drift.rfp.documents",
        "topic missing: drift.notification.events",
        "topic missing: drift.notices.driftedprov0",
        "setting of drift.rfp.events: retention.ms must be -1",
        "setting of drift.rfp.documents: retention.bytes must be as the broker has it",
    }
    await until(lambda: expected <= set(difference_of(broker).repairs()))
    difference = difference_of(broker)
    assert {one for one in difference.repairs() if not one.startswith("quota of")} == expected
    assert "quota of drift.providers.driftedprov0: request_percentage must be 10" in difference.repairs()
    assert not difference.left_alone()

    settle(broker, difference, {})

    await until(lambda: not difference_of(broker))
    assert {"drift.somebody", "driftx.rfp.events"} <= set(admin.list_topics(timeout=SECONDS).topics)
    assert "User:stranger" not in {one.principal for one in look(broker).rules}


async def test_a_rule_of_somebody_else_about_ours_is_told_and_left_alone(broker: Broker) -> None:
    admin = broker.client()
    foreign = rule("User:stranger", "drift.rfp.documents", AclOperation.READ)
    done(admin.create_acls([foreign]))
    await until(lambda: len(difference_of(broker).foreign_rules) == 1)
    assert not difference_of(broker, trusted=["User:stranger"])
    settle(broker, difference_of(broker), {})
    assert len(difference_of(broker).foreign_rules) == 1
    done(admin.delete_acls([as_filter(foreign)]))
    await until(lambda: not difference_of(broker))


async def test_two_installations_on_one_broker_do_not_see_each_other(stack: Stack, broker: Broker) -> None:
    other = look(replace(broker, prefix="drifting."))
    assert not [*other.topics, *other.users, *other.rules, *other.foreign_rules, *other.quotas]
    assert not any(name.startswith("drift.") for name in look(stack.broker).topics)


async def test_a_provider_that_was_cut_off_comes_back_with_its_quotas(broker: Broker) -> None:
    pid = "driftedback0"
    add_provider(broker, pid, "0123456789abcdef")
    cut_provider_off(broker, pid)
    assert look(broker).standing(pid) == "cut off"
    assert not difference_of(broker)
    admit_provider(broker, pid, "fedcba9876543210")
    assert look(broker).standing(pid) == "admitted"
    await until(lambda: user_quotas(broker)[f"drift.providers.{pid}"].get("producer_byte_rate") == 262144.0)
    assert not difference_of(broker)


async def test_a_fetch_that_waits_when_its_provider_is_cut_off_brings_nothing_written_later(
    stack: Stack, broker: Broker
) -> None:
    pid = "driftwaiting"
    login = add_provider(broker, pid, "0123456789abcdef")
    topic = f"drift.invitations.{pid}"
    host, _, port = stack.bootstrap_servers.rpartition(":")
    connection = await create_conn(
        host,
        int(port),
        ssl_context=create_ssl_context(cafile=str(stack.ca_file)),
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=login.username,
        sasl_plain_password=login.password,
    )
    waiting = asyncio.create_task(
        connection.send(FetchRequest(30_000, 1, 1_000_000, 0, [(topic, [(0, 0, 65536)])]))
    )
    done_at_once, _ = await asyncio.wait([waiting], timeout=1)
    assert not done_at_once
    await asyncio.to_thread(cut_provider_off, broker, pid)
    await asyncio.to_thread(write_one, stack, topic)
    answer = await waiting
    brought = [part for _, parts in answer.topics for part in parts]
    assert not any(part[-1] for part in brought)
    closing = connection.close()
    if closing is not None:
        await closing


def write_one(stack: Stack, topic: str) -> None:
    producer = Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(stack.ca_file),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": stack.admin.username,
            "sasl.password": stack.admin.password,
        }
    )
    producer.produce(topic, b"x" * 400)
    assert producer.flush(SECONDS) == 0


async def test_a_broker_that_starts_again_after_a_cut_lets_everyone_else_in(
    stack: Stack, broker: Broker
) -> None:
    pid = "driftrestart"
    login = add_provider(broker, pid, "0123456789abcdef")
    cut_provider_off(broker, pid, delete_topics=True)
    await asyncio.to_thread(stack.kafka.restart)
    await until(lambda: not difference_of(broker))
    assert look(broker).standing(pid) == "absent"
    gone = admin_client(stack.bootstrap_servers, login, stack.ca_file)
    with pytest.raises(KafkaException):
        gone.list_topics(timeout=5)
