"""Brings a Kafka to what topics.yaml and principals.yaml say. Running it again changes nothing."""

import secrets
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
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
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from deploy.access.broker import TRANSIENT, AccessError, Broker, code, patiently, results, wait_until
from deploy.access.difference import (
    CUT_OFF_QUOTAS,
    Difference,
    admitted,
    compare,
    cut_off,
    kept_on,
    together,
    wanted_of_everyone,
)
from deploy.access.found import LOCKED_ITERATIONS, HeldRule, held, look
from deploy.access.login import Login
from deploy.access.model import Topic, kafka_users, provider, provider_topics
from deploy.access.quotas import change_user_quotas

_SCRAM_ITERATIONS = 8192


def apply_access(broker: Broker, passwords: Mapping[str, str]) -> Difference:
    """Create or correct everything that is ours at a broker; wait until topics and users are visible.

    `passwords` goes by principal of principals.yaml (without the prefix), and is set for each; KeyError names a user that
    is not there and has none. Providers keep theirs. Returns what was different.
    Raises KafkaException when Kafka refuses, AccessError when what was made does not become visible.
    """
    difference = difference_of(broker)
    names = {broker.prefix + user.name: user.name for user in kafka_users()}
    given = {user: passwords[name] for user, name in names.items() if name in passwords}
    settle(broker, difference, given)
    return difference


def difference_of(broker: Broker, trusted: Collection[str] = ()) -> Difference:
    """Return what differs between the broker and deploy/access/; see `compare`."""
    found = look(broker)
    return compare(found, kept_on(broker.replicas, wanted_of_everyone(found)), trusted)


def add_provider(broker: Broker, pid: str, password: str) -> Login:
    """Create or correct one provider's three topics, user, rules and quotas; return its login.

    Raises ValueError for an id that is not allowed, and what `apply_access` raises.
    """
    return add_providers(broker, {pid: password})[0]


def add_providers(broker: Broker, passwords: Mapping[str, str], *, quotas: bool = True) -> tuple[Login, ...]:
    """Do what `add_provider` does for many at once (`passwords` by id); the logins come in the same order."""
    everyone = together(admitted(pid, broker.prefix, quotas=quotas) for pid in passwords)
    wanted = kept_on(broker.replicas, everyone)
    logins = tuple(Login(broker.prefix + provider(pid).name, password) for pid, password in passwords.items())
    settle(broker, compare(look(broker), wanted), {login.username: login.password for login in logins})
    return logins


def admit_provider(
    broker: Broker, pid: str, password: str | None, *, certificate: bool = False
) -> Difference:
    """Create or correct what is of one provider, with a new password if one is given; return what was different.

    With `certificate` it has no user with a password. Raises AccessError if it needs a password and none is given.
    """
    wanted = kept_on(broker.replicas, admitted(pid, broker.prefix, password=not certificate))
    difference = compare(look(broker), wanted)
    if difference.users_missing and password is None:
        raise AccessError(
            f"provider {pid} has no user at the broker, and no password was given for a new one"
        )
    settle(broker, difference, {} if password is None else dict.fromkeys(wanted.users, password))
    return difference


def cut_provider_off(broker: Broker, pid: str, *, delete_topics: bool = False) -> Difference:
    """Take a provider's rights and its password, and if asked for its topics, with all that they hold.

    When this returns, none of its requests is obeyed any more, on connections that are open neither; and a fetch that has
    been waiting since before brings nothing.
    """
    found = look(broker)
    kept = tuple(topic for topic in provider_topics(pid, broker.prefix) if topic.name in found.topics)
    difference = compare(found, kept_on(broker.replicas, cut_off(pid, broker.prefix, kept)))
    settle(broker, difference, {})
    if delete_topics:
        admin = broker.client()
        names = [topic.name for topic in kept]
        if names:
            patiently(lambda: results(admin.delete_topics(names), KafkaError.UNKNOWN_TOPIC_OR_PART))
            wait_until(
                lambda: not {*names} & {*broker.client().list_topics(timeout=10).topics},
                f"the topics of provider {pid} did not go away",
            )
        user = broker.prefix + provider(pid).name
        change_user_quotas(broker, {user: dict.fromkeys(CUT_OFF_QUOTAS)})
    return difference


