import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations, product
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.distribution import store
from services.distribution.domain import Shut, Waiting, judge
from shared.documents import split
from shared.messages.base import Message
from shared.messages.distribution import RequestPresented
from shared.messages.rfp import ProviderReinstated, ProviderSuspended
from tests.service.distribution.distribution_database import GateDatabase
from tests.service.distribution.distribution_facts import LISTED, SUSPENDED, Purchase

INVITED = sorted(LISTED)
TABLES = (
    "gates",
    "requests",
    "documents",
    "document_parts",
    "bid_boxes",
    "qualifications",
    "lapses",
    "listed_providers",
    "disclosures",
)


@pytest.fixture(autouse=True)
async def _one_provider_is_suspended(gates: GateDatabase, connection: asyncpg.Connection) -> None:
    suspension = ProviderSuspended(provider_id=SUSPENDED, reason="does not answer")
    await gates.handle(connection, suspension, cause=uuid5(UUID(int=0), "suspended"))


async def deliver(gates: GateDatabase, connection: asyncpg.Connection, facts: Sequence[Message]) -> None:
    for fact in facts:
        await gates.handle(connection, fact)


async def ledger(connection: asyncpg.Connection, purchase: Purchase) -> list[str]:
    rows = await connection.fetch(
        "SELECT provider_id FROM disclosures WHERE purchase_id = $1 ORDER BY provider_id",
        purchase.purchase_id,
    )
    return [row["provider_id"] for row in rows]


async def said(connection: asyncpg.Connection, purchase: Purchase) -> list[tuple[str, str]]:
    """Topic and type of everything said about the purchase, in order."""
    rows = await connection.fetch("SELECT topic, headers, body FROM outbox ORDER BY id")
    return [
        (row["topic"], dict(json.loads(row["headers"]))["ce_type"])
        for row in rows
        if json.loads(row["body"])["purchase_id"] == str(purchase.purchase_id)
    ]


async def waits_for(
    connection: asyncpg.Connection, purchase: Purchase
) -> tuple[str | None, list[str]] | None:
    row = await connection.fetchrow(
        "SELECT shut_by, waiting_for FROM waiting WHERE purchase_id = $1", purchase.purchase_id
    )
    return (row["shut_by"], row["waiting_for"]) if row else None


async def rows_of(connection: asyncpg.Connection, purchase: Purchase) -> dict[str, list[dict[str, Any]]]:
    return {
        table: [
            dict(row)
            for row in await connection.fetch(
                f"SELECT * FROM {table} AS one WHERE purchase_id = $1 ORDER BY one::text",
                purchase.purchase_id,
            )
        ]
        for table in TABLES
    }


