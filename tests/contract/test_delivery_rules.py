"""The rules of delivery that FastStream would break silently, asserted of every subscriber of every service."""

from importlib import import_module
from typing import Any

import pytest
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faststream import AckPolicy

from deploy.access import model
from shared.messages import registry
from shared.service import Service
from tests.memory import TEST_SETTINGS

SERVICES = ("aggregation", "rfp", "distribution", "bidding", "notification", "portal")
OWN: dict[str, dict[str, Any]] = {
    "aggregation": {"notification_public_key": "A" * 43 + "="},
    "notification": {
        "mail_from": "linepool@example.org",
        "smtp_host": "127.0.0.1",
        "smtp_port": 25,
        "portal_url": "https://portal.example",
    },
}


def built(name: str, **settings: Any) -> Service:
    own = import_module(f"services.{name}.settings").Settings
    values = {
        **TEST_SETTINGS,
        "postgres_dsn": "postgresql://nowhere.invalid/x",
        **OWN.get(name, {}),
        **settings,
    }
    service: Service = import_module(f"services.{name}.app").build(own(**values))
    return service


@pytest.mark.parametrize("name", SERVICES)
def test_every_subscriber_takes_messages_at_least_once_and_from_the_first(name: str) -> None:
    for subscriber in built(name).broker.subscribers:
        connection = subscriber._connection_args
        assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
        assert connection["enable_auto_commit"] is False
        assert connection["auto_offset_reset"] == "earliest"


@pytest.mark.parametrize("name", SERVICES)
def test_no_subscriber_ever_answers_a_reply_to_header(name: str) -> None:
    for subscriber in built(name).broker.subscribers:
        assert subscriber._no_reply is True


@pytest.mark.parametrize("name", SERVICES)
def test_every_subscriber_seeks_to_its_own_positions(name: str) -> None:
    for subscriber in built(name).broker.subscribers:
        assert subscriber._listener.subscriber is subscriber


@pytest.mark.parametrize("name", SERVICES)
def test_a_prefix_stands_before_every_topic_and_group(name: str) -> None:
    for subscriber in built(name, topic_prefix="shop.").broker.subscribers:
        assert subscriber.group_id.startswith("shop.")
        assert all(topic.startswith("shop.") for topic in subscriber.topic_names)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_reads_only_what_the_broker_lets_it_read(name: str) -> None:
    principal = next(one for one in model.principals() if one.name == name)
    for stream in built(name).wiring.streams.values():
        allowed = stream.topic + "*" if stream.kind == "batches" else stream.topic
        assert allowed in principal.read
        assert stream.consumer.startswith(principal.group_prefix)


def test_every_stream_of_the_contract_is_a_topic_of_the_access_rules_and_the_other_way_round() -> None:
    pid = "aaaaaaaaaaaa"
    topics = {topic.name for topic in model.topics()}
    topics |= {topic.name.removesuffix(pid) for topic in model.provider_topics(pid)}
    assert {message.stream for message in registry.values()} == topics


def test_batches_are_spread_over_replicas_in_turn_and_fetched_in_small_portions() -> None:
    [batch] = [one.subscriber for one in built("bidding").wiring.streams.values() if one.kind == "batches"]
    assert batch._connection_args["partition_assignment_strategy"] == (RoundRobinPartitionAssignor,)
    assert batch._connection_args["max_partition_fetch_bytes"] == 65536


def test_no_subscriber_creates_a_topic() -> None:
    for name in SERVICES:
        assert built(name).broker.config.broker_config.allow_auto_create_topics is False
