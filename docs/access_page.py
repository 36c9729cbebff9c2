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
_MONITORS = """\
`lag-exporter` and `keda` see no topic of a provider. The end of `replies.<provider id>` and the times of its records would
tell, while a purchase runs, who replied and when; how far the group `bidding.replies` has come would tell the same, and a
group's offsets are shown only for topics that may be seen. Bidding itself tells how much it has yet to read, as one sum over
all providers in whole thousands: `sum(linepool_lag_messages{consumer="bidding.replies"})`. An autoscaler of bidding goes by that.
"""
_TOLD = """\
## What the broker itself tells a provider

`tests/integration/test_what_the_broker_tells.py` has a provider ask all that it may while others come, go, write and read: the
answers do not change. Kafka tells three things to more people than it should, and has no rule or setting against it:

- **A counter of producers.** `InitProducerId` numbers the idempotent producers of one broker, whoever they are: between two own
  numbers, so many began. The kit, the bundle's settings and the example write without idempotence, so whoever follows them is
  not counted. A provider that turns it on lets others see that somebody began to write, not who and not what. Bidding and the
  other services begin one each at their start, and after errors.
- **A counter of changes.** `ApiVersions` tells, to anybody who reaches the port, how far the cluster's own log has come. Messages
  do not move it. Topics, users and rules do, by some thirty for a provider that is added, on top of two a second of idle time.
  Nothing of ours is made for a purchase, so it says nothing about one; but that somebody was added or cut off can be seen by who
  looks all the time. Add and cut off several at once, or well before a purchase, and open the port only to providers' networks.
- **Time.** A busy broker answers later. Quotas bound what one provider takes, and no answer names another's throttling.
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
        _MONITORS,
        "## What a provider may take of one broker",
        "",
        "| quota | a provider |",
        "| --- | --- |",
        *(f"| `{name}` | {value:g} |" for name, value in model.provider_quotas().items()),
        "",
        "Bytes a second, percent of one thread, changes of topics a second.",
        "",
        *_TOLD.splitlines(),
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
