from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from shared.adoption import Adoptions, adopt, load
from shared.messages.base import Message
from shared.messages.rfp import ProviderSuspended
from shared.outbox import decode_headers
from tests.service.distribution.distribution_database import GateDatabase
from tests.service.distribution.distribution_facts import LISTED, Purchase

Said = list[tuple[str, UUID, bytes]]


async def deliver(
    gates: GateDatabase,
    connection: asyncpg.Connection,
    facts: Sequence[tuple[Message, UUID]],
    adoptions: Adoptions | None = None,
) -> None:
    for fact, cause in facts:
        await gates.handle(connection, fact, cause=cause, adoptions=adoptions)


async def take_outbox(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    return await connection.fetch("DELETE FROM outbox RETURNING id, event_id, topic, headers, body")


async def adopted(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> Adoptions:
    """Let a restored service read back what the relay had sent."""
    for row in rows:
        counted = row["topic"] if row["topic"].startswith("invitations.") else None
        await adopt(connection, row["topic"], [(decode_headers(row["headers"]), row["body"])], topic=counted)
    return await load(connection)


async def ledger(connection: asyncpg.Connection, purchase: Purchase) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT * FROM disclosures WHERE purchase_id = $1 ORDER BY provider_id", purchase.purchase_id
    )


@pytest.mark.parametrize("relayed", ["all", "the first invitation", "nothing"])
async def test_after_a_restore_what_was_said_is_adopted_and_what_was_not_said_obeys_what_is_known_now(
    gates: GateDatabase, connection: asyncpg.Connection, relayed: str
) -> None:
    purchase = Purchase(listed=LISTED)
    facts = [(fact, uuid4()) for fact in purchase.needed]
    cancelled = (purchase.cancelled, uuid4())
    suspended = (ProviderSuspended(provider_id=LISTED[0], reason="does not answer"), uuid4())
    later: list[tuple[Message, UUID]] = [cancelled, (purchase.lapsed, uuid4()), suspended]
    before_the_restore = connection.transaction()
    await before_the_restore.start()
    await take_outbox(connection)
    await deliver(gates, connection, facts)
    original = await ledger(connection, purchase)
    sent = sorted(await take_outbox(connection), key=lambda row: row["id"])
    await deliver(gates, connection, later)
    cancellations = {row["event_id"]: row["topic"] for row in await take_outbox(connection)}
    await before_the_restore.rollback()

    after_the_restore = connection.transaction()
    await after_the_restore.start()
    await take_outbox(connection)
    relayed_rows = {"all": sent, "the first invitation": sent[:1], "nothing": []}[relayed]
    await deliver(gates, connection, [*later, *facts], await adopted(connection, relayed_rows))
    found = await ledger(connection, purchase)
    again = {row["event_id"]: row["topic"] for row in await take_outbox(connection)}
    await after_the_restore.rollback()

    if relayed == "all":
        assert found == original
        assert [topic for topic in again.values() if topic == "distribution.events"] == []
        assert cancellations.items() <= again.items()
    if relayed == "the first invitation":
        assert found == original[:1]
        assert {
            id_ for id_, topic in cancellations.items() if topic == f"invitations.{LISTED[0]}"
        } <= again.keys()
        assert set(again.values()) == {f"invitations.{LISTED[0]}", "distribution.events"}
    if relayed == "nothing":
        assert found == []
        assert again == {}
