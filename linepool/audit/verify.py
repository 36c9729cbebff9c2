"""Reads what is to be compared, judges all of it, and says what could not be compared."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from linepool.audit.chains import Book, Finding
from linepool.audit.evidence import TOPICS, Said, Tables, Topic, read_tables, read_topic
from linepool.audit.ledger import judge_ledger
from linepool.client.connection import Connection
from linepool.client.journal import Entry, open_journal
from linepool.operating import database
from shared.readback import own_streams

Beginnings = Mapping[tuple[str, int], int]
"""The first offset left of each partition, by topic and number."""


@dataclass(frozen=True)
class Report:
    """What was found. `notes` say what could not be compared, and why."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    entries: int
    logs: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        """A line for each finding and each note, and the sum."""
        sum_ = f"{self.entries} entries in {self.logs} logs looked at, {len(self.findings)} findings"
        return "\n".join([*map(str, self.findings), *(f"note: {note}" for note in self.notes), sum_])

    def to_json(self) -> str:
        """The same for programs."""
        return json.dumps(asdict(self) | {"ok": self.ok})


def connection_of(environment: Mapping[str, str]) -> Connection | None:
    """Return the login at Kafka that a service's environment names; None where it names no broker."""
    servers = environment.get("LINEPOOL_KAFKA_BOOTSTRAP_SERVERS")
    if servers is None:
        return None
    ca_file = environment.get("LINEPOOL_KAFKA_CA_FILE")
    return Connection(
        servers,
        environment.get("LINEPOOL_KAFKA_USERNAME", ""),
        environment.get("LINEPOOL_KAFKA_PASSWORD", ""),
        Path(ca_file) if ca_file else None,
        environment.get("LINEPOOL_TOPIC_PREFIX", ""),
    )


async def verify(
    dsns: Mapping[str, str], kafka: Connection | None, *, purchase_id: UUID | None = None, within: float = 600
) -> Report:
    """Verify the logs of some services, whose databases go by name, while they run or not.

    An event is in the log before it is on the topic, and in the outbox until it is on the topic. So the topics are read
    first, and read on after the tables only for events that the tables hold.

    Raises:
        OperatingError: there is no such service, or its database cannot be reached.
        KafkaError, TimeoutError: the topics cannot be read.
    """
    tables: list[Tables] = []
    entries: Sequence[Entry] = ()
    later: Sequence[Entry] = ()
    beginnings: Beginnings = {}
    async with AsyncExitStack() as stack:
        if kafka is not None:
            streams = [stream for service in dsns for stream in own_streams(service)]
            journal = await stack.enter_async_context(open_journal(kafka, streams))
            beginnings = await journal.beginnings()
            await journal.catch_up(within=within)
            entries = tuple(journal.entries)
        for service, dsn in dsns.items():
            async with database(dsn, service) as connection:
                tables.append(await read_tables(connection, service))
        if kafka is not None:
            await journal.catch_up(within=within)
            later = journal.entries[len(entries) :]
    return judge(
        tables, entries if kafka else None, later=later, beginnings=beginnings, purchase_id=purchase_id
    )


def judge(
    tables: Iterable[Tables],
    entries: Sequence[Entry] | None,
    *,
    later: Sequence[Entry] = (),
    beginnings: Beginnings | None = None,
    purchase_id: UUID | None = None,
) -> Report:
    """Judge what was read; `entries` is None where there was no Kafka, `later` was read after the tables."""
    findings: list[Finding] = []
    notes: list[str] = (
        [] if entries is not None else ["no topics were read: the logs are compared with themselves alone"]
    )
    looked_at = logs = 0
    for one in tables:
        topics = _topics(one, entries, later, beginnings or {}) if entries is not None else {}
        if purchase_id is None:
            findings += _of_topics(one.service, topics)
        books = _books(one, topics, purchase_id)
        for book in books:
            findings += book.judge()
        entries_of = sum(len(book.rows) for book in books)
        logs, looked_at = logs + len(books), looked_at + entries_of
        said = {event.entry.event_id: event for book in books for event in book.events}
        rows = [row for book in books for row in book.rows]
        of_purchase = [row for row in one.disclosures if purchase_id in {None, row.purchase_id}]
        findings += judge_ledger(of_purchase, rows, said)
        notes += _notes(one.service, books)
    return Report(tuple(findings), tuple(notes), looked_at, logs)


def _topics(
    tables: Tables, entries: Sequence[Entry], later: Sequence[Entry], beginnings: Beginnings
) -> dict[str, Topic]:
    known = {row.entry.event_id for row in tables.rows}
    topics = {}
    for stream in own_streams(tables.service):
        begins = {partition: offset for (topic, partition), offset in beginnings.items() if topic == stream}
        before = read_topic(stream, [one for one in entries if one.topic == stream], begins, None)
        after = read_topic(stream, [one for one in later if one.topic == stream], begins, known)
        topics[stream] = Topic(
            before.events + after.events, before.unreadable, before.cut, before.erased | after.erased
        )
    return topics


def _of_topics(service: str, topics: Mapping[str, Topic]) -> Iterable[Finding]:
    for name, topic in topics.items():
        for place in topic.unreadable:
            yield Finding(service, "inserted", place, "this is no event of the service")
        if TOPICS[name].retention_ms == -1 and TOPICS[name].cleanup_policy == "delete":
            for partition, offset in topic.cut.items():
                place = f"{name}/{partition}@0"
                yield Finding(
                    service, "deleted", place, f"it is kept for ever, and yet begins at offset {offset}"
                )


def _books(tables: Tables, topics: Mapping[str, Topic], purchase_id: UUID | None) -> list[Book]:
    rows = defaultdict(list)
    for row in (*tables.rows, *tables.adopted):
        rows[row.stream, row.subject].append(row)
    events: dict[tuple[str, str], list[Said]] = defaultdict(list)
    elsewhere: dict[UUID, Said] = {}
    for event in (*(one for topic in topics.values() for one in topic.events), *tables.unsent):
        events[event.stream, event.subject].append(event)
        elsewhere.setdefault(event.entry.event_id, event)
    return [
        Book(
            tables.service,
            stream,
            subject,
            rows=rows[stream, subject],
            end=tables.ends.get((stream, subject)),
            events=events[stream, subject],
            topic=topics.get(stream),
            elsewhere=elsewhere,
        )
        for stream, subject in sorted(rows.keys() | events.keys() | tables.ends.keys())
        if purchase_id is None or subject == str(purchase_id)
    ]


def _notes(service: str, books: Iterable[Book]) -> Iterable[str]:
    unseen: dict[str, int] = defaultdict(int)
    headless: dict[str, int] = defaultdict(int)
    for book in books:
        if book.topic is not None:
            unseen[book.stream] += book.not_compared
            headless[book.stream] += sum(event.head is None for event in book.events)
    for stream, count in unseen.items():
        if count:
            why = "compaction" if TOPICS[stream].cleanup_policy == "compact" else "retention"
            yield f"{service}: {count} entries are older than what {why} leaves of {stream}: compared with the log alone"
    for stream, count in headless.items():
        if count:
            yield f"{service}: {count} events on {stream} were said before heads travelled: their heads are not compared"
