"""`linepool audit verify` on the real stack: nothing after whole purchases, each edit of a row, and nothing after a restore."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.services import SERVICES
from shared.messages.distribution import AccessRefused
from shared.messages.providers import AccessRequested
from tests.flow.purchase import Purchase, buy
from tests.integration.system import UNLISTED, RealSystem

OWN = "purchase_id = $1::text::uuid"
SUBJECT = "subject = $1::text"
EDITS = (
    (
        "aggregation.log",
        "body_sha256 = sha256('another')",
        f"{SUBJECT} AND sequence = 1",
        "edited: log of aggregation",
    ),
    (
        "rfp.log",
        "decided_at = decided_at - interval '1 us'",
        f"{SUBJECT} AND sequence = 2",
        "edited: log of rfp",
    ),
    (
        "distribution.log",
        "actor_id = gen_random_uuid()",
        f"{SUBJECT} AND sequence = 1",
        "edited: log of distribution",
    ),
    (
        "bidding.subjects",
        "chain = sha256('another')",
        f"{SUBJECT} AND stream = 'bidding.events'",
        "edited: log of bidding.events",
    ),
    ("notification.subjects", "version = version + 1", SUBJECT, "truncated: log of notification"),
    ("distribution.disclosures", "kind = 'offered'", f"{OWN} AND provider_id LIKE 'aiko%'", "says: mode"),
    (
        "distribution.disclosures",
        "qualification = 9",
        f"{OWN} AND provider_id LIKE 'brio%'",
        "says: qualification",
    ),
    ("distribution.access_requests", "outcome = 'suspended'", OWN, "says: reason"),
)
"""Table, what is set, in which rows of the purchase, and what is found."""


def command(system: RealSystem, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the command as a process; return its exit code and its report."""
    admin = system.stack.admin
    told = {
        "LINEPOOL_POSTGRES_DSN": system.stack.admin_dsn,
        "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": system.stack.bootstrap_servers,
        "LINEPOOL_KAFKA_USERNAME": admin.username,
        "LINEPOOL_KAFKA_PASSWORD": admin.password,
        "LINEPOOL_KAFKA_CA_FILE": str(system.stack.ca_file),
        "LINEPOOL_TOPIC_PREFIX": system.stack.prefix,
    }
    done = subprocess.run(
        [sys.executable, "-m", "linepool", "audit", "verify", "--json", *words],
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in {0, 1}, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


async def nothing_is_found(system: RealSystem) -> int:
    """See that the command is content with all services; return how many entries it looked at."""
    code, report = await asyncio.to_thread(command, system)
    assert (code, report["findings"]) == (0, [])
    return int(report["entries"])


async def bought(system: RealSystem) -> Purchase:
    """Return a purchase that is over, for which a stranger asked too."""
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon)
    asked = AccessRequested(purchase_id=purchase.purchase_id, request_version=1)
    await system.word(UNLISTED, asked)
    await system.until(AccessRefused, purchase.purchase_id)
    await system.rest()
    return purchase


@pytest.mark.timeout(400)
async def test_after_a_whole_purchase_the_command_finds_nothing_and_then_each_edit_of_a_superuser(
    system: RealSystem,
) -> None:
    purchase = await bought(system)
    assert await nothing_is_found(system) > 40
    admin = await asyncpg.connect(system.stack.admin_dsn)
    await admin.execute("SET session_replication_role = replica")
    about = str(purchase.purchase_id)
    before = {table: await admin.fetch(f"SELECT * FROM {table}") for table, *_ in EDITS}
    try:
        for table, change, where, _ in EDITS:
            changed = await admin.execute(f"UPDATE {table} SET {change} WHERE {where}", about)
            assert changed != "UPDATE 0", table
        code, report = await asyncio.to_thread(command, system)
    finally:
        for table, rows in before.items():
            places = ", ".join(f"${number + 1}" for number in range(len(rows[0])))
            await admin.execute(f"DELETE FROM {table}")
            await admin.executemany(
                f"INSERT INTO {table} VALUES ({places})", [tuple(row.values()) for row in rows]
            )
        await admin.close()
    assert code == 1
    found = [f"{one['kind']}: {one['place']}: {one['detail']}" for one in report["findings"]]
    assert [says for *_, says in EDITS if not any(says in one for one in found)] == []
    assert all(about in one for one in found)
    await nothing_is_found(system)


@pytest.mark.timeout(400)
async def test_after_a_restore_and_catching_up_the_command_finds_nothing_again(
    system: RealSystem, tmp_path: Path
) -> None:
    entries = await nothing_is_found(system)
    await asyncio.to_thread(system.stack.postgres.copy_to, tmp_path / "copy")
    # The restored database will not know of it, and neither of what was said about it.
    forgotten = await bought(system)
    more = await nothing_is_found(system)
    assert more > entries
    await asyncio.to_thread(system.stack.postgres.restore_from, tmp_path / "copy")
    await asyncio.to_thread(system.services.wait_ready)
    await system.rest()
    assert await nothing_is_found(system) == more
    await logged_as_before(system, forgotten)
    await system.check()


async def logged_as_before(system: RealSystem, purchase: Purchase) -> None:
    """See that every service has the purchase in its log again, and not only among what it adopted."""
    admin = await asyncpg.connect(system.stack.admin_dsn)
    try:
        # The orders of this purchase are the test's own: the portal gave none of them.
        for service in set(SERVICES) - {"portal"}:
            statement = f"SELECT count(*) FROM {service}.log WHERE subject = $1"
            assert await admin.fetchval(statement, str(purchase.purchase_id)) > 0, service
    finally:
        await admin.close()
