"""A stand-in for Strimzi's User Operator and Topic Operator: what they do at a Kafka, without a Kubernetes around it.

It follows their documentation and sources, and shares nothing with deploy/access but the requests about
quotas: whether both come to the same is what it is for. A whole reconciliation, which the operators do at each change of a
resource and every two minutes:

- They see the resources of their namespace that have the label of their cluster. A user is called like its KafkaUser.
- A password is the one that the resource's Secret holds, or a new one, which is written into a Secret of the user's name.
  SCRAM-SHA-512 with 4,096 iterations, set again each time.
- A rule for each resource and operation; `host` is `*`, `patternType` `literal` and `type` `allow` unless it is said.
  Whatever else the user has is deleted; without `authorization` it has no rule.
- Quotas that are not in the resource are taken away.
- A user that no resource names loses rules, quotas and its password, unless STRIMZI_IGNORED_USERS_PATTERN fits its name.
- A topic is made, and given more partitions and its settings; a setting that is not in the resource is taken back. The
  number of its replicas is not changed, and a topic without a resource is left alone.
"""

import re
import secrets as random
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from deploy.access.broker import Broker, patiently, results
from deploy.access.quotas import change_user_quotas, user_quotas

Object = dict[str, Any]
Secrets = MutableMapping[tuple[str, str], str]
"""What Secrets hold, by the Secret's name and the key."""
SECONDS = 30.0
ITERATIONS = 4096
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
_PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
_PERMISSIONS = {"allow": AclPermissionType.ALLOW, "deny": AclPermissionType.DENY}
_QUOTAS = {
    "producerByteRate": "producer_byte_rate",
    "consumerByteRate": "consumer_byte_rate",
    "requestPercentage": "request_percentage",
    "controllerMutationRate": "controller_mutation_rate",
}


@dataclass(frozen=True)
class Strimzi:
    """The operators of one Kafka; `broker` is where it is and how they log in."""

    broker: Broker
    cluster: str
    namespace: str
    secrets: Secrets = field(repr=False)
    ignored_users: str = r"(?!)"
    """STRIMZI_IGNORED_USERS_PATTERN: fits the whole name of a user that is not theirs."""

    def reconcile(self, objects: Iterable[Object]) -> None:
        """Bring the Kafka to what the KafkaUsers and KafkaTopics among these objects say."""
        seen = [one for one in objects if self._is_seen(one)]
        admin = self.broker.client()
        self._topics(admin, [one for one in seen if one["kind"] == "KafkaTopic"])
        self._users(admin, {one["metadata"]["name"]: one for one in seen if one["kind"] == "KafkaUser"})

    def _is_seen(self, one: Object) -> bool:
        metadata = one["metadata"]
        label = metadata.get("labels", {}).get("strimzi.io/cluster")
        return (metadata.get("namespace"), label) == (self.namespace, self.cluster)

    def _users(self, admin: AdminClient, users: dict[str, Object]) -> None:
        held = set(patiently(lambda: admin.describe_acls(_any_rule()).result(SECONDS)))
        everyone: Any = admin.describe_user_scram_credentials
        with_password = set(patiently(lambda: everyone().result(SECONDS)))
        quotas = user_quotas(self.broker)
        names = {*with_password, *quotas, *(one.principal.removeprefix("User:") for one in held), *users}
        theirs = {name for name in names if not re.fullmatch(self.ignored_users, name)}
        wanted = {rule for name in theirs & users.keys() for rule in _rules(users[name])}
        has = {rule for rule in held if rule.principal.removeprefix("User:") in theirs}
        if surplus := [_exactly(rule) for rule in has - wanted]:
            patiently(lambda: results(admin.delete_acls(surplus)))
        if missing := list(wanted - has):
            patiently(lambda: results(admin.create_acls(missing)))
        change_user_quotas(
            self.broker,
            {
                name: {kafkas: of_user.get(strimzis) for strimzis, kafkas in _QUOTAS.items()}
                for name in theirs
                if (of_user := _quotas(users.get(name))) or name in quotas
            },
        )
        passwords = [
            UserScramCredentialUpsertion(
                name,
                ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS),
                self._password(users[name]).encode(),
            )
            for name in sorted(theirs & users.keys())
            if users[name]["spec"].get("authentication", {}).get("type") == "scram-sha-512"
        ]
        gone = [
            UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512)
            for name in sorted(theirs & with_password - users.keys())
        ]
        if passwords or gone:
            patiently(lambda: results(admin.alter_user_scram_credentials([*passwords, *gone])))

    def _password(self, user: Object) -> str:
        given = user["spec"]["authentication"].get("password")
        if given:
            reference = given["valueFrom"]["secretKeyRef"]
            return self.secrets[reference["name"], reference["key"]]
        return self.secrets.setdefault((user["metadata"]["name"], "password"), random.token_hex(16))

    def _topics(self, admin: AdminClient, topics: list[Object]) -> None:
        wanted = {one["spec"].get("topicName", one["metadata"]["name"]): one["spec"] for one in topics}
        here = patiently(lambda: admin.list_topics(timeout=SECONDS)).topics
        new = [
            NewTopic(name, spec["partitions"], spec["replicas"], config=_config(spec))
            for name, spec in wanted.items()
            if name not in here
        ]
        if new:
            patiently(lambda: results(admin.create_topics(new), KafkaError.TOPIC_ALREADY_EXISTS))
        there = {name: spec for name, spec in wanted.items() if name in here}
        more = [
            NewPartitions(name, spec["partitions"])
            for name, spec in there.items()
            if spec["partitions"] > len(here[name].partitions)
        ]
        if more:
            patiently(lambda: results(admin.create_partitions(more)))
        if there:
            self._settings(admin, there)

    def _settings(self, admin: AdminClient, topics: dict[str, Object]) -> None:
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics]
        found = patiently(lambda: results(admin.describe_configs(asked)))
        made = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        changed = []
        for (name, spec), answer in zip(topics.items(), found, strict=True):
            has = {entry.name: entry.value for entry in answer.values() if entry.source == made}
            should = _config(spec)
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in should.items()
                if has.get(key) != value
            ]
            entries += [
                ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
                for key in has.keys() - should.keys()
            ]
            if entries:
                changed.append(ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries))
        if changed:
            patiently(lambda: results(admin.incremental_alter_configs(changed)))


def _rules(user: Object) -> Iterator[AclBinding]:
    authorization = user["spec"].get("authorization")
    if authorization is None:
        return
    assert authorization["type"] == "simple"
    for acl in authorization["acls"]:
        resource = acl["resource"]
        for operation in acl["operations"]:
            yield AclBinding(
                _RESOURCES[resource["type"]],
                resource.get("name", "kafka-cluster"),
                _PATTERNS[resource.get("patternType", "literal")],
                f"User:{user['metadata']['name']}",
                acl.get("host", "*"),
                AclOperation[re.sub(r"(?<!^)([A-Z])", r"_\1", operation).upper()],
                _PERMISSIONS[acl.get("type", "allow")],
            )


def _quotas(user: Object | None) -> dict[str, float]:
    return (user or {"spec": {}})["spec"].get("quotas", {})


def _config(spec: Object) -> dict[str, str]:
    return {name: str(value) for name, value in spec.get("config", {}).items()}


def _exactly(rule: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        rule.restype,
        rule.name,
        rule.resource_pattern_type,
        rule.principal,
        rule.host,
        rule.operation,
        rule.permission_type,
    )


def _any_rule() -> AclBindingFilter:
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
