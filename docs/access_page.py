"""Writes docs/access.md: for operators, who may do what at the broker."""

from collections.abc import Iterable

from deploy.access import model

_PID = "aaaaaaaaaaaa"
_DAY_MS = 86_400_000
_OPERATIONS = """\
Reading a topic is reading its records; whoever reads or writes a topic also sees its settings of partitions and its offsets.
Nobody creates or deletes topics, records or groups, changes or reads settings, or asks for anything about the cluster,
its users, rules and quotas: those are for the Kafka's own administrator alone. Idempotent producers work with the right to
write; transactions do not. `opener` has no user at Kafka. Names that only begin alike are other names: every prefix ends
in its dot.
"""


def access_page() -> str:
    """Return docs/access.md."""
    everyone = [*model.kafka_users(), model.provider(_PID)]
    lines = [
        "# Who may do what at the broker",
        "",
        "Written by `make generate` from `deploy/access/`, which is also what is applied. Everything else is denied.",
        "`tests/integration/test_access_matrix.py` tries every cell on a real broker, and what is not in these tables.",
        "",
        "## Topics",
        "",
        "| topic | written by | read by | offsets seen by | partitions | kept |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_topic(topic, everyone) for topic in (*model.topics(), *model.provider_topics(_PID))),
        "",
        _OPERATIONS,
        "## Consumer groups",
        "",
        "| user | uses groups that begin with | sees groups that begin with |",
        "| --- | --- | --- |",
        *(_groups(one) for one in everyone),
        "",
        "## What a provider may take of one broker",
        "",
        "| quota | a provider |",
        "| --- | --- |",
        *(f"| `{name}` | {value:g} |" for name, value in model.provider_quotas().items()),
        "",
        "Bytes a second, percent of one thread, changes of topics a second.",
        "",
    ]
    return "\n".join(lines)


def _topic(topic: model.Topic, everyone: Iterable[model.Principal]) -> str:
    kept = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // _DAY_MS} days"
    kept = "the newest of each key" if topic.cleanup_policy == "compact" else kept
    cells = []
    for use in ("write", "read", "describe"):
        names = [_shown(one.name) for one in everyone if _covers(getattr(one, use), topic.name)]
        cells.append(", ".join(names))
    return f"| `{_hole(topic.name)}` | {' | '.join(cells)} | {topic.partitions} | {kept} |"


def _groups(principal: model.Principal) -> str:
    own = f"`{_hole(principal.group_prefix)}`" if principal.group_prefix else ""
    seen = ", ".join(f"`{one}`" for one in principal.describe_groups)
    return f"| {_shown(principal.name)} | {own} | {seen} |"


def _covers(patterns: tuple[str, ...], topic: str) -> bool:
    return any(topic == one or (one.endswith("*") and topic.startswith(one[:-1])) for one in patterns)


def _shown(name: str) -> str:
    return "that provider" if _PID in name else name


def _hole(name: str) -> str:
    return name.replace(_PID, "<provider id>")
