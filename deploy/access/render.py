"""The same as commands or as data, for a Kafka that somebody else administers. Nothing here is run."""

import json
import shlex
from collections.abc import Collection, Iterator
from typing import Literal

from deploy.access.difference import Wanted, admitted, together, wanted_of_principals

Format = Literal["shell", "json"]
_ADMIN = '--bootstrap-server "$KAFKA" --command-config "$ADMIN"'
_HEAD = """\
#!/bin/sh
# Every command may be run again. KAFKA is host:port, ADMIN a file with the login of one who may administer it,
# and each user's password comes from the variable that its line names.
set -eu
: "${KAFKA:?}" "${ADMIN:?}"
"""


def everything(prefix: str = "", providers: Collection[str] = ()) -> Wanted:
    """Return what there must be of all principals and of these providers. Raises ValueError for what is not an id."""
    return together([wanted_of_principals(prefix), *(admitted(pid, prefix) for pid in providers)])


def render(wanted: Wanted, form: Format) -> str:
    """Return what makes a broker so, as a script of Kafka's own commands or as JSON."""
    return "\n".join(_shell(wanted)) + "\n" if form == "shell" else _json(wanted)


def password_variable(user: str) -> str:
    """Return the environment variable from which the script takes a user's password."""
    return "PASSWORD_" + user.upper().replace(".", "_").replace("-", "_")


def _shell(wanted: Wanted) -> Iterator[str]:
    yield _HEAD
    yield "# Rules first: a topic is never there before the rules about it."
    for rule in sorted(wanted.rules):
        yield (
            f"kafka-acls.sh {_ADMIN} --add --allow-principal {shlex.quote(f'User:{rule.username}')} "
            f"--operation {rule.operation.capitalize()} --{rule.resource.lower()} {shlex.quote(rule.name)} "
            f"--resource-pattern-type {rule.pattern.lower()}"
        )
    for user in sorted(wanted.users):
        yield (
            f"kafka-configs.sh {_ADMIN} --alter --entity-type users --entity-name {shlex.quote(user)} "
            f'--add-config "SCRAM-SHA-512=[iterations=8192,password=${{{password_variable(user)}:?}}]"'
        )
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
        yield f"kafka-topics.sh {_ADMIN} --create --if-not-exists --topic {name} --partitions {topic.partitions} {made}"
        yield (
            f"kafka-configs.sh {_ADMIN} --alter --entity-type topics --entity-name {name} "
            f"--add-config {shlex.quote(values)}"
        )


def _json(wanted: Wanted) -> str:
    content = {
        "topics": [
            {"name": topic.name, "partitions": topic.partitions, "config": topic.config()}
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
