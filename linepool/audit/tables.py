"""Reads a service's schema as one moment saw it, a few rows at a time."""

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import asyncpg

from linepool.audit.evidence import End, Logged, said
from linepool.audit.gathered import Gathered
from linepool.audit.ledger import access_request, disclosure
from shared.chain import LogEntry
from shared.outbox import decode_headers
from shared.readback import own_streams

_AT_A_TIME = 500
_ADOPTED = "SELECT * FROM adopted WHERE NOT EXISTS (SELECT FROM log WHERE log.event_id = adopted.event_id)"
_REQUESTS = """
SELECT access_requests.*, EXISTS (
    SELECT FROM disclosures AS shown
    WHERE shown.purchase_id = access_requests.purchase_id AND shown.provider_id = access_requests.provider_id
        AND shown.request_version = access_requests.request_version
        AND shown.kind <> 'offered' AND shown.disclosed_at <= access_requests.decided_at
) AS is_shown
FROM access_requests
"""


async def read_tables(connection: asyncpg.Connection, gathered: Gathered) -> None:
    """Gather a service's schema, on a connection whose search path it is."""
    streams = own_streams(gathered.service)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for rows in _read(connection, "SELECT * FROM log"):
            gathered.add_rows(
                Logged(row["stream"], row["subject"], _entry(row), row["chain"]) for row in rows
            )
        async for rows in _read(connection, _ADOPTED):
            gathered.add_rows(
                Logged(row["stream"], row["subject"], _adopted_entry(row), row["chain"], adopted=True)
                for row in rows
                if row["stream"] in streams
            )
        # Where something was said to a provider, only the topic is counted; no log belongs to it.
        async for rows in _read(connection, "SELECT * FROM subjects WHERE subject <> ''"):
            for row in rows:
                gathered.add_end(row["stream"], row["subject"], End(row["version"], row["chain"]))
        async for rows in _read(connection, "SELECT topic, headers, body FROM outbox ORDER BY id"):
            for row in rows:
                _add_unsent(gathered, row, streams)
        if gathered.service == "distribution":
            async for rows in _read(connection, "SELECT * FROM disclosures"):
                gathered.add_to_ledger(disclosure(row) for row in rows)
            async for rows in _read(connection, _REQUESTS):
                gathered.add_to_ledger(access_request(row) for row in rows)


async def _read(connection: asyncpg.Connection, statement: str) -> AsyncIterator[list[asyncpg.Record]]:
    cursor = await connection.cursor(statement)
    while rows := await cursor.fetch(_AT_A_TIME):
        yield rows


def _add_unsent(gathered: Gathered, row: asyncpg.Record, streams: list[str]) -> None:
    stream = next((one for one in streams if f".{row['topic']}".endswith(f".{one}")), None)
    event = stream and said("outbox", stream, decode_headers(row["headers"]), row["body"])
    if event:
        gathered.add_events([event])


def _entry(row: Any) -> LogEntry:
    return LogEntry(**{name: row[name] for name in LogEntry.__dataclass_fields__})


def _adopted_entry(row: Any) -> LogEntry:
    return _entry({**dict(row), "body_sha256": sha256(row["body"] or b"").digest()})
