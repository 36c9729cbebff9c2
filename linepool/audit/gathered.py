"""Holds all that is compared of one service, on disk: however long its log is, one subject at a time is in memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from linepool.audit.evidence import TOPICS, End, LedgerRow, Logged, Said, Topic, said
from linepool.client.journal import Entry
from shared.chain import LogEntry
from shared.messages.bidding import AccessRequestReceived

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE entries (
    kind TEXT, stream TEXT, subject TEXT, sequence INTEGER, event_id BLOB, type TEXT, cause_id BLOB, actor_id BLOB,
    decided_at TEXT, body_sha256 BLOB, head BLOB, place TEXT, body BLOB
);
CREATE INDEX entries_by_id ON entries (event_id, kind);
CREATE TABLE ends (stream TEXT, subject TEXT, version INTEGER, head BLOB);
CREATE TABLE ledgers (
    ledger TEXT, place TEXT, purchase_id TEXT, at TEXT, fact_type TEXT, fact_id BLOB, says TEXT, request_id BLOB, answers TEXT
);
CREATE INDEX ledgers_by_fact ON ledgers (fact_id, ledger);
"""
_ENTRY = "kind, stream, subject, sequence, event_id, type, cause_id, actor_id, decided_at, body_sha256, head, place, body"


@dataclass(frozen=True)
class Log:
    """The log of one subject on one stream, and what was said of it. `adopted` rows are among `rows`."""

    stream: str
    subject: str
    rows: Sequence[Logged]
    events: Sequence[Said]
    end: End | None


@dataclass(frozen=True)
class Claim:
    """A ledger's row with the fact of the log that it claims to be (`is_said`), and the event that asked for it.

    `says` goes by the fact's fields, `answers` by that event's, in text.
    """

    ledger: str
    place: str
    purchase_id: str
    at: datetime
    is_said: bool
    says: dict[str, str]
    fact: Logged | None
    event: Said | None
    answers: dict[str, str]
    asked: Said | None


