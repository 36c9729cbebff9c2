"""Brings a Kafka to what topics.yaml and principals.yaml say. Running it again changes nothing."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.access.login import Login, admin_client
from deploy.access.model import (
    AclRule,
    Topic,
    acls_of,
    kafka_users,
    provider,
    provider_acls,
    provider_topics,
    topics,
)

_PATIENCE_SECONDS = 30.0
_SCRAM_ITERATIONS = 8192
_TRANSIENT = {
    KafkaError._TRANSPORT,  # noqa: SLF001 -- confluent-kafka names its public error codes with an underscore
    KafkaError._TIMED_OUT,  # noqa: SLF001 -- as above
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 -- as above
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_CONTROLLER,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 -- as above
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 -- as above
    # What the client says while it knows no leader for any of the partitions.
    KafkaError._NOENT,  # noqa: SLF001 -- as above
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    # A broker that has just restarted counts leader epochs behind what the client has heard.
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
}


def apply_access(
    bootstrap: str,
    admin_login: Login,
    passwords: Mapping[str, str],
    prefix: str = "",
    ca_file: Path | None = None,
) -> None:
    """Create or correct every topic, user and rule that exists once; wait until topics and users are visible.

    `passwords` goes by principal of principals.yaml (without the prefix); KeyError names one that is absent.
    Raises KafkaException when Kafka refuses, TimeoutError when what was made does not become visible.
    """
    everyone = kafka_users()
    logins = [Login(prefix + principal.name, passwords[principal.name]) for principal in everyone]
    rules = [rule for principal in everyone for rule in acls_of(principal, prefix)]
    _apply(lambda: admin_client(bootstrap, admin_login, ca_file), topics(prefix), logins, rules)


def add_provider(
    bootstrap: str,
    admin_login: Login,
    pid: str,
    password: str,
    *,
    prefix: str = "",
    ca_file: Path | None = None,
) -> Login:
    """Create or correct one provider's three topics, user and rules; return its login.

    Raises ValueError for an id that is not allowed, and what `apply_access` raises.
    """
    return add_providers(bootstrap, admin_login, {pid: password}, prefix=prefix, ca_file=ca_file)[0]


def add_providers(
    bootstrap: str,
    admin_login: Login,
    passwords: Mapping[str, str],
    *,
    prefix: str = "",
    ca_file: Path | None = None,
) -> tuple[Login, ...]:
    """Do what `add_provider` does for many at once (`passwords` by id); the logins come in the same order."""
    logins = tuple(Login(prefix + provider(pid).name, password) for pid, password in passwords.items())
    _apply(
        lambda: admin_client(bootstrap, admin_login, ca_file),
        [topic for pid in passwords for topic in provider_topics(pid, prefix)],
        logins,
        [rule for pid in passwords for rule in provider_acls(pid, prefix)],
    )
    return logins


def _apply(
    connect: Callable[[], AdminClient],
    wanted: Sequence[Topic],
    logins: Sequence[Login],
    rules: Iterable[AclRule],
) -> None:
    admin = connect()
    # Rules first: a topic is never there before the rules about it.
    _patiently(lambda: _results(admin.create_acls([_binding(rule) for rule in rules])))
    _patiently(lambda: _results(admin.alter_user_scram_credentials([_credential(login) for login in logins])))
    _patiently(lambda: _create_topics(admin, wanted))
    _wait_for_topics(connect, wanted)
    _wait_for_users(admin, logins)


def _create_topics(admin: AdminClient, wanted: Sequence[Topic]) -> None:
    existing = admin.list_topics(timeout=10).topics
    missing = [topic for topic in wanted if topic.name not in existing]
    if missing:
        # -1 stands for the broker's own replication factor.
        made = [
            NewTopic(topic.name, topic.partitions, replication_factor=-1, config=topic.config())
            for topic in missing
        ]
        _results(admin.create_topics(made), accepted=KafkaError.TOPIC_ALREADY_EXISTS)
    present = [topic for topic in wanted if topic.name in existing]
    if present:
        _results(admin.incremental_alter_configs([_corrected(topic) for topic in present]))


def _corrected(topic: Topic) -> ConfigResource:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in topic.config().items()
    ]
    return ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries)


def _wait_for_topics(connect: Callable[[], AdminClient], wanted: Sequence[Topic]) -> None:
    latest: OffsetSpec = OffsetSpec.latest()
    offsets = {TopicPartition(topic.name, n): latest for topic in wanted for n in range(topic.partitions)}

    def visible() -> bool:
        # Metadata names a topic before its partitions can be used: their leaders are asked. By a new client
        # each time, because one that has once heard of a partition without a leader remembers that for long.
        # The name keeps the client until it has answered.
        asking = connect()
        try:
            _results(asking.list_offsets(offsets, isolation_level=IsolationLevel.READ_UNCOMMITTED))
        except KafkaException as error:
            if _code(error) in _TRANSIENT:
                return False
            raise
        return True

    _wait_until(visible, "the topics that were created did not become visible")


def _wait_for_users(admin: AdminClient, logins: Sequence[Login]) -> None:
    names = [login.username for login in logins]

    def visible() -> bool:
        try:
            _results(admin.describe_user_scram_credentials(names))
        except KafkaException as error:
            if _code(error) == KafkaError.RESOURCE_NOT_FOUND:
                return False
            raise
        return True

    _wait_until(visible, "the users that were created did not become visible")


def _credential(login: Login) -> UserScramCredentialUpsertion:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _SCRAM_ITERATIONS)
    return UserScramCredentialUpsertion(login.username, info, login.password.encode())


def _binding(rule: AclRule) -> AclBinding:
    return AclBinding(
        ResourceType[rule.resource],
        rule.name,
        ResourcePatternType[rule.pattern],
        f"User:{rule.username}",
        "*",
        AclOperation[rule.operation],
        AclPermissionType.ALLOW,
    )


def _results(futures: Mapping[Any, Any], accepted: int | None = None) -> None:
    for future in futures.values():
        try:
            future.result(_PATIENCE_SECONDS)
        except KafkaException as error:
            if _code(error) != accepted:
                raise


def _code(error: KafkaException) -> int | None:
    reason = error.args[0]
    return reason.code() if isinstance(reason, KafkaError) else None


def _patiently(step: Callable[[], None]) -> None:
    """Take a step again while brokers are away or one does not know yet what another has accepted."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return step()
        except KafkaException as error:
            if _code(error) not in _TRANSIENT or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _wait_until(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{failure} within {_PATIENCE_SECONDS:.0f} s")
        time.sleep(0.05)
