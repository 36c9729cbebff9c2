"""What is rendered for those without rights at the broker says the same as the rules written by hand."""

import json
import shlex
from itertools import pairwise

import pytest

from deploy.access.render import everything, render
from tests.access_table import EVERYONE, INTERNAL, may_join, may_read, may_see, may_see_group, may_write

PID = "k3v9q2m7x1ab"
WHO = [*EVERYONE, f"providers.{PID}"]
TOPICS = [*INTERNAL, *(f"{kind}.{PID}" for kind in ("invitations", "replies", "notices"))]


def commands(prefix: str = "") -> list[list[str]]:
    lines = render(everything(prefix, [PID]), "shell").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(("kafka-", "admit "))]


def option(command: list[str], name: str) -> str:
    return command[command.index(f"--{name}") + 1]


def options(command: list[str], name: str) -> list[str]:
    return [value for word, value in pairwise(command) if word == f"--{name}"]


def granted(who: str, operation: str, resource: str, name: str) -> bool:
    for command in commands():
        if command[0] != "kafka-acls.sh" or f"--{resource}" not in command:
            continue
        patterns, literal = options(command, resource), option(command, "resource-pattern-type") == "literal"
        fits = name in patterns if literal else name.startswith(tuple(patterns))
        if fits and (option(command, "allow-principal"), option(command, "operation")) == (
            f"User:{who}",
            operation,
        ):
            return True
    return False


@pytest.mark.parametrize("who", sorted(WHO))
def test_the_commands_grant_what_the_table_says_and_nothing_else(who: str) -> None:
    for topic in TOPICS:
        assert granted(who, "Write", "topic", topic) == may_write(who, topic), topic
        assert granted(who, "Read", "topic", topic) == may_read(who, topic), topic
        sees = any(granted(who, operation, "topic", topic) for operation in ("Read", "Write", "Describe"))
        assert sees == may_see(who, topic), topic
    for group in [f"{name}.desk" for name in WHO]:
        assert granted(who, "Read", "group", group) == may_join(who, group), group
        sees = any(granted(who, operation, "group", group) for operation in ("Read", "Describe"))
        assert sees == may_see_group(who, group), group


def test_the_commands_make_every_topic_and_user_once_and_tell_no_password() -> None:
    made = [option(command, "topic") for command in commands() if command[0] == "kafka-topics.sh"]
    assert sorted(made) == sorted(TOPICS)
    users = [command[1:] for command in commands() if command[0] == "admit"]
    assert sorted(user for user, _ in users) == sorted(WHO)
    assert ["lag-exporter", "${PASSWORD_LAG_EXPORTER:?}"] in users


def test_topics_are_kept_on_as_many_brokers_as_are_asked_for() -> None:
    found = json.loads(render(everything("", [PID], 3), "json"))
    assert {topic["replicas"] for topic in found["topics"]} == {3}
    assert {topic["config"]["min.insync.replicas"] for topic in found["topics"]} == {"2"}
    lines = render(everything("", [PID], 3), "shell").splitlines()
    made = [shlex.split(line) for line in lines if line.startswith("kafka-topics.sh")]
    assert {option(command, "replication-factor") for command in made} == {"3"}
    assert all("min.insync.replicas=2" in options(command, "config") for command in made)
    # Not asked for, it is the broker that chooses.
    assert not any("--replication-factor" in command for command in commands())
    assert "min.insync.replicas" not in render(everything("", [PID]), "shell")


def test_a_prefix_stands_before_everything() -> None:
    found = json.loads(render(everything("north.", [PID]), "json"))
    names = [topic["name"] for topic in found["topics"]] + found["users"] + list(found["quotas"])
    names += [rule["name"] for rule in found["acls"]]
    assert all(name.startswith("north.") for name in names)
    assert found["quotas"][f"north.providers.{PID}"]["producer_byte_rate"] > 0