def settle(broker: Broker, difference: Difference, passwords: Mapping[str, str]) -> None:
    """Put right what can be put right, set these passwords (by user), and wait until it is visible.

    Raises KeyError for a user that is missing and has no password here.
    """
    admin = broker.client()
    logins = [Login(user, password) for user, password in passwords.items()]
    for user in difference.users_missing:
        if user not in passwords:
            raise KeyError(user)
    # What takes rights away comes before what gives some; and a topic is never there before the rules about it.
    change_user_quotas(broker, {user: dict(values) for user, values in difference.quotas})
    _delete_rules(admin, difference.rules_surplus)
    if difference.rules_missing:
        missing = [AclBinding(*_spelled(held(rule))) for rule in difference.rules_missing]
        patiently(lambda: results(admin.create_acls(missing)))
    _change_users(admin, logins, difference.users_surplus)
    _create_topics(admin, difference.topics_missing)
    _correct_topics(admin, difference)
    _wait_for_topics(broker, difference.topics_missing)
    _wait_for_users(admin, logins)
    _wait_for_rules(broker, difference)


def _delete_rules(admin: AdminClient, surplus: Sequence[HeldRule]) -> None:
    if not surplus:
        return
    exactly = [AclBindingFilter(*_spelled(rule)) for rule in surplus]
    patiently(lambda: results(admin.delete_acls(exactly)))


def _change_users(admin: AdminClient, logins: Sequence[Login], surplus: Sequence[str]) -> None:
    changes: list[UserScramCredentialAlteration] = [
        *(_credential(login, _SCRAM_ITERATIONS) for login in logins),
        *(_credential(Login(user, secrets.token_hex(32)), LOCKED_ITERATIONS) for user in surplus),
    ]
    if changes:
        patiently(lambda: results(admin.alter_user_scram_credentials(changes)))


def _create_topics(admin: AdminClient, missing: Sequence[Topic]) -> None:
    if missing:
        # -1 stands for the broker's own replication factor.
        made = [
            NewTopic(
                topic.name,
                topic.partitions,
                replication_factor=topic.replicas or -1,
                config=topic.config(),
            )
            for topic in missing
        ]
        patiently(lambda: results(admin.create_topics(made), KafkaError.TOPIC_ALREADY_EXISTS))


def _correct_topics(admin: AdminClient, difference: Difference) -> None:
    corrected = [
        ConfigResource(
            ConfigResource.Type.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(
                    key,
                    value,
                    incremental_operation=AlterConfigOpType.DELETE
                    if value is None
                    else AlterConfigOpType.SET,
                )
                for key, value in settings
            ],
        )
        for name, settings in difference.settings
    ]
    if corrected:
        patiently(lambda: results(admin.incremental_alter_configs(corrected)))


def _wait_for_topics(broker: Broker, wanted: Sequence[Topic]) -> None:
    latest: OffsetSpec = OffsetSpec.latest()
    offsets = {TopicPartition(topic.name, n): latest for topic in wanted for n in range(topic.partitions)}

    def visible() -> bool:
        # Metadata names a topic before its partitions can be used: their leaders are asked. By a new client
        # each time, because one that has once heard of a partition without a leader remembers that for long.
        # The name keeps the client until it has answered.
        asking = broker.client()
        try:
            results(asking.list_offsets(offsets, isolation_level=IsolationLevel.READ_UNCOMMITTED))
        except KafkaException as error:
            if code(error) in TRANSIENT:
                return False
            raise
        return True

    if offsets:
        wait_until(visible, "the topics that were created did not become visible")


def _wait_for_users(admin: AdminClient, logins: Sequence[Login]) -> None:
    names = [login.username for login in logins]

    def visible() -> bool:
        try:
            results(admin.describe_user_scram_credentials(names))
        except KafkaException as error:
            if code(error) == KafkaError.RESOURCE_NOT_FOUND:
                return False
            raise
        return True

    if names:
        wait_until(visible, "the users that were created did not become visible")


def _wait_for_rules(broker: Broker, difference: Difference) -> None:
    """A broker decides by the rules that it shows: once the changes show, they hold."""
    come, gone = {held(rule) for rule in difference.rules_missing}, set(difference.rules_surplus)
    users_gone = set(difference.users_surplus)

    def visible() -> bool:
        found = look(broker)
        return come <= found.rules and not gone & found.rules and not users_gone & found.users

    if come or gone or users_gone:
        wait_until(visible, "the rules that were changed did not become visible")


def _credential(login: Login, iterations: int) -> UserScramCredentialUpsertion:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, iterations)
    return UserScramCredentialUpsertion(login.username, info, login.password.encode())


def _spelled(
    rule: HeldRule,
) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation, AclPermissionType]:
    """Return what a rule is at confluent-kafka, whether it is made or looked for."""
    return (
        ResourceType[rule.resource],
        rule.name,
        ResourcePatternType[rule.pattern],
        rule.principal,
        rule.host,
        AclOperation[rule.operation],
        AclPermissionType[rule.permission],
    )
