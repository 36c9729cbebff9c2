"""Gathers what is to be compared, judges all of it, and says what could not be compared."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from linepool.audit.chains import Book, Finding
from linepool.audit.evidence import TOPICS
from linepool.audit.gathered import Gathered
from linepool.audit.ledger import BODIES, judge_ledgers, other_streams
from linepool.audit.tables import read_tables
from linepool.audit.topics import open_reading
from linepool.client.connection import Connection
from linepool.operating import database
from shared.readback import own_streams

NO_TOPICS = "no topics were read: the logs are compared with themselves alone"


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
    dsns: Mapping[str, str], kafka: Connection | None, *, purchase_id: UUID | None = None, within: float = 60
) -> Report:
    """Verify the logs of some services, whose databases go by name, one after the other, while they run or not.

    Raises:
        OperatingError: there is no such service, or its database cannot be reached.
        KafkaError, TimeoutError: the topics cannot be read, or nothing came for so many seconds.
    """
    reports = []
    for service, dsn in dsns.items():
        with Gathered(service, BODIES) as gathered:
            await gather(gathered, dsn, kafka, within=within)
            reports.append(judge(gathered, purchase_id=purchase_id))
    return _joined(reports)


async def gather(gathered: Gathered, dsn: str, kafka: Connection | None, *, within: float) -> None:
    """Read a service's own topics and its tables.

    An event is in the log before it is on the topic, and in the outbox until it is on the topic. So the topics are read
    first, and read on after the tables only for events that the tables hold.
    """
    async with AsyncExitStack() as stack:
        reading = None
        if kafka is not None:
            own, others = own_streams(gathered.service), other_streams(gathered.service)
            reading = await stack.enter_async_context(open_reading(kafka, [*own, *others]))
            gathered.topics = {name: reading.topics[name] for name in own}
            gathered.others = {name: reading.topics[name] for name in others}
            async for records in reading.to_the_end(within=within):
                gathered.add_records(records)
        async with database(dsn, gathered.service) as connection:
            await read_tables(connection, gathered)
        if reading is not None:
            async for records in reading.to_the_end(within=within):
                gathered.add_records(records, later=True)


def judge(gathered: Gathered, *, purchase_id: UUID | None = None) -> Report:
    """Judge what was gathered of one service."""
    findings = list(_of_topics(gathered)) if purchase_id is None else []
    notes = _Notes(gathered.service)
    entries = logs = 0
    for book in _books(gathered, purchase_id):
        findings += book.judge()
        notes.take(book)
        logs, entries = logs + 1, entries + len(book.rows)
    findings += judge_ledgers(gathered, purchase_id)
    unread = [] if gathered.topics else [NO_TOPICS]
    return Report(tuple(findings), (*unread, *notes.lines()), entries, logs)


def _joined(reports: Sequence[Report]) -> Report:
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    return Report(
        tuple(finding for report in reports for finding in report.findings),
        tuple(notes),
        sum(report.entries for report in reports),
        sum(report.logs for report in reports),
    )


def _of_topics(gathered: Gathered) -> Iterator[Finding]:
    for name, topic in gathered.topics.items():
        for place in topic.unreadable:
            yield Finding(gathered.service, "inserted", place, "this is no event of the service")
        if TOPICS[name].retention_ms == -1 and TOPICS[name].cleanup_policy == "delete":
            for partition, offset in topic.cut.items():
                place = f"{name}/{partition}@0"
                detail = f"it is kept for ever, and yet begins at offset {offset}"
                yield Finding(gathered.service, "deleted", place, detail)


def _books(gathered: Gathered, purchase_id: UUID | None) -> Iterator[Book]:
    for log in gathered.logs():
        if purchase_id is None or log.subject == str(purchase_id):
            yield Book(
                gathered.service,
                log.stream,
                log.subject,
                rows=log.rows,
                end=log.end,
                events=log.events,
                topic=gathered.topics.get(log.stream),
                elsewhere=gathered.event,
            )


class _Notes:
    """Counts what could not be compared."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._unseen: dict[str, int] = defaultdict(int)
        self._headless: dict[str, int] = defaultdict(int)

    def take(self, book: Book) -> None:
        if book.topic is not None:
            self._unseen[book.stream] += book.not_compared
            self._headless[book.stream] += sum(event.head is None for event in book.events)

    def lines(self) -> Iterator[str]:
        for stream, count in self._unseen.items():
            if count:
                why = "compaction" if TOPICS[stream].cleanup_policy == "compact" else "retention"
                older = f"are older than what {why} leaves of {stream}: compared with the log alone"
                yield f"{self._service}: {count} entries {older}"
        for stream, count in self._headless.items():
            if count:
                headless = "were said before heads travelled: their heads are not compared"
                yield f"{self._service}: {count} events on {stream} {headless}"