async def test_each_invited_provider_is_presented_the_request_and_then_its_documents(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    purchase = Purchase()

    await deliver(gates, connection, purchase.needed)

    assert await said(connection, purchase) == [
        one
        for provider_id in INVITED
        for one in (
            (f"invitations.{provider_id}", "linepool.request-presented.v1"),
            (f"invitations.{provider_id}", "linepool.presented-document-part.v1"),
            ("distribution.events", "linepool.provider-invited.v1"),
        )
    ] + [("distribution.events", "linepool.request-distributed.v1")]
    assert await ledger(connection, purchase) == INVITED
    assert await waits_for(connection, purchase) is None
    body = await connection.fetchval(
        "SELECT body FROM outbox WHERE topic = $1 ORDER BY id DESC OFFSET 1 LIMIT 1",
        f"invitations.{LISTED[0]}",
    )
    assert RequestPresented.model_validate_json(body).content_json == purchase.content.decode()


async def test_the_ledger_says_who_was_shown_what_when_and_by_which_qualification(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    purchase = Purchase()
    before = await connection.fetchval("SELECT clock_timestamp()")

    await deliver(gates, connection, purchase.needed)

    rows = await connection.fetch("SELECT * FROM disclosures WHERE purchase_id = $1", purchase.purchase_id)
    opened_at = await connection.fetchval(
        "SELECT opened_at FROM requests WHERE purchase_id = $1", purchase.purchase_id
    )
    assert {row["content_sha256"] for row in rows} == {purchase.manifest.sha256}
    assert {row["qualification"] for row in rows} == {1}
    assert {row["disclosed_at"] for row in rows} == {opened_at}
    assert before < opened_at


@pytest.mark.parametrize("statement", ["UPDATE disclosures SET qualification = 1", "DELETE FROM disclosures"])
async def test_the_ledger_cannot_be_changed(
    gates: GateDatabase, connection: asyncpg.Connection, statement: str
) -> None:
    await deliver(gates, connection, Purchase().needed)

    with pytest.raises(asyncpg.RaiseError, match="only ever added"):
        await connection.execute(statement)
    with pytest.raises(asyncpg.RaiseError, match="only ever added"):
        await connection.execute("TRUNCATE disclosures")


async def test_the_ledger_takes_nobody_who_is_not_listed(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    purchase = Purchase()
    await deliver(gates, connection, purchase.needed)

    with pytest.raises(asyncpg.ForeignKeyViolationError, match="disclosures_are_made_to_listed_providers"):
        await connection.execute(
            """
            INSERT INTO disclosures (
                purchase_id, request_version, provider_id, kind, content_sha256, qualification,
                disclosed_at, cause_id
            ) VALUES ($1, 1, 'unlisted0001', 'offered', 'x', 1, now(), $2)
            """,
            purchase.purchase_id,
            uuid4(),
        )


async def test_every_order_of_the_facts_gives_the_same_tables_and_the_same_ids(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    purchase = Purchase(content=b"{}")
    causes = {fact: uuid4() for fact in purchase.needed}
    seen: set[str] = set()

    for order in permutations(purchase.needed):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("DELETE FROM outbox")
        for count, fact in enumerate(order, start=1):
            await gates.handle(connection, fact, cause=causes[fact])
            opened = await ledger(connection, purchase)
            assert opened == (INVITED if count == len(order) else [])
        tables = await rows_of(connection, purchase)
        for row in (*tables["requests"], *tables["disclosures"]):
            row.pop("opened_at", None), row.pop("disclosed_at", None)
        ids = await connection.fetch("SELECT event_id, topic FROM outbox ORDER BY id")
        seen.add(repr((tables, [tuple(row) for row in ids])))
        await transaction.rollback()

    assert len(seen) == 1


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
async def test_repeated_facts_change_nothing(
    gates: GateDatabase, connection: asyncpg.Connection, data: st.DataObject
) -> None:
    purchase = Purchase()
    causes = {fact: uuid4() for fact in purchase.needed}
    facts = data.draw(st.lists(st.sampled_from(purchase.needed), max_size=8))
    order = data.draw(st.permutations([*purchase.needed, *facts]))
    for fact in order:
        await gates.handle(connection, fact, cause=causes[fact])
    tables, messages = await rows_of(connection, purchase), await said(connection, purchase)

    for fact in data.draw(st.permutations(order)):
        await gates.handle(connection, fact, cause=causes[fact])

    assert await rows_of(connection, purchase) == tables
    assert await said(connection, purchase) == messages
    assert await ledger(connection, purchase) == INVITED
    await connection.execute("DELETE FROM outbox")


EXPIRED = datetime(2026, 1, 1, tzinfo=UTC)
SHUT: dict[str, tuple[Purchase, str | None, list[str]]] = {
    "valid until a time that is past": (Purchase(valid_until=EXPIRED), None, ["qualification"]),
    "qualified for another snapshot": (Purchase(qualified_snapshot="c" * 64), None, ["qualification"]),
    "a deadline that is past": (Purchase(deadline=EXPIRED), "deadline passed", []),
}


@pytest.mark.parametrize("case", SHUT)
async def test_the_gate_stays_shut(gates: GateDatabase, connection: asyncpg.Connection, case: str) -> None:
    purchase, shut_by, waiting = SHUT[case]

    await deliver(gates, connection, purchase.needed)

    assert await said(connection, purchase) == []
    assert await waits_for(connection, purchase) == (shut_by, waiting)


@pytest.mark.parametrize(
    ("ending", "shut_by", "waiting"),
    [
        ("lapsed", None, ["qualification"]),
        ("cancelled", "cancelled", []),
        ("deadline_passed", "deadline passed", []),
    ],
)
async def test_an_ending_at_any_place_before_the_last_fact_keeps_the_gate_shut(
    gates: GateDatabase,
    connection: asyncpg.Connection,
    ending: str,
    shut_by: str | None,
    waiting: list[str],
) -> None:
    for place in range(6):
        purchase = Purchase()
        facts = purchase.needed
        facts.insert(place, getattr(purchase, ending))

        await deliver(gates, connection, facts)

        assert await said(connection, purchase) == []
        assert await waits_for(connection, purchase) == (shut_by, waiting)


@pytest.mark.parametrize("missing", range(6))
async def test_without_any_one_of_the_facts_the_gate_waits_for_it(
    gates: GateDatabase, connection: asyncpg.Connection, missing: int
) -> None:
    purchase = Purchase()
    facts = purchase.needed
    late = facts.pop(missing)
    expected = ["request", "content", "content", "usage.csv", "bid box", "qualification"][missing]

    await deliver(gates, connection, facts)

    assert await said(connection, purchase) == []
    assert await waits_for(connection, purchase) == (None, [expected])
    await deliver(gates, connection, [late])
    assert await ledger(connection, purchase) == INVITED


async def test_for_every_subset_of_facts_the_view_says_what_the_decision_says(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    endings = ("lapsed", "cancelled", "deadline_passed")
    for chosen in product((False, True), repeat=5 + len(endings)):
        purchase = Purchase(content=b"{}")
        facts = [*purchase.needed, *(getattr(purchase, ending) for ending in endings)]
        # The endings first, so that nothing has opened before they came.
        await deliver(
            gates,
            connection,
            [fact for fact, is_chosen in reversed([*zip(facts, chosen, strict=True)]) if is_chosen],
        )
        if not chosen[0]:
            continue

        gate = await store.gate(connection, purchase.purchase_id)
        verdict = judge(gate, gate.requests[0], datetime.now(UTC), None)
        row = await waits_for(connection, purchase)

        if isinstance(verdict, Shut):
            assert row is None if verdict.reason == "open already" else row and row[0] == verdict.reason
        else:
            assert isinstance(verdict, Waiting)
            assert row == (None, [*verdict.waits_for])


async def test_content_with_a_wrong_hash_keeps_the_gate_shut_until_the_right_parts_come(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    purchase = Purchase()
    first, second, usage = purchase.parts
    forged = purchase.part(purchase.manifest, 1, next(split(purchase.manifest, purchase.content.upper()))[1])

    await deliver(
        gates, connection, [forged, purchase.request, second, usage, purchase.box, purchase.qualified]
    )
    assert await said(connection, purchase) == []
    assert await waits_for(connection, purchase) == (None, ["content with the right hash"])

    await deliver(gates, connection, [first])
    assert await ledger(connection, purchase) == INVITED
    assert len((await rows_of(connection, purchase))["document_parts"]) == 3


async def test_a_cancellation_reaches_everyone_in_the_ledger_once(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    purchase = Purchase()
    await deliver(gates, connection, purchase.needed)
    await connection.execute("DELETE FROM outbox")

    await deliver(gates, connection, [purchase.cancelled, purchase.cancelled])

    assert await said(connection, purchase) == [
        (f"invitations.{provider_id}", "linepool.cancellation-presented.v1") for provider_id in INVITED
    ]


async def test_a_reinstated_provider_is_invited_to_what_opens_afterwards(
    gates: GateDatabase, connection: asyncpg.Connection
) -> None:
    provider_id = "reinstated01"
    suspended = ProviderSuspended(provider_id=provider_id, reason="does not answer")
    reinstated = ProviderReinstated(provider_id=provider_id)
    before, after = Purchase(listed=(provider_id,)), Purchase(listed=(provider_id,))
    cause = uuid4()

    await gates.handle(connection, suspended, cause=cause)
    await deliver(gates, connection, [*before.needed, reinstated])
    await gates.handle(connection, suspended, cause=cause)
    await deliver(gates, connection, after.needed)

    assert await ledger(connection, before) == []
    assert await ledger(connection, after) == [provider_id]
