"""What the judge looks at: records as the broker has them, rows as the database has them, mails, log files."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from functools import cached_property
from typing import Any

Row = Mapping[str, Any]
PROVIDER_FACING = ("invitations.", "replies.", "notices.")
COMPACTED = ("aggregation.contacts", "aggregation.credentials")
SLACK = timedelta(seconds=10)
"""A timer that is overdue by less may just be being handled."""
SERVICES = ("aggregation", "rfp", "distribution", "bidding", "notification", "portal")
SCHEMAS = (*SERVICES, "opener")


@dataclass(frozen=True)
class Record:
    """One record of a topic, whose name stands here without the stack's prefix."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {name: value.decode("utf-8", "replace") for name, value in self.headers if value is not None}

    def header(self, name: str) -> str:
        """Return a header's text; the empty text where it is missing or null."""
        return self._texts.get(name, "")

    @property
    def id(self) -> str:
        """The CloudEvents id, as its sender gave it."""
        return self.header("ce_id")

    @property
    def type(self) -> str:
        """The message's type without prefix and version, for example `request-issued`."""
        return self.header("ce_type").removeprefix("linepool.").rpartition(".v")[0]

    @property
    def subject(self) -> str:
        """The CloudEvents subject."""
        return self.header("ce_subject")

    @property
    def sequence(self) -> int | None:
        """The version of its subject, where it has one."""
        text = self.header("ce_sequence")
        return int(text) if text.isdecimal() else None

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object in it; empty where there is none."""
        try:
            body = json.loads(self.value or b"{}")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @cached_property
    def actor(self) -> dict[str, Any]:
        """Who gave an order, as its header says; empty where nobody is named."""
        try:
            actor = json.loads(self.header("ce_actor") or "{}")
        except ValueError:
            return {}
        return actor if isinstance(actor, dict) else {}

    @property
    def purchase(self) -> str:
        """The purchase that the body names."""
        return str(self.body.get("purchase_id"))

    @property
    def provider(self) -> str:
        """The part of the topic after its last dot: on provider-facing topics, whose topic it is."""
        return self.topic.rpartition(".")[2]

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True)
class Mail:
    """One mail as the mail server kept it."""

    name: str
    raw: bytes

    @cached_property
    def message_id(self) -> str:
        """Its Message-ID."""
        return str(message_from_bytes(self.raw, policy=policy.default)["Message-ID"])

    @cached_property
    def recipients(self) -> str:
        """Its To header."""
        return str(message_from_bytes(self.raw, policy=policy.default)["To"])

    @cached_property
    def addresses(self) -> frozenset[str]:
        """The mail addresses in its To header, without quotation marks."""
        to = message_from_bytes(self.raw, policy=policy.default)["To"]
        return frozenset(f"{one.username}@{one.domain}" for one in to.addresses)

    @cached_property
    def text(self) -> str:
        """Its plain text, decoded."""
        part = message_from_bytes(self.raw, policy=policy.default).get_body(("plain",))
        return str(part.get_content()) if part is not None else ""


@dataclass(frozen=True)
class History:
    """All that a stack has left behind.

    `tables` goes by schema and table. `mails` and `logs` (by file name) are None where nobody gave their folder.
    `ends` says where each partition ends, by topic and number; without it, where its last record stands.
    `prefix` is what stood before the topics' names, without which they stand here.
    """

    records: tuple[Record, ...]
    tables: Mapping[str, Mapping[str, tuple[Row, ...]]]
    mails: tuple[Mail, ...] | None = None
    logs: Mapping[str, bytes] | None = None
    ends: Mapping[tuple[str, int], int] | None = None
    prefix: str = ""
    read_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def _by_topic(self) -> dict[str, list[Record]]:
        topics: dict[str, list[Record]] = defaultdict(list)
        for record in sorted(self.records, key=lambda one: (one.topic, one.partition, one.offset)):
            topics[record.topic].append(record)
        return topics

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics that hold anything, sorted."""
        return tuple(self._by_topic)

    def topic(self, name: str) -> list[Record]:
        """Return a topic's records by partition and offset."""
        return self._by_topic.get(name, [])

    def of_providers(self, kind: str) -> list[Record]:
        """Return the records of all provider-facing topics of a kind, such as `notices.`."""
        return [record for topic in self.topics if topic.startswith(kind) for record in self.topic(topic)]

    @cached_property
    def _by_type(self) -> dict[tuple[str, str], list[Record]]:
        types: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for topic in self.topics:
            kind = next((kind for kind in PROVIDER_FACING if topic.startswith(kind)), topic)
            for record in distinct(self.topic(topic)):
                types[kind, record.type].append(record)
        return types

    def facts(self, topic: str, type_: str) -> list[Record]:
        """Return a topic's records of one type, each id once."""
        return self._by_type.get((topic, type_), [])

    def told(self, kind: str, type_: str) -> list[Record]:
        """Return what providers were told, of one type, on each topic each id once."""
        return self._by_type.get((kind, type_), [])

    def rows(self, schema: str, table: str) -> tuple[Row, ...]:
        """Return a table's rows; none where there is no such table."""
        return self.tables.get(schema, {}).get(table, ())

    @cached_property
    def unsent(self) -> list[str]:
        """What has not come to rest: messages not sent, parked or held, records that a consumer has not passed."""
        waiting = [
            f"{schema}.{table} holds {len(rows)} rows"
            for schema, table in [
                *((schema, table) for schema in SERVICES for table in ("outbox", "parked")),
                ("bidding", "held_messages"),
            ]
            if (rows := self.rows(schema, table))
        ]
        return waiting + self._undone() + self._behind()

    def _undone(self) -> list[str]:
        mails = [
            row
            for row in self.rows("notification", "mails")
            if row["delivered_at"] is None and row["failed_at"] is None
        ]
        boxes = [
            row
            for row in self.rows("bidding", "boxes")
            if row["stage"] in {"closing", "closed", "opened"} and not self._waits_for_custodian(row)
        ]
        timers = [
            row
            for schema in SERVICES
            for row in self.rows(schema, "timers")
            if as_time(row["due_at"]) < self.read_at - SLACK
        ]
        counted = {"mails to deliver": mails, "boxes to close or compare": boxes, "timers overdue": timers}
        return [f"there are {len(rows)} {what}" for what, rows in counted.items() if rows]

    def _waits_for_custodian(self, box: Row) -> bool:
        """Whether only a person can move this box."""
        released = {row["purchase_id"] for row in self.rows("bidding", "released_keys")}
        return (
            box["stage"] == "closed"
            and box.get("custodian_key") is not None
            and box["purchase_id"] not in released
        )

    def _behind(self) -> list[str]:
        passed = {
            (str(row["consumer"]), str(row["topic"]), int(row["partition"])): int(row["next"])
            for schema in SERVICES
            for row in self.rows(schema, "positions")
        }
        return [
            f"{consumer} is at {passed.get((consumer, topic, partition), 0)} of {end} on {topic}/{partition}"
            for (topic, partition), end in sorted(self._ends().items())
            for consumer in readers_of(topic)
            if passed.get((consumer, topic, partition), 0) != end
        ]

    def _ends(self) -> Mapping[tuple[str, int], int]:
        if self.ends is not None:
            return self.ends
        ends: dict[tuple[str, int], int] = {}
        for record in self.records:
            place = (record.topic, record.partition)
            ends[place] = max(ends.get(place, 0), record.offset + 1)
        return ends