@dataclass
class Gathered:
    """What is known of one service. `topics` goes by stream, and is empty where no topics were read."""

    service: str
    bodies_of: frozenset[str] = frozenset()
    """The types of events whose bodies are compared too; those of all others are forgotten, but for their hash."""
    topics: dict[str, Topic] = field(default_factory=dict)
    others: dict[str, Topic] = field(default_factory=dict)
    """Topics of other services on which stands what this one was asked for; empty where none were read."""
    _file: sqlite3.Connection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Without a name it is a file of its own that nobody else sees, and that is gone when it is closed.
        self._file = sqlite3.connect("")
        self._file.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add_rows(self, rows: Iterable[Logged]) -> None:
        """Add rows of the log, or of what was adopted."""
        self._add(
            ("adopted" if row.adopted else "row", row.stream, row.subject, row.entry, row.head, None, None)
            for row in rows
        )

    def add_events(self, events: Iterable[Said]) -> None:
        """Add events."""
        self._add(
            ("event", *_columns(one, one.body if one.entry.type in self.bodies_of else b"")) for one in events
        )

    def _hear(self, record: Entry) -> None:
        """Keep that somebody asks for access, under the request's id."""
        asked = record.says(AccessRequestReceived)
        place = f"{record.topic}/{record.partition}@{record.offset}"
        event = said(place, record.topic, record.headers, record.body) if asked else None
        if asked and event:
            under = replace(event, entry=replace(event.entry, event_id=asked.request_id))
            self._add([("heard", *_columns(under, under.body))])

    def add_records(self, records: Iterable[Entry], *, later: bool = False) -> None:
        """Add records of the own topics; those read `later` than the tables only as far as the tables know them."""
        events = []
        for record in records:
            if record.topic in self.others:
                self._hear(record)
                continue
            topic = self.topics.setdefault(record.topic, Topic())
            place = f"{record.topic}/{record.partition}@{record.offset}"
            if record.body is None and TOPICS[record.topic].cleanup_policy == "compact":
                topic.erased.add((record.key or b"").decode("utf-8", "replace"))
                continue
            event = said(place, record.topic, record.headers, record.body)
            if event is None:
                topic.unreadable += [] if later else [place]
            elif not later or self.row(event.entry.event_id) is not None:
                events.append(event)
        self.add_events(events)

    def add_end(self, stream: str, subject: str, end: End) -> None:
        """Add where a subject's log ends."""
        self._file.execute("INSERT INTO ends VALUES (?, ?, ?, ?)", (stream, subject, end.version, end.head))

    def add_to_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Add rows of the ledgers."""
        self._file.executemany(
            "INSERT INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    row.ledger,
                    row.place,
                    str(row.purchase_id),
                    row.at.isoformat(),
                    row.fact and row.fact.type(),
                    row.fact_id and row.fact_id.bytes,
                    json.dumps({name: str(value) for name, value in row.says.items()}),
                    row.request_id and row.request_id.bytes,
                    json.dumps({name: str(value) for name, value in row.answers.items()}),
                )
                for row in rows
            ),
        )

    def logs(self) -> Iterator[Log]:
        """Yield each subject's log, sorted by stream and subject; rows and events in the order in which they were added."""
        found = self._file.execute(
            f"SELECT {_ENTRY}, rowid AS added FROM entries WHERE kind <> 'heard' UNION ALL "
            "SELECT 'end', stream, subject, version, NULL, NULL, NULL, NULL, NULL, NULL, head, NULL, NULL, 0 FROM ends "
            "ORDER BY stream, subject, added"
        )
        for (stream, subject), own in groupby(found, key=lambda one: (one[1], one[2])):
            rows, events, end = [], [], None
            for one in own:
                if one[0] == "end":
                    end = End(one[3], one[10])
                elif one[0] == "event":
                    events.append(_said(one))
                else:
                    rows.append(_logged(one))
            yield Log(stream, subject, rows, events, end)

    def row(self, event_id: UUID) -> Logged | None:
        """Return the row of the log, or what was adopted, with this id."""
        found = self._one("event_id = ? AND kind IN ('row', 'adopted')", event_id.bytes)
        return _logged(found) if found else None

    def event(self, event_id: UUID) -> Said | None:
        """Return the first event with this id."""
        found = self._one("event_id = ? AND kind = 'event'", event_id.bytes)
        return _said(found) if found else None

    def claims(self) -> Iterator[Claim]:
        """Yield each row of the ledgers with its fact and with what asked for it."""
        for one in self._file.execute("SELECT * FROM ledgers ORDER BY rowid"):
            ledger, place, purchase_id, at, fact_type, fact_id, says, request_id, answers = one
            fact = self._one("event_id = ? AND kind IN ('row', 'adopted')", fact_id)
            event = self._one("event_id = ? AND kind = 'event'", fact_id)
            asked = self._one("event_id = ? AND kind = 'heard'", request_id)
            yield Claim(
                ledger,
                place,
                purchase_id,
                datetime.fromisoformat(at),
                fact_type is not None,
                json.loads(says),
                _logged(fact) if fact and fact[5] == fact_type else None,
                _said(event) if event else None,
                json.loads(answers),
                _said(asked) if asked else None,
            )

    def unclaimed(self, ledger: str, types: Iterable[str]) -> Iterator[Logged]:
        """Yield the facts of these types in the log that a ledger has no row for; what was adopted need have none."""
        wanted = list(types)
        places = ", ".join("?" * len(wanted))
        found = self._file.execute(
            f"SELECT {_ENTRY} FROM entries WHERE kind = 'row' AND type IN ({places}) AND NOT EXISTS ("
            "SELECT 1 FROM ledgers WHERE ledgers.fact_id = entries.event_id AND ledgers.ledger = ?) ORDER BY rowid",
            (*wanted, ledger),
        )
        for one in found:
            yield _logged(one)

    def _add(
        self, entries: Iterable[tuple[str, str, str, LogEntry, bytes | None, str | None, bytes | None]]
    ) -> None:
        self._file.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    kind,
                    stream,
                    subject,
                    entry.sequence,
                    entry.event_id.bytes,
                    entry.type,
                    entry.cause_id.bytes,
                    entry.actor_id and entry.actor_id.bytes,
                    entry.decided_at.isoformat(),
                    entry.body_sha256,
                    head,
                    place,
                    body,
                )
                for kind, stream, subject, entry, head, place, body in entries
            ),
        )

    def _one(self, condition: str, event_id: bytes | None) -> Any:
        # No row has NULL for its id, and nothing equals NULL.
        return self._file.execute(
            f"SELECT {_ENTRY} FROM entries WHERE {condition} ORDER BY rowid LIMIT 1", (event_id,)
        ).fetchone()


def _columns(event: Said, body: bytes) -> tuple[str, str, LogEntry, bytes | None, str, bytes]:
    return event.stream, event.subject, event.entry, event.head, event.place, body


def _entry(one: Any) -> LogEntry:
    sequence, event_id, type_, cause_id, actor_id, decided_at, body_sha256 = one[3:10]
    return LogEntry(
        sequence,
        UUID(bytes=event_id),
        type_,
        UUID(bytes=cause_id),
        UUID(bytes=actor_id) if actor_id else None,
        datetime.fromisoformat(decided_at),
        body_sha256,
    )


def _logged(one: Any) -> Logged:
    return Logged(one[1], one[2], _entry(one), one[10], adopted=one[0] == "adopted")


def _said(one: Any) -> Said:
    return Said(one[11], one[1], one[2], _entry(one), one[10], one[12])
