"""What the chart reads beside its values: access rules and subscriptions as JSON, and copies of rules and dashboard."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from deploy.access.difference import CUT_OFF_QUOTAS
from deploy.access.model import (
    Principal,
    Topic,
    acls_of,
    kafka_users,
    provider,
    provider_quotas,
    provider_topics,
    roles,
    topics,
)
from deploy.local.services import module_of
from shared.streams import Streams

FILES = Path("deploy/chart/files")
_COPIED = ("rules.yaml", "dashboard.json")
_SOMEBODY = "0" * 12
"""Stands for any provider's id, and becomes `{pid}` in what is written."""


def chart_files(
    root: Path, streams_of: Callable[[str], Streams], generated: Mapping[Path, str]
) -> dict[Path, str]:
    """Return the files of the chart that are derived from elsewhere, each with its text; `generated` is newer than the disk."""
    written = {root / FILES / "access.json": json.dumps(access(streams_of), indent=1) + "\n"}
    for name in _COPIED:
        source = root / "deploy" / "observability" / name
        if source in generated or source.is_file():
            written[root / FILES / name] = generated.get(source) or source.read_text("utf-8")
    return written


def access(streams_of: Callable[[str], Streams]) -> dict[str, Any]:
    """Return what there must be at Kafka and Postgres; all names without a prefix, a provider's id as `{pid}`."""
    somebody = provider(_SOMEBODY)
    content = {
        "processes": [_process(one, streams_of) for one in roles()],
        "topics": _topics(topics()),
        "providerTopics": _topics(provider_topics(_SOMEBODY)),
        "users": [_user(one) for one in kafka_users()],
        "provider": _user(somebody) | {"quotas": _quotas(provider_quotas())},
        "providerCutOff": {"name": somebody.name, "acls": [], "quotas": _quotas(CUT_OFF_QUOTAS)},
        "database": list(_statements()),
    }
    filled: dict[str, Any] = json.loads(json.dumps(content).replace(_SOMEBODY, "{pid}"))
    return filled


def _process(one: Principal, streams_of: Callable[[str], Streams]) -> dict[str, Any]:
    return {
        "name": one.name,
        "module": module_of(one.name),
        "role": one.role,
        "kafka": one.has_kafka_user,
        # How far a reader of providers' topics is behind would say how many replies there are.
        "topics": [
            subscription.topic
            for subscription in (streams_of(one.name).subscriptions if one.has_kafka_user else ())
            if subscription.kind != "batches"
        ],
    }


def _topics(found: Iterable[Topic]) -> list[dict[str, Any]]:
    return [{"name": one.name, "partitions": one.partitions, "config": one.config()} for one in found]


def _user(one: Principal) -> dict[str, Any]:
    return {
        "name": one.name,
        "acls": [
            {
                "type": rule.resource.lower(),
                "patternType": "prefix" if rule.pattern == "PREFIXED" else "literal",
                "name": rule.name,
                "operation": rule.operation.capitalize(),
            }
            for rule in acls_of(one)
        ],
    }


def _quotas(found: Mapping[str, float]) -> dict[str, float]:
    """Return quotas as a KafkaUser names them; all but the rate of changes are whole numbers there."""
    whole = {
        "producerByteRate": "producer_byte_rate",
        "consumerByteRate": "consumer_byte_rate",
        "requestPercentage": "request_percentage",
    }
    named: dict[str, float] = {theirs: int(found[ours]) for theirs, ours in whole.items() if ours in found}
    if "controller_mutation_rate" in found:
        named["controllerMutationRate"] = found["controller_mutation_rate"]
    return named


def _statements() -> Iterable[str]:
    """Give what deploy/access/postgres.py does, as statements for an empty database that is called linepool."""
    yield "REVOKE ALL ON DATABASE linepool FROM PUBLIC"
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    yield "ALTER DATABASE linepool SET log_error_verbosity = 'terse'"
    yield "ALTER DATABASE linepool SET log_min_error_statement = 'panic'"
    for one in roles():
        yield f'CREATE ROLE "{one.role}" LOGIN'
        yield f'GRANT CONNECT ON DATABASE linepool TO "{one.role}"'
        yield f'CREATE SCHEMA "{one.schema}" AUTHORIZATION "{one.role}"'
        yield f'ALTER ROLE "{one.role}" IN DATABASE linepool SET search_path = "{one.schema}"'
