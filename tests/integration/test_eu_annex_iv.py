"""Annex IV of Directive 2014/24/EU: what tools for the electronic receipt of tenders must ensure, each clause on one purchase.

The clauses stand here in our own words. docs/rules.md is the table.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import orjson
import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from linepool.audit.verify import verify as audit
from linepool.client.connection import Connection
from shared.envelope import Actor
from shared.messages.bidding import ReceiptIssued, RepliesOpened
from shared.messages.distribution import RequestPresented
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import DeadlinePassed, DescribeNeedRefused
from tests.flow.purchase import OFFICER, OPERATOR, cancelling, form, issue, verify
from tests.integration.hostile_desk import an_offer, reply_to
from tests.integration.system import PROVIDERS, UNLISTED, RealSystem
from tests.integration.tender import AIKO, BRIO, LONG_AGO, Tender, all_denied, is_denied

OTHERS = ("aggregation", "rfp", "distribution", "notification")
"""The services that have nothing to do with the box."""
TIME = re.compile(r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d")
FACING_BIDDERS = tuple(
    f"topic {kind}.{one}" for kind in ("invitations", "notices") for one in (*PROVIDERS, UNLISTED)
)


def test_annex_iv_a_the_exact_time_of_receipt_can_be_determined(tender: Tender) -> None:
    """Annex IV (a): the exact time and date at which a tender was received can be determined precisely."""
    opened = {one.reply_id: one.appended_at for one in tender.one(RepliesOpened).replies}
    for what in ("reply", "second reply", "sealed reply"):
        receipt = tender.receipt(what)
        # The broker's time, to the millisecond, the same wherever it is told.
        assert receipt.reply_id
        assert tender.entry(what).appended_at == receipt.appended_at == opened[receipt.reply_id]
        assert receipt.appended_at < tender.deadline
    # What the sender says about the time changes nothing: this one claimed to be from 1999.
    assert tender.entry("reply").envelope.time == LONG_AGO
    assert tender.receipt("reply").appended_at > tender.deadline - timedelta(hours=1)
    order = [tender.receipt(what).appended_at for what in ("first reply", "withdrawal", "second reply")]
    assert order == sorted(order)


def test_annex_iv_b_nobody_has_access_before_the_time_limit(tender: Tender) -> None:
    """Annex IV (b): it can be reasonably ensured that before the time limit nobody can have access to what was sent."""
    before = tender.before
    assert before
    assert before.at < tender.deadline
    assert before.readers == {"bidding"}
    assert before.boxes_opened == 0
    assert before.found.found == {tender.canaries["careless"]}
    # Bidding reads only what is sealed: every message that was taken holds a box and no offer.
    for what in ("reply", "first reply", "second reply", "sealed reply"):
        sent = tender.entry(what).says(ReplySubmitted)
        assert sent
        assert (sent.seal, sent.offer) == ("hpke", None)


async def test_annex_iv_c_only_authorised_persons_set_or_change_the_date_of_opening(
    tender: Tender, system: RealSystem
) -> None:
    """Annex IV (c): only authorised persons may set or change the dates for opening what was received."""
    purchase = system.purchase()
    await form(system, purchase)
    later = datetime.now(UTC) + timedelta(days=9)
    strangers = (
        Actor(person_id=uuid4(), role="coordinator"),
        Actor(person_id=purchase.person(1), role="member"),
        OFFICER,
        OPERATOR,
    )
    await issue(system, purchase, datetime.now(UTC) + timedelta(days=1))
    orders = [await system.order(purchase.describing(later), by) for by in strangers]
    # Not even the coordinator, once the request is issued.
    orders.append(await system.order(purchase.describing(later), purchase.coordinator))
    for order in orders:
        await system.journal.wait_for(
            lambda entry, order=order: (  # type: ignore[misc]
                said if (said := entry.says(DescribeNeedRefused)) and said.command_id == order else None
            ),
            within=60,
            what="the refusal",
        )
    # Nobody else has a way to say it: the topic of orders is the portal's alone.
    for who in (AIKO, "officer", "operator"):
        with pytest.raises(TopicAuthorizationFailedError):
            await system.producers[who].send_and_wait(f"{system.stack.prefix}rfp.commands", b"{}")
        await system.renew(who)
    assert tender.one(DeadlinePassed).deadline == tender.deadline
    await system.order(cancelling(purchase), purchase.coordinator)


async def test_annex_iv_d_at_every_stage_only_authorised_persons_have_access(
    tender: Tender, system: RealSystem
) -> None:
    """Annex IV (d): in the different stages, access to all or part of what was submitted is for authorised persons only."""
    stack, before, after = system.stack, tender.before, tender.after
    assert before
    assert after
    # While it runs: bidding has the sealed bytes. Afterwards too: what they hold is for others in the comparison alone.
    assert before.readers == after.readers == {"bidding"}
    denied = [
        is_denied(stack.dsn(role), f"SELECT * FROM {table}")
        for role in OTHERS
        for table in ("bidding.replies", "bidding.standing_replies", "opener.openings")
    ]
    assert await all_denied(denied)
    # The opener sees what it must, and neither who asked nor what was held.
    assert await is_denied(stack.dsn("opener"), "SELECT body FROM bidding.held_messages")
    assert not await is_denied(stack.dsn("opener"), "SELECT body FROM bidding.standing_replies")


async def test_annex_iv_e_only_the_opener_gives_access_and_only_after_the_date(
    tender: Tender, system: RealSystem
) -> None:
    """Annex IV (e): only authorised persons, acting together, give access to what was sent, and only after the date."""
    dsn = system.stack.dsn
    # It takes two: bidding closes and cannot open, the opener opens and cannot close.
    assert await all_denied(
        [
            is_denied(dsn("bidding"), "INSERT INTO opener.opened_boxes VALUES ($1, 1, now(), 0)", uuid4()),
            is_denied(dsn("bidding"), "INSERT INTO opener.openings VALUES ($1, $1, NULL, 'x')", uuid4()),
            is_denied(dsn("opener"), "UPDATE bidding.boxes SET stage = 'closed'"),
            is_denied(dsn("opener"), "UPDATE bidding.positions SET next = 0"),
        ]
    )
    connection = await asyncpg.connect(system.stack.admin_dsn)
    try:
        opened_at, closed_at = await connection.fetchrow(
            "SELECT opened_boxes.opened_at, boxes.closed_at FROM opener.opened_boxes JOIN bidding.boxes USING (purchase_id) "
            "WHERE purchase_id = $1",
            tender.purchase.purchase_id,
        )
    finally:
        await connection.close()
    assert tender.deadline < closed_at < opened_at
    assert tender.after
    assert tender.after.boxes_opened == 1


def test_annex_iv_f_what_was_opened_stays_with_those_who_may_know_it(tender: Tender) -> None:
    """Annex IV (f): what was received and opened remains accessible only to persons authorised to know it."""
    assert tender.after
    for provider_id in PROVIDERS:
        found = {hit.source for hit in tender.after.found.hits if hit.canary == tender.canaries[provider_id]}
        assert found, provider_id
        # The opener's and bidding's tables, and the comparison, which the portal and the mails are made from.
        schemas = {place.split(".")[0] for place in found if not place.startswith("topic ")}
        assert schemas <= {"opener", "bidding", "notification", "portal"}, found
        assert {place for place in found if place.startswith("topic ")} <= {
            "topic bidding.comparisons",
            "topic bidding.events",
        }, found
        assert not found & set(FACING_BIDDERS)


@pytest.mark.timeout(300)
async def test_annex_iv_g_infringements_and_attempts_are_clearly_detectable(
    tender: Tender, system: RealSystem
) -> None:
    """Annex IV (g): where the prohibitions are infringed or somebody tries it, that can be clearly detected."""
    stack = system.stack
    # Who tried to read a box stands in the broker's log, with the topic and the time.
    said = await asyncio.to_thread(stack.kafka.log.read_text, errors="replace")
    for who in ("portal", "lag-exporter", f"providers.{BRIO}", f"providers.{UNLISTED}"):
        denied = f"User:{stack.prefix}{who} is Denied operation = READ"
        lines = [line for line in said.splitlines() if denied in line and f"replies.{AIKO}" in line]
        assert lines, who
        assert all(TIME.search(line) for line in lines)

    # A box that bidding's own database declares closed too early stays shut, and the opener raises an alarm.
    await a_box_closed_too_early_is_not_opened(system)

    # Whoever edits what was written down about an opening is found.
    kafka = Connection(
        stack.bootstrap_servers,
        stack.login("bidding").username,
        stack.login("bidding").password,
        stack.ca_file,
        stack.prefix,
    )
    dsns = {"bidding": stack.dsn("bidding")}
    assert (await audit(dsns, kafka, purchase_id=tender.purchase.purchase_id)).ok
    async with behind_the_back(stack.admin_dsn) as connection:
        edit = (
            "UPDATE bidding.log SET decided_at = decided_at + $1::interval WHERE subject = $2 AND type = $3"
        )
        what = (str(tender.purchase.purchase_id), RepliesOpened.type())
        assert await connection.execute(edit, timedelta(seconds=1), *what) == "UPDATE 1"
        try:
            found = await audit(dsns, kafka, purchase_id=tender.purchase.purchase_id)
        finally:
            await connection.execute(edit, timedelta(seconds=-1), *what)
    assert not found.ok
    assert (await audit(dsns, kafka, purchase_id=tender.purchase.purchase_id)).ok


async def a_box_closed_too_early_is_not_opened(system: RealSystem) -> None:
    purchase = system.purchase()
    await form(system, purchase)
    deadline = datetime.now(UTC) + timedelta(days=1)
    await verify(system, purchase, await issue(system, purchase, deadline))
    presented = await system.until(RequestPresented, purchase.purchase_id, provider_id=AIKO)
    await system.word(AIKO, reply_to(presented, AIKO, an_offer(), 1))
    await system.until(ReceiptIssued, purchase.purchase_id, provider_id=AIKO)
    before = await asyncio.to_thread(alarms, system)
    async with behind_the_back(system.stack.admin_dsn) as connection:
        kept = await connection.fetchrow(
            "SELECT stage, deadline, deadline_passed_by, last_version, closing_ends, closed_at "
            "FROM bidding.boxes WHERE purchase_id = $1",
            purchase.purchase_id,
        )
        change = (
            "UPDATE bidding.boxes SET stage = $2, deadline = $3, deadline_passed_by = $4, last_version = $5, "
            "closing_ends = $6, closed_at = $7 WHERE purchase_id = $1"
        )
        ends = orjson.dumps([[f"{system.stack.prefix}replies.{one}", 0, 0] for one in PROVIDERS]).decode()
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        forged = ("closed", an_hour_ago, uuid4(), 1, ends, an_hour_ago)
        await connection.execute(change, purchase.purchase_id, *forged)
        try:
            async with asyncio.timeout(60):
                while await asyncio.to_thread(alarms, system) == before:  # noqa: ASYNC110 # another process raises it
                    await asyncio.sleep(0.1)
            opened = "SELECT count(*) FROM opener.opened_boxes WHERE purchase_id = $1"
            assert await connection.fetchval(opened, purchase.purchase_id) == 0
        finally:
            await connection.execute(change, purchase.purchase_id, *kept.values())
    await system.order(cancelling(purchase), purchase.coordinator)


def alarms(system: RealSystem) -> float:
    """Return how often the opener has said that a box which should be open stays sealed."""
    told = system.metrics("opener").decode()
    found = re.search(r'^linepool_\w*alarms\w*\{kind="box_stays_sealed"\} (\S+)$', told, re.MULTILINE)
    return float(found[1]) if found else 0.0


@asynccontextmanager
async def behind_the_back(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect as one who can do anything: with all triggers off."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()
