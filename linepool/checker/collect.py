"""Reads a live stack: every topic from its beginning, every table of every service, mails and log files."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from linepool.checker.history import SCHEMAS, History, Mail, Record, Row


class NothingVisibleError(Exception):
    """The login sees no topic."""


@dataclass(frozen=True)
class Place:
    """Where a stack is, with logins that may read everything. `prefix` stands before its topics' names."""

    bootstrap_servers: str
    username: str
    password: str = field(repr=False)
    admin_dsn: str = field(repr=False)
    prefix: str = ""
    ca_file: Path | None = None


async def collect(place: Place, *, mails: Path | None = None, logs: Iterable[Path] | None = None) -> History:
    """Read everything, tables before topics; `mails` and `logs` are folders.

    What happens meanwhile can be seen halfway: read a stack that has come to rest.

    Raises:
        NothingVisibleError: there is nothing to judge, and nothing must not pass for all being well.
    """
    tables = await read_tables(place)
    records, ends = await _records(place)
    return History(
        records=tuple(records),
        tables=tables,
        mails=None if mails is None else await asyncio.to_thread(_mails, mails),
        logs=None if logs is None else await asyncio.to_thread(_logs, list(logs)),
        ends=ends,
        prefix=place.prefix,
        read_at=datetime.now(UTC),
    )


async def _records(place: Place) -> tuple[list[Record], dict[tuple[str, int], int]]:
    login: dict[str, Any] = {
        "bootstrap_servers": place.bootstrap_servers,
        "security_protocol": "SASL_SSL",
        "ssl_context": ssl.create_default_context(cafile=place.ca_file),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": place.username,
        "sasl_plain_password": place.password,
    }
    partitions = await _partitions(place, login)
    if not partitions:
        raise NothingVisibleError("this login sees no topic")
    consumer: Any = AIOKafkaConsumer(**login, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        # Without this the client would learn of its topics one by one, a tenth of a second each.
        consumer.assign(partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        unread = {partition for partition in partitions if ends[partition] > begins[partition]}
        consumer.assign(sorted(unread))
        records: list[Record] = []
        while unread:
            for partition, batch in (await consumer.getmany(*unread, timeout_ms=500)).items():
                records += [_record(place, raw) for raw in batch if raw.offset < ends[partition]]
            unread = {one for one in unread if await consumer.position(one) < ends[one]}
    finally:
        await consumer.stop()
    return records, {(one.topic.removeprefix(place.prefix), one.partition): end for one, end in ends.items()}


async def _partitions(place: Place, login: dict[str, Any]) -> list[TopicPartition]:
    admin: Any = AIOKafkaAdminClient(**login)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(place.prefix)]
        described = await admin.describe_topics([name for name in names if not name.startswith("__")])
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


def _record(place: Place, raw: Any) -> Record:
    return Record(
        topic=raw.topic.removeprefix(place.prefix),
        partition=raw.partition,
        offset=raw.offset,
        appended_at=datetime.fromtimestamp(raw.timestamp / 1000, UTC),
        key=raw.key,
        value=raw.value,
        headers=tuple(raw.headers),
    )


async def read_tables(place: Place) -> dict[str, dict[str, tuple[Row, ...]]]:
    """Read every table of every service, in one snapshot of the database."""
    connection = await asyncpg.connect(place.admin_dsn, server_settings={"timezone": "UTC"})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = await connection.fetch(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1) ORDER BY 1, 2",
                SCHEMAS,
            )
            tables: dict[str, dict[str, tuple[Row, ...]]] = {schema: {} for schema in SCHEMAS}
            for schema, table in names:
                rows = await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
                tables[schema][table] = tuple(_row(place, row) for row in rows)
            return tables
    finally:
        await connection.close()


def _row(place: Place, row: asyncpg.Record) -> Row:
    values = dict(row)
    if place.prefix and isinstance(values.get("topic"), str):
        values["topic"] = values["topic"].removeprefix(place.prefix)
    return values


def _mails(folder: Path) -> tuple[Mail, ...]:
    return tuple(Mail(file.name, file.read_bytes()) for file in sorted(folder.rglob("*.eml")))


def _logs(folders: list[Path]) -> dict[str, bytes]:
    return {
        str(file): file.read_bytes()
        for folder in folders
        for file in sorted(folder.rglob("*.log"))
        if file.is_file()
    }
