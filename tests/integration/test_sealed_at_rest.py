"""Before its box is opened a sealed reply can be read nowhere, and each initial password stands in its one mail only (I5, I6).

Every byte of Kafka's and Postgres's folders, of logs, tables and metrics is searched for canaries that were planted.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom

import asyncpg
import pytest

from deploy.local.stack import start_stack
from shared.messages.bidding import MessageRejected, RepliesCompared
from shared.messages.distribution import RequestPresented
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import DeadlinePassed
from tests.canaries import Search, keep_values_plain, new_canary, search_tables
from tests.flow.purchase import Purchase, form, issue, verify
from tests.integration.hostile_desk import an_offer, reply_to
from tests.integration.system import PROVIDERS, RealSystem, running_system

SEALED = PROVIDERS[:2]
CARELESS = PROVIDERS[2]
"""Replies to a sealed box without a seal: what it says is on its own topic, and must be nowhere else."""
PASSWORD = re.compile(r"^\s*([0-9A-HJKMNP-TV-Z]{26})\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Planted:
    """What is searched for: a text for each provider, and a price with as many digits as a text has."""

    texts: dict[str, str]
    prices: dict[str, str]


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSystem]:
    """A system whose every byte lies in one folder, and whose database hides nothing by compression."""
    folder: Path = tmp_path_factory.mktemp("at-rest")
    environment = {**os.environ, "LINEPOOL_STACK": "local"}
    with start_stack(folder, environment) as stack:
        async with running_system(stack) as running:
            connection = await asyncpg.connect(stack.admin_dsn)
            await keep_values_plain(connection, schemas(running))
            await connection.close()
            yield running


def schemas(system: RealSystem) -> list[str]:
    return list(system.services.names)


async def search(system: RealSystem, canaries: list[str]) -> Search:
    """Search everything that the system keeps or shows, but for its mails."""
    found = Search(canaries)
    stack = system.stack
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        await connection.execute("CHECKPOINT")
        await search_tables(found, connection, schemas(system))
    finally:
        await connection.close()
    await asyncio.to_thread(found.folder, stack.folder, without=[stack.mail_folder])
    for name in system.services.names:
        if system.services.pid(name):
            found.data(f"metrics of {name}", await asyncio.to_thread(system.metrics, name))
    return found


def passwords_of(system: RealSystem, purchase: Purchase) -> set[str]:
    """Return the initial passwords as their mails tell them: the coordinator's, and those of the buyers' contacts."""
    people = [f"<{purchase.contact(number).email}>" for number in range(1 + purchase.buyers)]
    mails = [file.read_text() for file in system.stack.mail_folder.glob("*.eml")]
    found = {
        read[1]
        for text in mails
        if any(to in text for to in people) and (read := PASSWORD.search(text)) is not None
    }
    assert len(found) == 1 + purchase.buyers
    return found


async def closed(system: RealSystem, purchase: Purchase) -> None:
    """Wait until nothing can be added to the box, while nobody is there to open it."""
    connection = await asyncpg.connect(system.stack.admin_dsn)
    statement = "SELECT stage FROM bidding.boxes WHERE purchase_id = $1"
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval(statement, purchase.purchase_id) != "closed":  # noqa: ASYNC110 # another process closes it
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


def plant() -> Planted:
    random = SystemRandom()
    texts = {provider_id: new_canary() for provider_id in PROVIDERS}
    prices = {
        provider_id: f"{random.randrange(10**5, 10**6)}.{random.randrange(10**5, 10**6)}"
        for provider_id in PROVIDERS
    }
    return Planted(texts, prices)


def a_reply(invitation: RequestPresented, provider_id: str, planted: Planted) -> ReplySubmitted:
    text = planted.texts[provider_id]
    offer = an_offer(f"Tariff {text}", f"We bill as you like. {text}", planted.prices[provider_id])
    if provider_id == CARELESS:
        invitation = invitation.model_copy(update={"seal": "none", "public_key": None})
    return reply_to(invitation, provider_id, offer, 1)


@pytest.mark.timeout(400)
async def test_until_its_box_is_opened_a_sealed_reply_can_be_read_nowhere(system: RealSystem) -> None:
    planted, purchase = plant(), system.purchase()
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=system.soon()))
    await verify(system, purchase, snapshot)
    for provider_id in PROVIDERS:
        invitation = await system.until(RequestPresented, purchase.purchase_id, provider_id=provider_id)
        assert invitation.seal == "hpke"
        await system.word(provider_id, a_reply(invitation, provider_id, planted))
    refused = await system.until(MessageRejected, purchase.purchase_id, provider_id=CARELESS)
    assert refused.reason == "not_sealed"
    await asyncio.to_thread(system.services.stop_one, "opener")
    await system.until(DeadlinePassed, purchase.purchase_id)
    await closed(system, purchase)

    passwords = passwords_of(system, purchase)
    secrets = [one[provider_id] for one in (planted.texts, planted.prices) for provider_id in SEALED]
    before = await search(system, [*secrets, *sorted(passwords)])
    assert before.hits == []
    assert before.opaque == []
    assert before.bytes_searched > 20_000_000
    mails = [file.read_bytes() for file in system.stack.mail_folder.iterdir()]
    assert {sum(password.encode() in mail for mail in mails) for password in passwords} == {1}
    # The search finds what is there: what the careless one said stands on its own topic, and nowhere else.
    careless = await search(system, [planted.texts[CARELESS], planted.prices[CARELESS]])
    assert careless.found == {planted.texts[CARELESS], planted.prices[CARELESS]}
    assert {Path(hit.source.split(" ")[0]).parent.name for hit in careless.hits} == {f"replies.{CARELESS}-0"}

    await asyncio.to_thread(system.services.start, "opener")
    compared = await system.until(RepliesCompared, purchase.purchase_id)
    assert {one.provider_id for one in compared.replies} == set(SEALED)
    after = await search(system, secrets)
    assert after.found == set(secrets)
    places = {hit.source for hit in after.hits}
    assert "opener.openings.content" in places
    assert any("pg_wal" in place for place in places)
