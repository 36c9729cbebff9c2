"""The access rules as typed values, read from topics.yaml and principals.yaml.

Every name a caller gets carries the prefix it asked for: topics, consumer groups and Kafka users alike, so
that two installations can share one Kafka.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

Operation = Literal["READ", "WRITE", "DESCRIBE"]
Resource = Literal["TOPIC", "GROUP"]
Pattern = Literal["LITERAL", "PREFIXED"]
Kind = Literal["service", "person", "monitor", "process", "provider"]
"""A `monitor` describes and reads nothing; a `process` has a role at Postgres and no user at Kafka."""

MIN_INSYNC = "min.insync.replicas"
_PROVIDER_ID = re.compile(r"[a-z0-9]{12}")
_PREFIX = re.compile(r"([a-z0-9-]+\.)?")


@dataclass(frozen=True)
class Topic:
    """One topic. Times in milliseconds (-1: for ever), size in bytes per batch of records.

    `replicas` is on how many brokers it is kept; None: on as many as its Kafka chooses.
    """

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int
    cleanup_policy: Literal["delete", "compact"]
    timestamp_type: Literal["LogAppendTime"]
    segment_ms: int | None = None
    max_compaction_lag_ms: int | None = None
    delete_retention_ms: int | None = None
    replicas: int | None = None

    def config(self) -> dict[str, str]:
        """Return the topic's settings under Kafka's names."""
        values = {
            "retention.ms": self.retention_ms,
            "max.message.bytes": self.max_message_bytes,
            "cleanup.policy": self.cleanup_policy,
            "message.timestamp.type": self.timestamp_type,
            "segment.ms": self.segment_ms,
            "max.compaction.lag.ms": self.max_compaction_lag_ms,
            "delete.retention.ms": self.delete_retention_ms,
            # One broker may be away, and whatever was acknowledged is on two even then.
            MIN_INSYNC: self.replicas and max(1, self.replicas - 1),
        }
        return {name: str(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Principal:
    """One Kafka user, the topics it may use (`x.*` for a prefix), and its role and schema at Postgres.

    `group_prefix` is what its own consumer groups begin with; None: it has none. `describe_groups` are prefixes too.
    """

    name: str
    kind: Kind
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    describe: tuple[str, ...] = ()
    group_prefix: str | None = None
    describe_groups: tuple[str, ...] = ()
    role: str | None = None
    schema: str | None = None

    @property
    def has_kafka_user(self) -> bool:
        """Tell whether it logs in at Kafka."""
        return self.kind != "process"


@dataclass(frozen=True, order=True)
class AclRule:
    """One thing that one user may do; everything else is denied."""

    username: str
    resource: Resource
    pattern: Pattern
    name: str
    operation: Operation


def topics(prefix: str = "") -> tuple[Topic, ...]:
    """Return every topic that exists once."""
    return _topics("topics", check_prefix(prefix), {})


def provider_topics(pid: str, prefix: str = "") -> tuple[Topic, ...]:
    """Return the three topics of one provider. Raises ValueError for an id that is not allowed."""
    return _topics("provider_topics", check_prefix(prefix), {"<pid>": check_provider_id(pid)})


def principals() -> tuple[Principal, ...]:
    """Return everyone but the providers; names without a prefix."""
    return tuple(
        _principal(name, entry["kind"], entry) for name, entry in _read("principals")["principals"].items()
    )


def kafka_users() -> tuple[Principal, ...]:
    """Return those of the principals that log in at Kafka."""
    return tuple(principal for principal in principals() if principal.has_kafka_user)


def services() -> tuple[Principal, ...]:
    """Return the services, each with a user at Kafka and a role and a schema at Postgres."""
    return tuple(principal for principal in principals() if principal.kind == "service")


def roles() -> tuple[Principal, ...]:
    """Return those of the principals that have a role and a schema at Postgres."""
    return tuple(principal for principal in principals() if principal.role)


def provider_quotas() -> dict[str, float]:
    """Return how much of one broker a provider may take, under Kafka's names.

    Bytes a second, percent of one thread, and changes of topics a second (KIP-13, KIP-124, KIP-599).
    """
    return {name: float(value) for name, value in _read("principals")["provider"]["quotas"].items()}


def provider(pid: str) -> Principal:
    """Return the principal of one provider. Raises ValueError for an id that is not allowed."""
    check_provider_id(pid)
    entry = _filled(_read("principals")["provider"], pid)
    return _principal(entry["name"], "provider", entry)


def acls_of(principal: Principal, prefix: str = "") -> tuple[AclRule, ...]:
    """Return the principal's rules, its consumer groups included."""
    check_prefix(prefix)
    username = prefix + principal.name
    uses: tuple[tuple[Operation, tuple[str, ...]], ...] = (
        ("READ", principal.read),
        ("WRITE", principal.write),
        ("DESCRIBE", principal.describe),
    )
    rules = [
        AclRule(username, "TOPIC", *_pattern(prefix + name), operation)
        for operation, names in uses
        for name in names
    ]
    if principal.group_prefix is not None:
        rules.append(AclRule(username, "GROUP", "PREFIXED", prefix + principal.group_prefix, "READ"))
    rules += [
        AclRule(username, "GROUP", "PREFIXED", prefix + groups, "DESCRIBE")
        for groups in principal.describe_groups
    ]
    return tuple(rules)


def provider_acls(pid: str, prefix: str = "") -> tuple[AclRule, ...]:
    """Return one provider's rules: three literal topics and its group prefix."""
    return acls_of(provider(pid), prefix)


def check_provider_id(pid: str) -> str:
    """Return the id if it is one; raise ValueError otherwise.

    Ids are opaque and of one length, so that none is the beginning of another, and none tells who it is.
    """
    if not _PROVIDER_ID.fullmatch(pid):
        raise ValueError(f"a provider's id is twelve lower-case letters or digits, unlike {pid!r}")
    return pid


def check_prefix(prefix: str) -> str:
    """Return the prefix if it is empty or ends in its only dot; raise ValueError otherwise."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"a prefix is lower-case letters, digits and hyphens with one dot at its end, unlike {prefix!r}"
        )
    return prefix


def _pattern(name: str) -> tuple[Pattern, str]:
    return ("PREFIXED", name.removesuffix("*")) if name.endswith(".*") else ("LITERAL", name)


def _principal(name: str, kind: Kind, entry: Mapping[str, Any]) -> Principal:
    groups, described = entry.get("groups"), tuple(entry.get("describe_groups", ()))
    if not all(one.endswith(".") for one in (*described, groups) if one is not None):
        raise ValueError(f"the group prefixes of {name} must end in a dot")
    return Principal(
        name=name,
        kind=kind,
        write=tuple(entry.get("write", ())),
        read=tuple(entry.get("read", ())),
        describe=tuple(entry.get("describe", ())),
        group_prefix=groups,
        describe_groups=described,
        role=entry.get("role"),
        schema=entry.get("schema"),
    )


def _topics(section: str, prefix: str, holes: Mapping[str, str]) -> tuple[Topic, ...]:
    source = _read("topics")
    found = []
    for template, entry in source[section].items():
        name = template
        for hole, value in holes.items():
            name = name.replace(hole, value)
        found.append(Topic(name=prefix + name, **{**source["defaults"], **entry}))
    return tuple(found)


def _filled(entry: Mapping[str, Any], pid: str) -> dict[str, Any]:
    return {
        key: [name.replace("<pid>", pid) for name in value]
        if isinstance(value, list)
        else value.replace("<pid>", pid)
        for key, value in entry.items()
        if key != "quotas"
    }


@cache
def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text("utf-8"))
    return content
