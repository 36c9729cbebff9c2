"""The same as commands or as data, for a Kafka that somebody else administers. Nothing here is run."""

import json
import shlex
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Literal

from deploy.access.difference import Wanted, admitted, kept_on, together, wanted_of_principals
from deploy.access.model import AclRule

Format = Literal["shell", "json"]
_ADMIN = '--bootstrap-server "$KAFKA" --command-config "$ADMIN"'
_HEAD = r"""#!/bin/sh
# Every command may be run again. KAFKA is host:port, ADMIN a file with the login of one who may administer it,
# and each user's password comes from the variable that its line names.
set -eu
: "${KAFKA:?}" "${ADMIN:?}"

# Who lists the processes of this machine sees no password: it goes through a file of your own, which is gone afterwards.
umask 077
SECRET=$(mktemp)
trap 'rm -f "$SECRET"' EXIT
trap 'exit 1' HUP INT TERM
LC_ALL=C
admit() {
    case $2 in *[!\ -~]*)
        echo "$1: a password must be of printable ASCII characters, because Kafka's tools read others wrongly" >&2
        exit 1 ;;
    esac
    printf '%s\n' "$2" | sed 's/\\/\\\\/g; s/^/SCRAM-SHA-512=iterations=8192,password=/' >"$SECRET"
    kafka-configs.sh --bootstrap-server "$KAFKA" --command-config "$ADMIN" --alter --entity-type users \
        --entity-name "$1" --add-config-file "$SECRET"
}
"""


def everything(prefix: str = "", providers: Collection[str] = (), replicas: int | None = None) -> Wanted:
    """Return what there must be of all principals and of these providers, with topics kept on `replicas` brokers.

    Raises ValueError for what is not an id.
    """
    parts = [wanted_of_principals(prefix), *(admitted(pid, prefix) for pid in providers)]
    return kept_on(replicas, together(parts))


def render(wanted: Wanted, form: Format) -> str:
    """Return what makes a broker so, as a script of Kafka's own commands or as JSON."""
    return "\n".join(_shell(wanted)) + "\n" if form == "shell" else _json(wanted)


def password_variable(user: str) -> str:
    """Return the environment variable from which the script takes a user's password."""
    return "PASSWORD_" + user.upper().replace(".", "_").replace("-", "_")


def _shell(wanted: Wanted) -> Iterator[str]:
    yield _HEAD
    yield "# Rules first: a topic is never there before the rules about it."
    for (user, operation, resource, pattern), alike in groupby(sorted(wanted.rules, key=_kind), key=_kind):
        names = " ".join(f"--{resource.lower()} {shlex.quote(rule.name)}" for rule in alike)
        yield (
            f"kafka-acls.sh {_ADMIN} --add --allow-principal {shlex.quote(f'User:{user}')} "
            f"--operation {operation.capitalize()} --resource-pattern-type {pattern.lower()} {names}"
        )
    for user in sorted(wanted.users):
        yield f'admit {shlex.quote(user)} "${{{password_variable(user)}:?}}"'
    for user, quotas in sorted(wanted.quotas.items()):
        values = ",".join(f"{name}={value:.12g}" for name, value in sorted(quotas.items()))
        yield (
            f"kafka-configs.sh {_ADMIN} --alter --entity-type users --entity-name {shlex.quote(user)} "
            f"--add-config {shlex.quote(values)}"
        )
    for topic in wanted.topics:
        made = " ".join(
            f"--config {shlex.quote(f'{name}={value}')}" for name, value in topic.config().items()
        )
        values = ",".join(f"{name}={value}" for name, value in topic.config().items())
        name = shlex.quote(topic.name)
        copies = f" --replication-factor {topic.replicas}" if topic.replicas else ""
        yield (
            f"kafka-topics.sh {_ADMIN} --create --if-not-exists --topic {name} "
            f"--partitions {topic.partitions}{copies} {made}"
        )
        yield (
            f"kafka-configs.sh {_ADMIN} --alter --entity-type topics --entity-name {name} "
            f"--add-config {shlex.quote(values)}"
        )


def _kind(rule: AclRule) -> tuple[str, str, str, str]:
    """Return what one command says of all its names."""
    return rule.username, rule.operation, rule.resource, rule.pattern


def _json(wanted: Wanted) -> str:
    content = {
        "topics": [
            {
                "name": topic.name,
                "partitions": topic.partitions,
                **({"replicas": topic.replicas} if topic.replicas else {}),
                "config": topic.config(),
            }
            for topic in wanted.topics
        ],
        "users": sorted(wanted.users),
        "acls": [
            {
                "principal": f"User:{rule.username}",
                "operation": rule.operation,
                "resource": rule.resource,
                "pattern": rule.pattern,
                "name": rule.name,
                "host": "*",
                "permission": "ALLOW",
            }
            for rule in sorted(wanted.rules)
        ],
        "quotas": {user: dict(quotas) for user, quotas in sorted(wanted.quotas.items())},
    }
    return json.dumps(content, indent=2) + "\n"