READERS = {
    "aggregation.commands": ("aggregation",),
    "aggregation.administration": ("aggregation",),
    "aggregation.events": ("rfp", "bidding", "notification", "portal"),
    "aggregation.usage": ("rfp", "bidding"),
    "aggregation.contacts": ("notification", "portal"),
    "aggregation.credentials": ("notification", "portal"),
    "rfp.commands": ("rfp",),
    "rfp.verifications": ("rfp",),
    "rfp.registrations": ("rfp",),
    "rfp.events": ("aggregation", "distribution", "bidding", "notification", "portal"),
    "rfp.documents": ("distribution",),
    "distribution.events": ("notification", "portal"),
    "bidding.commands": ("bidding",),
    "bidding.events": ("aggregation", "rfp", "distribution", "notification", "portal"),
    "bidding.comparisons": ("notification", "portal"),
    "notification.events": ("portal",),
}
"""Which services must have read a topic."""


def readers_of(topic: str) -> tuple[str, ...]:
    """Return the consumers that must have read a topic: `<service>.<stream>`."""
    if topic.startswith("replies."):
        return ("bidding.replies",)
    return tuple(f"{service}.{topic}" for service in READERS.get(topic, ()))


def distinct(records: Iterable[Record]) -> list[Record]:
    """Return the first record of each id, in order."""
    first: dict[str, Record] = {}
    for record in records:
        first.setdefault(record.id, record)
    return list(first.values())


def as_time(value: Any) -> datetime:
    """Read a time from a row or a body."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
