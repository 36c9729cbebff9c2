"""The access rules against rules written here by hand, not derived from the files that they check."""

import pytest

from deploy.access.model import (
    AclRule,
    Topic,
    acls_of,
    kafka_users,
    principals,
    provider,
    provider_acls,
    provider_topics,
    roles,
    services,
    topics,
)
from tests.access_table import EVERYONE, INTERNAL, MONITORS, PEOPLE, SERVICES

PID = "k3v9q2m7x1ab"
DAY = 24 * 60 * 60 * 1000

OF_A_PROVIDER = {
    f"invitations.{PID}": ({"distribution"}, {"distribution", f"providers.{PID}"}),
    f"replies.{PID}": ({f"providers.{PID}"}, {"bidding"}),
    f"notices.{PID}": ({"bidding", "notification"}, {"bidding", "notification", f"providers.{PID}"}),
}


def all_rules(prefix: str = "") -> list[AclRule]:
    return [rule for principal in principals() for rule in acls_of(principal, prefix)] + [
        *provider_acls(PID, prefix)
    ]


def allowed(operation: str, topic: str, prefix: str = "") -> set[str]:
    """Who may do it, by Kafka's own meaning of literal and prefixed."""
    return {
        rule.username
        for rule in all_rules(prefix)
        if rule.resource == "TOPIC"
        and rule.operation == operation
        and (topic == rule.name if rule.pattern == "LITERAL" else topic.startswith(rule.name))
    }


def topics_of(principal: str, operation: str) -> set[tuple[str, str]]:
    return {
        (rule.pattern, rule.name)
        for rule in all_rules()
        if rule.username == principal and rule.resource == "TOPIC" and rule.operation == operation
    }


def test_the_officer_writes_verifications_and_nothing_else() -> None:
    assert topics_of("officer", "WRITE") == {("LITERAL", "rfp.verifications")}
    assert allowed("WRITE", "rfp.verifications") == {"officer"}


def test_the_operator_writes_registrations_and_administration_and_nothing_else() -> None:
    topics = ("rfp.registrations", "aggregation.administration")
    assert topics_of("operator", "WRITE") == {("LITERAL", topic) for topic in topics}
    assert allowed("WRITE", "rfp.registrations") == {"operator"}


def test_only_distribution_writes_invitations() -> None:
    assert allowed("WRITE", f"invitations.{PID}") == {"distribution"}
    assert ("PREFIXED", "invitations.") in topics_of("distribution", "WRITE")


def test_only_bidding_reads_replies_and_not_even_their_provider_does() -> None:
    assert allowed("READ", f"replies.{PID}") == {"bidding"}


def test_a_provider_has_its_own_three_topics_and_its_own_groups() -> None:
    name = f"providers.{PID}"
    assert provider(PID).name == name
    assert set(provider_acls(PID)) == {
        AclRule(name, "TOPIC", "LITERAL", f"invitations.{PID}", "READ"),
        AclRule(name, "TOPIC", "LITERAL", f"notices.{PID}", "READ"),
        AclRule(name, "TOPIC", "LITERAL", f"replies.{PID}", "WRITE"),
        AclRule(name, "GROUP", "PREFIXED", f"providers.{PID}.", "READ"),
    }


@pytest.mark.parametrize("topic", [*INTERNAL, *OF_A_PROVIDER])
def test_a_topic_is_written_and_read_by_those_of_the_table(topic: str) -> None:
    writers, readers = (INTERNAL | OF_A_PROVIDER)[topic]
    assert allowed("WRITE", topic) == writers
    assert allowed("READ", topic) == readers


def test_the_topics_are_those_of_the_table_and_no_others() -> None:
    assert {topic.name for topic in topics()} == set(INTERNAL)
    assert {topic.name for topic in provider_topics(PID)} == set(OF_A_PROVIDER)


def test_no_rule_names_a_topic_that_does_not_exist() -> None:
    known = set(INTERNAL) | set(OF_A_PROVIDER)
    for rule in all_rules():
        if rule.resource == "TOPIC" and rule.pattern == "LITERAL":
            assert rule.name in known


def test_every_prefix_ends_in_its_dot() -> None:
    prefixed = [rule for rule in all_rules() if rule.pattern == "PREFIXED"]
    assert len(prefixed) >= len(SERVICES | PEOPLE) + 1
    assert all(rule.name.endswith(".") for rule in prefixed)


