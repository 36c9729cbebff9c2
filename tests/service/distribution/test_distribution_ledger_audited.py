"""Whoever changes a row of the ledgers of disclosure is found: each column of each row, with every trigger and key off."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from linepool.audit.evidence import Topic
from linepool.audit.gathered import Gathered
from linepool.audit.ledger import BODIES
from linepool.audit.tables import read_tables
from linepool.audit.verify import Report, judge
from linepool.client.journal import entry_of
from linepool.operating import database as as_operator
from shared.messages.rfp import ProviderSuspended
from tests.memory import MemoryKafka, Running
from tests.service.distribution.distribution_facts import LISTED, Purchase

ASKER, SUSPENDED, SILENT = LISTED
STRANGER = "stranger0001"
TABLES = ("disclosures", "access_requests")
OTHER_WORDS = {
    "kind": ("transmitted", "offered", "granted"),
    "outcome": ("granted", "shown_before", "unknown_purchase", "suspended", "cancelled"),
}
"""What a column holds that may not hold anything."""


class Ledgers:
    """The ledgers after some requests for access, and a superuser who edits them."""

    def __init__(self, admin: asyncpg.Connection, dsn: str, kafka: MemoryKafka) -> None:
        self.admin, self._dsn, self._kafka = admin, dsn, kafka

    async def judged(self, *, with_topics: bool = True, purchase_id: UUID | None = None) -> Report:
        with Gathered("distribution", BODIES) as gathered:
            if with_topics:
                gathered.topics = {"distribution.events": Topic()}
                gathered.others = {"bidding.events": Topic()}
                for stream in (*gathered.topics, *gathered.others):
                    gathered.add_records(map(entry_of, self._kafka.topics[stream]))
            async with as_operator(self._dsn, "distribution") as connection:
                await read_tables(connection, gathered)
            return judge(gathered, purchase_id=purchase_id)

    async def rows(self, table: str) -> list[dict[str, Any]]:
        found = await self.admin.fetch(f"SELECT * FROM {table} ORDER BY cause_id")
        return [dict(row) for row in found]

    async def put(self, table: str, rows: list[dict[str, Any]]) -> None:
        await self.admin.execute(f"DELETE FROM {table}")
        for row in rows:
            names, places = ", ".join(row), ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await self.admin.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *row.values())


@pytest.fixture
async def ledgers(distribution: Running, kafka: MemoryKafka, database: str) -> AsyncIterator[Ledgers]:
    transmitted = Purchase(listed=(SILENT,))
    purchase = Purchase(mode="grant", listed=LISTED)
    for fact in (*transmitted.needed, *purchase.needed):
        kafka.event(fact)
    await kafka.settle()
    kafka.event(ProviderSuspended(provider_id=SUSPENDED, reason="does not answer"))
    await kafka.settle()
    for number, asker in enumerate((ASKER, STRANGER, SUSPENDED, ASKER), 1):
        asked = purchase.asks(asker)
        kafka.event(asked, sequence=number)
        await kafka.settle()
    for table, column in (("disclosures", "kind"), ("access_requests", "outcome")):
        assert await distribution.pool.fetchval(f"SELECT count(DISTINCT {column}) >= 3 FROM {table}")
    admin = await asyncpg.connect(
        database, server_settings={"search_path": "distribution", "session_replication_role": "replica"}
    )
    await admin.execute("ALTER TABLE disclosures DROP CONSTRAINT disclosures_are_made_once")
    yield Ledgers(admin, database, kafka)
    await admin.close()


def others(name: str, value: Any) -> list[Any]:
    """Return other values that a column could hold."""
    if name in OTHER_WORDS:
        return [word for word in OTHER_WORDS[name] if word != value]
    match value:
        case UUID():
            return [uuid4()]
        case datetime():
            return [value - timedelta(microseconds=1), value + timedelta(days=1)]
        case int():
            return [value + 1]
        case _:
            return [STRANGER if value != STRANGER else ASKER]


CANNOT_SHOW = {"shown_before": {"cause_id", "decided_at"}}
"""By outcome: that somebody asked again and was shown nothing new is said nowhere, so nothing says when that was decided."""


async def test_every_column_of_every_row_is_compared(ledgers: Ledgers) -> None:
    tried = 0
    for table in TABLES:
        rows = await ledgers.rows(table)
        assert (report := await ledgers.judged()).ok, str(report)
        for place, row in enumerate(rows):
            unseen = CANNOT_SHOW.get(row.get("outcome", ""), set())
            for name in row:
                for other in others(name, row[name]):
                    await ledgers.put(table, [*rows[:place], {**row, name: other}, *rows[place + 1 :]])
                    assert (await ledgers.judged()).ok == (name in unseen), (table, name, row, other)
                    tried += 1
        await ledgers.put(table, rows)
    assert tried > 70


async def test_a_row_that_is_gone_and_one_that_was_added_are_found(ledgers: Ledgers) -> None:
    for table in TABLES:
        rows = await ledgers.rows(table)
        for place, row in enumerate(rows):
            without = [*rows[:place], *rows[place + 1 :]]
            invented = {**row, "cause_id": uuid4(), "provider_id": STRANGER}
            if "request_id" in row:
                invented["request_id"] = uuid4()
            for with_topics in (True, False):
                await ledgers.put(table, without)
                report = await ledgers.judged(with_topics=with_topics)
                kinds = {finding.kind for finding in report.findings}
                assert ("deleted" in kinds) == (row.get("outcome") != "shown_before"), row
                await ledgers.put(table, [*rows, invented])
                report = await ledgers.judged(with_topics=with_topics)
                assert "inserted" in {finding.kind for finding in report.findings}, row
        await ledgers.put(table, rows)


async def test_the_ledger_of_one_purchase_is_judged_alone(ledgers: Ledgers) -> None:
    rows = await ledgers.rows("disclosures")
    edited, *_ = {row["purchase_id"] for row in rows}
    await ledgers.put(
        "disclosures", [{**row, "qualification": 9} if row["purchase_id"] == edited else row for row in rows]
    )
    for purchase_id in {row["purchase_id"] for row in rows}:
        report = await ledgers.judged(purchase_id=purchase_id)
        assert report.ok == (purchase_id != edited), str(report)
