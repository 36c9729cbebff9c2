"""Whoever changes a log or the ledger, and how, is found: a whole purchase's real logs, edited with every trigger off."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from linepool.audit.evidence import Topic
from linepool.audit.gathered import Gathered
from linepool.audit.ledger import BODIES
from linepool.audit.tables import read_tables
from linepool.audit.verify import Report, judge
from linepool.checker.history import History, Record
from linepool.checker.versions import check_log
from linepool.client.journal import Entry, entry_of
from linepool.operating import database
from shared.chain import LogEntry
from shared.readback import own_streams
from tests.conftest import SERVICES
from tests.flow.pace import soon
from tests.flow.purchase import Purchase, buy, register
from tests.flow.system import PartitionedKafka, Parts, five_services

AIKO, BRIO, CORA = "aikoaikoaiko", "briobriobrio", "coracoracora"
EDITS = 1_200
CHECKED = 40
"""One edit of so many is also judged by the independent checker."""
Row = dict[str, Any]
Rows = list[Row]
Logs = dict[tuple[str, str, str], Rows]


def entries_of(kafka: PartitionedKafka) -> list[Entry]:
    names = [stream for service in SERVICES for stream in own_streams(service)]
    return [entry_of(record) for name in names for record in kafka.topics[name]]


@dataclass
class Case:
    """Some edits of one log."""

    random: Random
    original: Rows
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [dict(row) for row in self.original]

    @property
    def at(self) -> int:
        return self.random.randrange(len(self.rows))

    def edit(self) -> None:
        row = self.rows[self.at]
        name = self.random.choice(
            [
                "event_id",
                "type",
                "cause_id",
                "actor_id",
                "decided_at",
                "body_sha256",
                "chain",
                "sequence",
                "subject",
            ]
        )
        row[name] = self.changed(row[name], name)

    def changed(self, value: Any, name: str) -> Any:
        if name in {"body_sha256", "chain"}:
            place = self.random.randrange(len(value))
            return value[:place] + bytes([value[place] ^ 1 << self.random.randrange(8)]) + value[place + 1 :]
        if name == "decided_at":
            return value + timedelta(microseconds=self.random.choice([-1, 1, 10**6]))
        if name == "sequence":
            return value + self.random.choice([1, 7]) + len(self.rows)
        if name == "type":
            return value.replace("linepool.", "linepool.not-")
        return f"{self.uuid()}" if name == "subject" else self.uuid()

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def delete(self) -> None:
        del self.rows[self.at]

    def insert(self) -> None:
        place = self.random.randrange(len(self.rows) + 1)
        self.rows.insert(place, {**self.random.choice(self.original), "event_id": self.uuid()})
        self.renumber()

    def reorder(self) -> None:
        if len(self.rows) == 1:
            return self.edit()
        one, other = self.random.sample(range(len(self.rows)), 2)
        self.rows[one], self.rows[other] = self.rows[other], self.rows[one]
        return self.renumber()

    def truncate(self) -> None:
        del self.rows[self.at :]

    def renumber(self) -> None:
        for number, row in enumerate(self.rows, 1):
            row["sequence"] = number

    def cover_up(self, subject: str) -> None:
        """Let all versions and heads agree again, as somebody would who knows how."""
        self.rows = [row for row in self.rows if row["subject"] == subject]
        self.renumber()
        head = b""
        for row in self.rows:
            entry = LogEntry(**{name: row[name] for name in LogEntry.__dataclass_fields__})
            head = row["chain"] = entry.head_after(head)


HOW: dict[str, Callable[[Case], None]] = {
    "edit": Case.edit,
    "delete": Case.delete,
    "insert": Case.insert,
    "reorder": Case.reorder,
    "truncate": Case.truncate,
}


class Vandal:
    """A superuser at the database of a purchase that is over, without triggers and constraints."""

    def __init__(self, dsn: str, admin: asyncpg.Connection, entries: list[Entry]) -> None:
        self.dsn, self.admin, self.entries = dsn, admin, entries

    async def judged(self, service: str, *, with_topics: bool = True) -> Report:
        with Gathered(service, BODIES) as gathered:
            if with_topics:
                gathered.topics = {stream: Topic() for stream in own_streams(service)}
                gathered.add_records(one for one in self.entries if one.topic in gathered.topics)
            async with database(self.dsn, service) as connection:
                await read_tables(connection, gathered)
            return judge(gathered)

    async def history(self) -> History:
        """Return the logs as the checker sees them."""
        tables = {
            service: {
                name: tuple(dict(row) for row in await self.admin.fetch(f"SELECT * FROM {service}.{name}"))
                for name in ("log", "subjects")
            }
            for service in SERVICES
        }
        records = (
            Record(one.topic, one.partition, one.offset, one.appended_at, one.key, one.body, one.headers)
            for one in self.entries
        )
        # Whether consumers have read everything is not the question here.
        return History(tuple(records), tables, ends={})

    async def put(self, service: str, stream: str, subject: str, rows: Rows) -> None:
        await self.admin.execute(
            f"DELETE FROM {service}.log WHERE stream = $1 AND subject = $2", stream, subject
        )
        for row in rows:
            names = list(row)
            places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
            await self.admin.execute(
                f"INSERT INTO {service}.log ({', '.join(names)}) VALUES ({places})", *row.values()
            )

    async def put_back(self, logs: Logs, place: tuple[str, str, str], edited: Rows) -> None:
        """Undo what was done to one log."""
        service, stream, subject = place
        for about in {row["subject"] for row in edited} - {subject}:
            await self.put(service, stream, about, [])
        await self.put(service, stream, subject, logs[place])
        last = logs[place][-1]
        await self.end(service, stream, subject, last["sequence"], last["chain"])

    async def end(self, service: str, stream: str, subject: str, version: int, head: bytes) -> None:
        await self.admin.execute(
            f"UPDATE {service}.subjects SET version = $3, chain = $4 WHERE stream = $1 AND subject = $2",
            stream,
            subject,
            version,
            head,
        )


@pytest.fixture
async def vandal(parts: Parts) -> AsyncIterator[Vandal]:
    async with five_services(parts) as system:
        await register(system, AIKO, BRIO, CORA)
        await buy(system, Purchase((AIKO, BRIO, CORA)), seconds=soon)
        await system.rest()
    admin = await asyncpg.connect(parts.dsn)
    for service in SERVICES:
        await admin.execute(f"ALTER TABLE {service}.log DISABLE TRIGGER USER")
        await admin.execute(f"ALTER TABLE {service}.log DROP CONSTRAINT log_once_per_version")
        await admin.execute(f"ALTER TABLE {service}.log DROP CONSTRAINT log_once_per_event")
    await admin.execute("ALTER TABLE distribution.disclosures DISABLE TRIGGER USER")
    yield Vandal(parts.dsn, admin, entries_of(parts.kafka))
    await admin.close()


async def test_every_edit_of_a_purchase_s_logs_is_found(vandal: Vandal) -> None:
    logs = await sound_logs(vandal)
    random = Random(4)  # noqa: S311 # edits to repeat, no secret
    tried = Counter[str]()
    kinds: dict[str, set[str]] = defaultdict(set)
    for number in range(EDITS):
        place = random.choice(sorted(logs))
        how = list(HOW)[number % len(HOW)]
        case = Case(random, logs[place])
        HOW[how](case)
        clever = number % 2 == 1
        if clever:
            case.cover_up(place[2])
        if case.rows == logs[place]:
            continue
        tried[how] += 1
        await vandal.put(*place, case.rows)
        if clever:
            await vandal.end(*place, len(case.rows), case.rows[-1]["chain"] if case.rows else b"")
        found = await vandal.judged(place[0])
        assert not found.ok, (number, how, place)
        kinds[how] |= {finding.kind for finding in found.findings}
        # Without the topics only heads that do not agree can show it.
        assert clever or not (await vandal.judged(place[0], with_topics=False)).ok, (number, how, place)
        if number % CHECKED < len(HOW):
            assert check_log(await vandal.history()).outcome == "violated", (number, how, place)
        await vandal.put_back(logs, place, case.rows)
    assert sum(tried.values()) >= 1_000
    expected = {
        "edit": "edited",
        "delete": "deleted",
        "insert": "inserted",
        "reorder": "reordered",
        "truncate": "truncated",
    }
    assert {how for how, kind in expected.items() if kind not in kinds[how]} == set()
    assert await sound_logs(vandal) == logs


async def sound_logs(vandal: Vandal) -> Logs:
    """Return every log by service, stream and subject; there is nothing to find in them."""
    assert check_log(await vandal.history()).findings == ()
    logs: Logs = defaultdict(list)
    for service in SERVICES:
        assert (report := await vandal.judged(service)).ok, str(report)
        assert (await vandal.judged(service, with_topics=False)).ok
        for row in await vandal.admin.fetch(f"SELECT * FROM {service}.log ORDER BY sequence"):
            logs[service, row["stream"], row["subject"]].append(dict(row))
    return logs


async def test_every_edit_of_the_ledger_is_found(vandal: Vandal) -> None:
    rows = await vandal.admin.fetch("SELECT * FROM distribution.disclosures ORDER BY provider_id")
    assert len(rows) == len((AIKO, BRIO, CORA))
    assert (await vandal.judged("distribution")).ok
    await vandal.admin.execute("SET session_replication_role = replica")
    first = "provider_id = $1"
    for kind, change in (
        ("edited", f"UPDATE distribution.disclosures SET content_sha256 = repeat('0', 64) WHERE {first}"),
        ("edited", f"UPDATE distribution.disclosures SET qualification = qualification + 1 WHERE {first}"),
        ("edited", f"UPDATE distribution.disclosures SET request_version = 9 WHERE {first}"),
        ("edited", f"UPDATE distribution.disclosures SET provider_id = 'doradoradora' WHERE {first}"),
        (
            "edited",
            f"UPDATE distribution.disclosures SET disclosed_at = disclosed_at - interval '1 microsecond' WHERE {first}",
        ),
        ("edited", f"UPDATE distribution.disclosures SET purchase_id = gen_random_uuid() WHERE {first}"),
        ("inserted", f"UPDATE distribution.disclosures SET cause_id = gen_random_uuid() WHERE {first}"),
        ("deleted", f"DELETE FROM distribution.disclosures WHERE {first}"),
        (
            "inserted",
            """
            INSERT INTO distribution.disclosures
            SELECT purchase_id, request_version, 'doradoradora', content_sha256, qualification, disclosed_at,
                gen_random_uuid(), kind
            FROM distribution.disclosures WHERE provider_id = $1
            """,
        ),
    ):
        await vandal.admin.execute(change, AIKO)
        report = await vandal.judged("distribution")
        assert kind in {finding.kind for finding in report.findings}, (change, str(report))
        await vandal.admin.execute("DELETE FROM distribution.disclosures")
        for row in rows:
            places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await vandal.admin.execute(
                f"INSERT INTO distribution.disclosures VALUES ({places})", *row.values()
            )
    assert (await vandal.judged("distribution")).ok
