"""What must change at a broker so that it is what deploy/access/ says. It decides and asks nobody."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from deploy.access.found import Found, HeldRule, held
from deploy.access.model import (
    MIN_INSYNC,
    AclRule,
    Topic,
    acls_of,
    kafka_users,
    provider,
    provider_acls,
    provider_quotas,
    provider_topics,
    topics,
)
from deploy.access.quotas import same

# One who is cut off has no rights, but a fetch that was waiting when it lost them is answered once there is something
# to read. A broker answers nothing to whoever is over its quota. So few bytes a second let a refusal through, and no
# message: the headers alone are longer.
CUT_OFF_QUOTAS = {"consumer_byte_rate": 20.0}


@dataclass(frozen=True)
class Wanted:
    """What there must be of some users and topics. Whatever else the broker has of these users is too much."""

    topics: tuple[Topic, ...]
    users: frozenset[str]
    """Those with a password."""
    rules: frozenset[AclRule]
    quotas: Mapping[str, Mapping[str, float]]
    about: frozenset[str]
    """All users that this is about, those that must not exist included."""


@dataclass(frozen=True)
class Difference:
    """What a broker lacks and has too much, in the order in which it is put right."""

    rules_missing: tuple[AclRule, ...] = ()
    rules_surplus: tuple[HeldRule, ...] = ()
    users_missing: tuple[str, ...] = ()
    users_surplus: tuple[str, ...] = ()
    quotas: tuple[tuple[str, tuple[tuple[str, float | None], ...]], ...] = ()
    topics_missing: tuple[Topic, ...] = ()
    settings: tuple[tuple[str, tuple[tuple[str, str | None], ...]], ...] = ()
    """By topic: what each setting must become; None: what the broker has by itself."""
    partitions: tuple[tuple[str, int, int], ...] = ()
    """Topic, how many there are, how many there should be. Not put right: keys would change their partition."""
    replicas: tuple[tuple[str, int, int], ...] = ()
    """Topic, on how many brokers it is, on how many it should be. Not put right: it moves all that the topic holds."""
    foreign_rules: tuple[HeldRule, ...] = ()
    """What others may do to ours. Not put right: they are not our rules."""

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return any(True for _ in self.sentences())

    def repairs(self) -> list[str]:
        """Return what applying changes, a sentence each."""
        found = [f"rule missing: {held(rule)}" for rule in self.rules_missing]
        found += [f"rule too many: {rule}" for rule in self.rules_surplus]
        found += [f"user missing, or without a password: {user}" for user in self.users_missing]
        found += [f"user must have no password that anybody knows: {user}" for user in self.users_surplus]
        for user, values in self.quotas:
            found += [f"quota of {user}: {name} must be {_shown(value)}" for name, value in values]
        found += [f"topic missing: {topic.name}" for topic in self.topics_missing]
        for name, settings in self.settings:
            found += [f"setting of {name}: {key} must be {_shown(value)}" for key, value in settings]
        return found

    def left_alone(self) -> list[str]:
        """Return what a person must look at, a sentence each."""
        found = [
            f"topic {name} has {has} partitions instead of {wanted}; changing that would change the order of its records"
            for name, has, wanted in self.partitions
        ]
        found += [
            f"topic {name} is on {has} brokers instead of {wanted}; kafka-reassign-partitions.sh moves it"
            for name, has, wanted in self.replicas
        ]
        return found + [f"a rule of somebody else reaches ours: {rule}" for rule in self.foreign_rules]

    def sentences(self) -> Iterator[str]:
        """Yield every difference."""
        yield from self.repairs()
        yield from self.left_alone()


def wanted_of_principals(prefix: str) -> Wanted:
    """Return what deploy/access/ says of everyone but the providers."""
    users = kafka_users()
    names = frozenset(prefix + user.name for user in users)
    rules = frozenset(rule for user in users for rule in acls_of(user, prefix))
    return Wanted(topics(prefix), names, rules, {}, names)


def wanted_of_everyone(found: Found) -> Wanted:
    """Return what deploy/access/ says of all principals, and of those providers that are at this broker."""
    providers = [wanted_of_provider(found, pid) for pid in found.providers()]
    return together([wanted_of_principals(found.prefix), *providers])


def wanted_of_provider(found: Found, pid: str) -> Wanted:
    """Return what there must be of a provider as it stands at this broker: let in, or cut off."""
    if found.standing(pid) == "admitted":
        return admitted(pid, found.prefix, password=found.has_password(pid))
    here = tuple(topic for topic in provider_topics(pid, found.prefix) if topic.name in found.topics)
    return cut_off(pid, found.prefix, here)


def admitted(pid: str, prefix: str, *, password: bool = True, quotas: bool = True) -> Wanted:
    """Return what there must be of a provider that is let in; without `password` it comes with a certificate."""
    user = prefix + provider(pid).name
    return Wanted(
        provider_topics(pid, prefix),
        frozenset([user] if password else []),
        frozenset(provider_acls(pid, prefix)),
        {user: provider_quotas()} if quotas else {},
        frozenset([user]),
    )


def cut_off(pid: str, prefix: str, kept: tuple[Topic, ...]) -> Wanted:
    """Return what there must be of a provider that is not let in, whose topics (some of them) are kept."""
    user = prefix + provider(pid).name
    quotas = {user: CUT_OFF_QUOTAS} if kept else {}
    return Wanted(kept, frozenset(), frozenset(), quotas, frozenset([user]))


def together(parts: Iterable[Wanted]) -> Wanted:
    """Return what all of them say."""
    all_parts = list(parts)
    return Wanted(
        tuple(topic for part in all_parts for topic in part.topics),
        frozenset[str]().union(*(part.users for part in all_parts)),
        frozenset[AclRule]().union(*(part.rules for part in all_parts)),
        {user: quotas for part in all_parts for user, quotas in part.quotas.items()},
        frozenset[str]().union(*(part.about for part in all_parts)),
    )


def kept_on(replicas: int | None, wanted: Wanted) -> Wanted:
    """Return the same with topics that are kept on so many brokers; None: on as many as their Kafka chooses."""
    return replace(wanted, topics=tuple(replace(topic, replicas=replicas) for topic in wanted.topics))


def compare(found: Found, wanted: Wanted, trusted: Collection[str] = ()) -> Difference:
    """Return what must change. `trusted` are others (`User:backup`) whose rules about our topics are in order."""
    rules = {held(rule): rule for rule in wanted.rules}
    about = {f"User:{user}" for user in wanted.about}
    there = [topic for topic in wanted.topics if topic.name in found.topics]
    counts = [(topic.name, found.topics[topic.name].partitions, topic.partitions) for topic in there]
    copies = [(topic.name, found.topics[topic.name].replicas, topic.replicas) for topic in there]
    settings = [(topic.name, _settings(found.topics[topic.name].settings, topic)) for topic in there]
    quotas = [
        (user, _quotas(found.quotas.get(user, {}), wanted.quotas.get(user, {})))
        for user in sorted(wanted.about)
    ]
    return Difference(
        rules_missing=tuple(sorted(rules[one] for one in rules.keys() - found.rules)),
        rules_surplus=tuple(sorted(one for one in found.rules - rules.keys() if one.principal in about)),
        users_missing=tuple(sorted(wanted.users - found.users)),
        users_surplus=tuple(sorted(wanted.about & found.users - wanted.users)),
        quotas=tuple((user, values) for user, values in quotas if values),
        topics_missing=tuple(topic for topic in wanted.topics if topic.name not in found.topics),
        settings=tuple((name, values) for name, values in settings if values),
        partitions=tuple((name, has, should) for name, has, should in counts if has != should),
        replicas=tuple((name, has, should) for name, has, should in copies if should and has < should),
        foreign_rules=tuple(sorted(one for one in found.foreign_rules if one.principal not in trusted)),
    )


def _settings(has: Mapping[str, str], topic: Topic) -> tuple[tuple[str, str | None], ...]:
    should = topic.config()
    # Who chooses on how many brokers a topic is also chooses how many of them must have it.
    theirs = set() if topic.replicas else {MIN_INSYNC}
    names = sorted({*has, *should} - theirs)
    return tuple((name, should.get(name)) for name in names if has.get(name) != should.get(name))


def _quotas(has: Mapping[str, float], should: Mapping[str, float]) -> tuple[tuple[str, float | None], ...]:
    def alike(name: str) -> bool:
        return same(*({name: one[name]} if name in one else {} for one in (has, should)))

    return tuple((name, should.get(name)) for name in sorted({*has, *should}) if not alike(name))


def _shown(value: object) -> str:
    return (
        "as the broker has it" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    )
