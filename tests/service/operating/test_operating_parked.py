"""What an operator does with parked messages, on a real Postgres."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from rich.console import Console

from linepool import operating
from shared import migrations
from tests.memory import open_opener

FOLDER = Path(__file__).parents[3] / "services" / "rfp" / "migrations"
BODY = b'{"secret": "a confidential price"}'


@pytest.fixture
async def rfp(database: str) -> AsyncIterator[asyncpg.Connection]:
    async with operating.database(database, "rfp") as connection:
        await migrations.apply(connection, FOLDER)
        for state in ("stuck", "waiting"):
            await connection.execute(
                'INSERT INTO parked (consumer, key, inbox_id, topic, partition, "offset", timestamp_ms, headers, body, '
                "state, reason, attempts, retry_at) VALUES ('rfp.x', 'k', gen_random_uuid(), 'rfp.commands', 0, 7, 0, "
                "$1, $2, $3, 'ValueError', 12, clock_timestamp() + interval '1 hour')",
                b'[["ce_type", "78"], ["odd", null], ["bytes", "ff"]]',
                BODY,
                state,
            )
        yield connection


def console() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=200), written


async def test_the_list_and_the_headers_show_no_body_unless_asked(rfp: asyncpg.Connection) -> None:
    out, written = console()
    await operating.list_parked(rfp, out)
    await operating.show_parked(rfp, 1, out, body=False)
    assert "rfp.commands 0/7, stuck: ValueError" in written.getvalue()
    assert f"{len(BODY)} bytes" in written.getvalue()
    assert "confidential" not in written.getvalue()
    await operating.show_parked(rfp, 1, out, body=True)
    assert "confidential" in written.getvalue()


async def test_a_stuck_message_is_due_again_now_with_all_its_tries(rfp: asyncpg.Connection) -> None:
    await operating.retry_parked(rfp, 1)
    row = await rfp.fetchrow(
        "SELECT state, attempts, retry_at <= clock_timestamp() AS due FROM parked WHERE id = 1"
    )
    assert tuple(row) == ("failed", 0, True)


async def test_all_that_are_stuck_are_due_again_at_once_and_what_waits_stays_as_it_is(
    rfp: asyncpg.Connection,
) -> None:
    assert await operating.retry_stuck(rfp) == 1
    rows = await rfp.fetch(
        "SELECT state, attempts, retry_at <= clock_timestamp() AS due FROM parked ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [("failed", 0, True), ("waiting", 12, False)]


async def test_a_discarded_message_is_gone_and_the_others_stay(rfp: asyncpg.Connection) -> None:
    await operating.discard_parked(rfp, 1)
    assert [row["id"] for row in await rfp.fetch("SELECT id FROM parked")] == [2]


async def test_an_unknown_message_is_named_in_one_sentence(rfp: asyncpg.Connection) -> None:
    out, _ = console()
    for work in (
        operating.show_parked(rfp, 99, out, body=False),
        operating.retry_parked(rfp, 99),
        operating.discard_parked(rfp, 99),
    ):
        with pytest.raises(operating.OperatingError, match="no parked message has the id 99"):
            await work


async def test_an_unknown_service_is_named_with_those_that_exist(database: str) -> None:
    with pytest.raises(operating.OperatingError, match="there is no service officer; there are aggregation"):
        async with operating.database(database, "officer"):
            pass


async def test_every_migration_of_a_service_is_shown_as_applied(rfp: asyncpg.Connection) -> None:
    found = await operating.migrations_of(rfp, "rfp")
    assert found
    assert {one.state for one in found} == {"applied"}


async def test_the_opener_s_migrations_are_shown_too_and_a_file_that_was_changed_is_named(
    database: str,
) -> None:
    names = operating.process_names()
    assert set(names) - set(operating.service_names()) == {"opener"}
    async with open_opener(database), operating.database(database, "opener", among=names) as connection:
        assert {one.state for one in await operating.migrations_of(connection, "opener")} == {"applied"}
        await connection.execute("UPDATE migrations SET checksum = repeat('0', 64)")
        assert {one.state for one in await operating.migrations_of(connection, "opener")} == {"changed"}


async def test_the_opener_has_no_parked_messages_to_look_at(database: str) -> None:
    with pytest.raises(operating.OperatingError, match="there is no service opener"):
        async with operating.database(database, "opener"):
            pass
