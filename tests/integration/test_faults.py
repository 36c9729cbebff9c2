"""Processes, broker and database die in the middle of purchases: nothing is lost or doubled, and no hand is needed."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from confluent_kafka.admin import AdminClient

from deploy.access.login import admin_client
from deploy.local.services import SERVICES
from shared.messages.aggregation import GroupAggregated
from tests.flow.purchase import bid, buy, conclude, form, issue, verify
from tests.integration.faults import kill_services, meanwhile
from tests.integration.system import RealSystem


async def test_services_are_killed_again_and_again_during_purchases(system: RealSystem) -> None:
    purchases = [system.purchase() for _ in range(4)]
    await meanwhile(system, purchases, lambda: kill_services(system, 8), apart=2, takes=60)


async def test_kafka_is_killed_and_comes_back_during_purchases(system: RealSystem) -> None:
    async def kill() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(system.stack.kafka.kill)
        await asyncio.to_thread(system.stack.kafka.start)

    await meanwhile(system, [system.purchase() for _ in range(3)], kill, apart=1, takes=60)


async def test_postgres_is_killed_and_comes_back_during_purchases(system: RealSystem) -> None:
    async def kill() -> None:
        await asyncio.sleep(2)
        await asyncio.to_thread(system.stack.postgres.kill)
        await asyncio.to_thread(system.stack.postgres.start)

    await meanwhile(system, [system.purchase() for _ in range(3)], kill, apart=1, takes=45)


async def test_a_database_restored_to_an_older_copy_catches_up_by_itself(
    system: RealSystem, tmp_path: Path
) -> None:
    done, open_, young = system.purchase(), system.purchase(), system.purchase()
    await buy(system, done, seconds=system.soon)
    await form(system, open_)
    await system.until(GroupAggregated, open_.purchase_id)
    snapshot = await issue(system, open_, datetime.now(UTC) + timedelta(seconds=system.soon(faults=60)))
    await asyncio.to_thread(system.stack.postgres.copy_to, tmp_path / "copy")
    # What happens from here on, the restored database will not know.
    await verify(system, open_, snapshot)
    await bid(system, open_)
    await form(system, young)
    await system.rest()
    await asyncio.to_thread(system.stack.postgres.restore_from, tmp_path / "copy")
    snapshot = await issue(system, young, datetime.now(UTC) + timedelta(seconds=system.soon(faults=45)))
    await verify(system, young, snapshot)
    await bid(system, young)
    await asyncio.gather(conclude(system, open_), conclude(system, young))
    await system.rest()
    await system.complete(done, open_, young)
    await system.check()


async def test_the_whole_log_again_leaves_every_table_as_it_is(system: RealSystem) -> None:
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon)
    await system.rest()
    await asyncio.to_thread(_stop, system)
    # Left out besides: each answer has its own number on its provider's topic, so an answer that is repeated takes the
    # next one; the skew is measured anew; without positions everything said before is read back and noted as adopted.
    own = ("inbox", "positions", "bidding.subjects", "clock_skews", "adopted")
    before = await system.tables(without=own)
    mails = len(list(system.stack.mail_folder.glob("*.eml")))
    connection = await asyncpg.connect(system.stack.admin_dsn)
    for name in SERVICES:
        await connection.execute(f"TRUNCATE {name}.inbox, {name}.positions")
    await connection.close()
    await asyncio.to_thread(_forget_offsets, system)
    for name in SERVICES:
        await asyncio.to_thread(system.services.start, name, wait=False)
    await asyncio.to_thread(system.services.wait_ready)
    await system.rest()
    after = await system.tables(without=own)
    assert {name: rows for name, rows in after.items() if rows != before[name]} == {}
    assert len(list(system.stack.mail_folder.glob("*.eml"))) == mails
    await system.complete(purchase)
    await system.check()


def _stop(system: RealSystem) -> None:
    for name in SERVICES:
        system.services.stop_one(name)


def _forget_offsets(system: RealSystem) -> None:
    admin: AdminClient = admin_client(
        system.stack.bootstrap_servers, system.stack.admin, system.stack.ca_file
    )
    groups = [
        one.group_id
        for one in admin.list_consumer_groups().result().valid
        if one.group_id.startswith(tuple(f"{system.stack.prefix}{name}." for name in SERVICES))
    ]
    assert groups
    for deleted in admin.delete_consumer_groups(groups).values():
        deleted.result()
