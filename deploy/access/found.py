"""What a broker holds of ours: our topics, users, rules and quotas, and what others may do to our topics.

Ours is what carries our prefix and one of our names: the topics of topics.yaml, the principals of principals.yaml, and
names with a provider's id at its place. Everything else on the broker belongs to somebody else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ConfigResource,
    ConfigSource,
    ResourcePatternType,
    ResourceType,
)

from deploy.access.broker import PATIENCE_SECONDS, AccessError, Broker, code, patiently, results
from deploy.access.model import AclRule, kafka_users, provider, provider_acls, provider_topics, topics
from deploy.access.quotas import user_quotas

Standing = Literal["admitted", "cut off", "absent"]
LOCKED_ITERATIONS = 4099
"""How a user is told that has a password which nobody knows. A user is never deleted: Kafka 4.4 forgets every password when it
starts again and reads in its log that one was deleted (docs/decisions/0010)."""
_NOT_ALLOWED = (KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_SOME_ID = "aaaaaaaaaaaa"
_ANY_ID = "([a-z0-9]{12})"


@dataclass(frozen=True, order=True)
class HeldRule:
    """A rule as the broker holds it; `principal` with its type, such as `User:rfp`."""

    principal: str
    resource: str
    pattern: str
    name: str
    operation: str
    permission: str = "ALLOW"
    host: str = "*"

    def __str__(self) -> str:
        """Say it as people read it."""
        names = f"{self.name}*" if self.pattern == "PREFIXED" else self.name
        where = "" if self.host == "*" else f" from {self.host}"
        may = "may" if self.permission == "ALLOW" else "may not"
        return f"{self.principal} {may} {self.operation} {self.resource} {names}{where}"


@dataclass(frozen=True)
class FoundTopic:
    """A topic at the broker, with the settings that were made for it."""

    partitions: int
    replicas: int
    """Of the partition that has the fewest."""
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """What is ours at a broker, and the rules of others about it."""

    prefix: str
    topics: Mapping[str, FoundTopic]
    users: frozenset[str]
    """Those with a password that somebody may know."""
    rules: frozenset[HeldRule]
    foreign_rules: frozenset[HeldRule]
    quotas: Mapping[str, Mapping[str, float]]

    def providers(self) -> tuple[str, ...]:
        """Return the ids of all providers of whom there is anything, in order."""
        ids = [provider_of_topic(name, self.prefix) for name in self.topics]
        names = {*self.users, *(rule.principal.removeprefix("User:") for rule in self.rules), *self.quotas}
        ids += [provider_of_user(name, self.prefix) for name in names]
        return tuple(sorted({pid for pid in ids if pid}))

    def standing(self, pid: str) -> Standing:
        """Tell whether a provider is let in: whether it has at least one of the rules that it should have."""
        if self.rules & {held(rule) for rule in provider_acls(pid, self.prefix)}:
            return "admitted"
        return "cut off" if pid in self.providers() else "absent"

    def has_password(self, pid: str) -> bool:
        """Tell whether a provider has a SCRAM user; one that logs in by certificate has none."""
        return self.prefix + provider(pid).name in self.users


def look(broker: Broker) -> Found:
    """Ask the broker. Raises AccessError when it is away or the login may not look, KafkaException when it refuses otherwise."""
    try:
        return _look(broker)
    except KafkaException as error:
        if code(error) in _NOT_ALLOWED:
            raise AccessError(
                f"Kafka does not let {broker.admin.username} look: it takes Describe and DescribeConfigs, both on the"
                f" cluster and on the topics whose names begin with {broker.prefix!r}"
            ) from error
        raise


def _look(broker: Broker) -> Found:
    prefix = broker.prefix
    admin = broker.client()
    here = patiently(lambda: admin.list_topics(timeout=10)).topics
    ours_here = {name: topic.partitions for name, topic in here.items() if is_ours(name, prefix)}
    settings = _settings_of(broker, list(ours_here))
    # Without names the answer is one future, and not a dictionary as the published types have it.
    ask_for_all: Any = admin.describe_user_scram_credentials
    everyone = patiently(lambda: ask_for_all().result(PATIENCE_SECONDS))
    held_rules = [
        HeldRule(
            one.principal,
            one.restype.name,
            one.resource_pattern_type.name,
            one.name,
            one.operation.name,
            one.permission_type.name,
            one.host,
        )
        for one in patiently(lambda: admin.describe_acls(any_rule()).result(PATIENCE_SECONDS))
    ]
    ours = frozenset(rule for rule in held_rules if is_our_user(rule.principal.removeprefix("User:"), prefix))
    return Found(
        prefix=prefix,
        topics={
            name: FoundTopic(
                len(partitions), min(len(one.replicas) for one in partitions.values()), settings[name]
            )
            for name, partitions in ours_here.items()
        },
        users=frozenset(
            name for name, user in everyone.items() if is_our_user(name, prefix) and not _is_locked(user)
        ),
        rules=ours,
        foreign_rules=frozenset(
            rule for rule in held_rules if rule not in ours and _is_about_us(rule, prefix)
        ),
        quotas={user: quotas for user, quotas in user_quotas(broker).items() if is_our_user(user, prefix)},
    )


def _is_locked(user: Any) -> bool:
    # The published types call this otherwise.
    return all(one.iterations == LOCKED_ITERATIONS for one in user.scram_credential_infos)


def held(rule: AclRule) -> HeldRule:
    """Return a rule of ours as the broker holds it."""
    return HeldRule(f"User:{rule.username}", rule.resource, rule.pattern, rule.name, rule.operation)


def any_rule() -> AclBindingFilter:
    """Return what every rule fits."""
    # None stands for any name; the published types do not know that.
    anything: Any = None
    return AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        anything,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def is_ours(topic: str, prefix: str) -> bool:
    """Tell whether a topic is one of ours by its name."""
    return topic in {one.name for one in topics(prefix)} or provider_of_topic(topic, prefix) is not None


def is_our_user(user: str, prefix: str) -> bool:
    """Tell whether a Kafka user is one of ours by its name."""
    names = {prefix + one.name for one in kafka_users()}
    return user in names or provider_of_user(user, prefix) is not None


def provider_of_topic(topic: str, prefix: str) -> str | None:
    """Return the id of the provider whose topic this is."""
    for kind in _kinds(prefix):
        if found := re.fullmatch(re.escape(kind) + _ANY_ID, topic):
            return found[1]
    return None


def provider_of_user(user: str, prefix: str) -> str | None:
    """Return the id of the provider whose user this is."""
    beginning = prefix + provider(_SOME_ID).name.removesuffix(_SOME_ID)
    found = re.fullmatch(re.escape(beginning) + _ANY_ID, user)
    return found[1] if found else None


def _kinds(prefix: str) -> list[str]:
    return [one.name.removesuffix(_SOME_ID) for one in provider_topics(_SOME_ID, prefix)]


def _settings_of(broker: Broker, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    admin = broker.client()
    # The answers come in the order of the questions.
    answers = patiently(lambda: results(admin.describe_configs(resources)))
    made = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {
        name: {entry.name: entry.value for entry in answer.values() if entry.source == made}
        for name, answer in zip(names, answers, strict=True)
    }


def _is_about_us(rule: HeldRule, prefix: str) -> bool:
    """Tell whether a rule reaches one of our topics or groups, such as one for all topics of the broker."""
    if rule.resource == "TOPIC":
        names = [one.name for one in topics(prefix)]
        beginnings = _kinds(prefix)
    elif rule.resource == "GROUP":
        names = []
        owners = [*kafka_users(), provider(_SOME_ID)]
        beginnings = [
            prefix + one.group_prefix.replace(f"{_SOME_ID}.", "") for one in owners if one.group_prefix
        ]
    else:
        return False
    if rule.pattern == "PREFIXED":
        return any(name.startswith(rule.name) for name in (*names, *beginnings)) or any(
            rule.name.startswith(beginning) for beginning in beginnings
        )
    return rule.name == "*" or rule.name in names or rule.name.startswith(tuple(beginnings))