def test_everyone_has_groups_of_its_own() -> None:
    groups = {
        rule.username: rule.name
        for rule in all_rules()
        if rule.resource == "GROUP" and rule.operation == "READ"
    }
    assert groups == {name: f"{name}." for name in [*SERVICES, *PEOPLE, f"providers.{PID}"]}


def test_nobody_may_do_more_than_read_and_write() -> None:
    assert {rule.operation for rule in all_rules() if rule.username not in MONITORS} == {"READ", "WRITE"}
    assert {rule.operation for rule in all_rules() if rule.resource == "GROUP"} == {"READ", "DESCRIBE"}


def test_monitors_read_nothing_and_none_of_them_sees_how_many_replies_there_are() -> None:
    assert {rule.operation for rule in all_rules() if rule.username in MONITORS} == {"DESCRIBE"}
    for kind in ("replies", "notices", "invitations"):
        assert not allowed("DESCRIBE", f"{kind}.{PID}")


def test_one_role_and_one_schema_per_service() -> None:
    assert {service.name for service in services()} == SERVICES
    assert {(one.role, one.schema) for one in roles()} == {(name, name) for name in [*SERVICES, "opener"]}
    assert {user.name for user in kafka_users()} == EVERYONE
    assert {principal.name for principal in principals()} == EVERYONE | {"opener"}


def test_a_provider_named_like_a_service_is_not_that_service() -> None:
    for name in ("distribution", "notification"):
        rules = provider_acls(name)
        assert {rule.username for rule in rules} == {f"providers.{name}"}
        assert not {rule.name for rule in rules} & set(INTERNAL)


@pytest.mark.parametrize(
    "pid",
    [
        "",
        "short",
        "K3V9Q2M7X1AB",
        "k3v9q2m7x1a",
        "k3v9q2m7x1abc",
        "k3v9q2m7x1a.",
        "k3v9q2m7x1a*",
        "k3v9q2m7x1ab\n",
    ],
)
def test_an_id_that_is_not_twelve_lower_case_letters_or_digits_is_refused(pid: str) -> None:
    for use in (provider_topics, provider_acls, provider):
        with pytest.raises(ValueError, match="twelve lower-case letters or digits"):
            use(pid)


def test_a_prefix_stands_before_topics_groups_and_users() -> None:
    rules = all_rules("north.")
    assert all(rule.name.startswith("north.") and rule.username.startswith("north.") for rule in rules)
    assert {topic.name for topic in topics("north.")} == {f"north.{name}" for name in INTERNAL}
    assert allowed("WRITE", f"north.invitations.{PID}", "north.") == {"north.distribution"}
    assert not allowed("READ", f"replies.{PID}", "north.")


@pytest.mark.parametrize("prefix", ["north", "North.", ".", "north..", "a.b.", "north.*"])
def test_a_prefix_that_could_match_other_names_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="a prefix is"):
        topics(prefix)


def test_names_are_good_for_kubernetes_too() -> None:
    for name in [topic.name for topic in (*topics(), *provider_topics(PID))]:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_every_topic_carries_append_times_and_states_its_retention() -> None:
    everything: list[Topic] = [*topics(), *provider_topics(PID)]
    assert {topic.config()["message.timestamp.type"] for topic in everything} == {"LogAppendTime"}
    assert all(topic.retention_ms == -1 or topic.retention_ms >= 7 * DAY for topic in everything)
    assert {topic.max_message_bytes for topic in everything} == {1024 * 1024}
    assert {topic.partitions for topic in topics()} == {3}
    assert {topic.partitions for topic in provider_topics(PID)} == {1}


def test_commands_are_gone_a_day_after_their_seven_days() -> None:
    by_name = {topic.name: topic for topic in topics()}
    for name in ("aggregation.commands", "rfp.commands", "bidding.commands"):
        assert (by_name[name].retention_ms, by_name[name].segment_ms) == (7 * DAY, DAY)


def test_only_what_is_kept_by_person_is_compacted() -> None:
    compacted = {topic.name for topic in topics() if topic.cleanup_policy == "compact"}
    assert compacted == {"aggregation.contacts", "aggregation.credentials"}
    assert all(topic.max_compaction_lag_ms == DAY for topic in topics() if topic.name in compacted)
