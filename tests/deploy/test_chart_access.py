"""What the chart gives to Strimzi, KEDA and Postgres against the rules written by hand in tests/access_table.py."""

from typing import Any

import pytest

from tests.access_table import (
    EVERYONE,
    GROUPS_SEEN_BY_MONITORS,
    INTERNAL,
    MONITORS,
    OF_PROVIDERS,
    SEEN_BY_MONITORS,
    SERVICES,
    may_read,
)
from tests.deploy.rendering import EVERYTHING_OWN, OPERATORS, Object, RefusedError, named, of_kind, rendered
from tests.deploy.validating import faults

PREFIX = "shop."
PID = "k3v9q2m7x1ab"
Rule = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return rendered(OPERATORS)


def rules_of(one: Object) -> set[Rule]:
    found = set()
    for acl in one["spec"]["authorization"]["acls"]:
        assert acl.keys() == {"resource", "operations"}, "another host or a denial"
        kind = acl["resource"]
        found |= {
            (one["metadata"]["name"], kind["type"], kind["patternType"], kind["name"], operation)
            for operation in acl["operations"]
        }
    return found


def by_hand() -> set[Rule]:
    wanted: set[Rule] = set()

    def add(who: str, kind: str, pattern: str, name: str, operation: str) -> None:
        wanted.add((PREFIX + who, kind, pattern, PREFIX + name, operation))

    for table, pattern in ((INTERNAL, "literal"), (OF_PROVIDERS, "prefix")):
        for topic, (writers, readers) in table.items():
            for who in writers:
                add(who, "topic", pattern, topic, "Write")
            for who in readers:
                add(who, "topic", pattern, topic, "Read")
    for who in EVERYONE - MONITORS:
        add(who, "group", "prefix", f"{who}.", "Read")
    for who in MONITORS:
        for topics in SEEN_BY_MONITORS[who]:
            add(who, "topic", "prefix", topics, "Describe")
        for groups in GROUPS_SEEN_BY_MONITORS:
            add(who, "group", "prefix", groups, "Describe")
    provider = f"providers.{PID}"
    add(provider, "topic", "literal", f"replies.{PID}", "Write")
    add(provider, "topic", "literal", f"invitations.{PID}", "Read")
    add(provider, "topic", "literal", f"notices.{PID}", "Read")
    add(provider, "group", "prefix", f"{provider}.", "Read")
    return wanted


def test_the_users_may_do_exactly_what_the_table_says(objects: list[Object]) -> None:
    found: set[Rule] = set().union(*(rules_of(one) for one in of_kind(objects, "KafkaUser")))
    assert found == by_hand()


def test_there_is_a_topic_for_each_row_of_the_table_and_three_for_a_provider(objects: list[Object]) -> None:
    found = {one["metadata"]["name"] for one in of_kind(objects, "KafkaTopic")}
    assert found == {PREFIX + topic for topic in INTERNAL} | {PREFIX + begin + PID for begin in OF_PROVIDERS}


def test_every_topic_carries_append_times_and_is_on_a_second_broker_before_it_is_answered(
    objects: list[Object],
) -> None:
    for one in of_kind(objects, "KafkaTopic"):
        config = one["spec"]["config"]
        assert config["message.timestamp.type"] == "LogAppendTime"
        assert config["min.insync.replicas"] == "2"
        assert one["spec"]["replicas"] == 3
        assert one["spec"]["partitions"] == (1 if one["metadata"]["name"].endswith(PID) else 3)


def test_only_a_provider_has_quotas(objects: list[Object]) -> None:
    with_quotas = {
        one["metadata"]["name"]: one["spec"]["quotas"]
        for one in of_kind(objects, "KafkaUser")
        if "quotas" in one["spec"]
    }
    assert with_quotas == {
        f"{PREFIX}providers.{PID}": {
            "producerByteRate": 262144,
            "consumerByteRate": 4194304,
            "requestPercentage": 10,
            "controllerMutationRate": 0.01,
        }
    }


def with_providers(listed: list[str], cut_off: list[str]) -> list[Object]:
    strimzi = {**OPERATORS["kafka"]["strimzi"], "providers": listed, "cutOff": cut_off}
    return rendered({**OPERATORS, "kafka": {**OPERATORS["kafka"], "strimzi": strimzi}})


def test_a_provider_that_is_cut_off_keeps_its_user_and_topics_and_may_do_nothing() -> None:
    """A user that no KafkaUser names is deleted, after which Kafka 4.4 refuses every password once it is started anew."""
    objects = with_providers([], [PID])
    user = named(objects, "KafkaUser", f"{PREFIX}providers.{PID}")
    assert "authorization" not in user["spec"]
    assert user["spec"]["authentication"]["type"] == "scram-sha-512"
    assert user["spec"]["quotas"] == {"consumerByteRate": 20}
    assert faults(user) == []
    topics = {one["metadata"]["name"] for one in of_kind(objects, "KafkaTopic")}
    assert {PREFIX + begin + PID for begin in OF_PROVIDERS} <= topics


def test_a_provider_is_not_let_in_and_cut_off_at_once() -> None:
    with pytest.raises(RefusedError, match=f"both have {PID}"):
        with_providers([PID], [PID])


def test_the_job_for_access_is_told_on_how_many_brokers_topics_are_kept() -> None:
    def told(replicas: int) -> dict[str, Any]:
        access = {"enabled": True, "replicas": replicas}
        objects = rendered({**EVERYTHING_OWN, "kafka": {**EVERYTHING_OWN["kafka"], "access": access}})
        [container] = named(objects, "Job", "shop-access")["spec"]["template"]["spec"]["containers"]
        return {entry["name"]: entry.get("value") for entry in container["env"]}

    assert told(3)["LINEPOOL_KAFKA_REPLICAS"] == "3"
    assert "LINEPOOL_KAFKA_REPLICAS" not in told(0)


def test_scaling_asks_about_groups_and_topics_that_its_user_may_see(objects: list[Object]) -> None:
    for one in of_kind(objects, "ScaledObject"):
        service = one["metadata"]["name"].removeprefix("shop-")
        assert service in SERVICES
        for trigger in one["spec"]["triggers"]:
            metadata: dict[str, Any] = trigger["metadata"]
            topic = metadata["topic"].removeprefix(PREFIX)
            assert topic.startswith(SEEN_BY_MONITORS["keda"])
            assert may_read(service, topic)
            assert metadata["consumerGroup"] == f"{PREFIX}{service}.{topic}"


def test_each_process_logs_in_as_itself(objects: list[Object]) -> None:
    for service in SERVICES:
        [one] = named(objects, "Deployment", f"shop-{service}")["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry.get("value") for entry in one["env"]}
        assert env["LINEPOOL_KAFKA_USERNAME"] == PREFIX + service
        assert env["LINEPOOL_TOPIC_PREFIX"] == PREFIX
