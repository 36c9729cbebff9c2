"""Before its box is opened a sealed reply can be read nowhere, and the initial password stands in its one mail only (I5, I6).

Every byte of Kafka's and Postgres's folders, of logs, tables and metrics is searched for canaries that were planted.
"""

import asyncio
import http.client
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
            found.data(f"metrics of {name}", await asyncio.to_thread(metrics, system.services.port(name)))
    return found


def metrics(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read()
    finally:
        connection.close()


def password_of(system: RealSystem, purchase: Purchase) -> str:
    """Return the initial password as its mail tells it."""
    address = purchase.contact(0).email
    mails = [file.read_text() for file in system.stack.mail_folder.glob("*.eml")]
    [password] = {
        found[1] for text in mails if address in text and (found := PASSWORD.search(text)) is not None
    }
    return password


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

    password = password_of(system, purchase)
    secrets = [one[provider_id] for one in (planted.texts, planted.prices) for provider_id in SEALED]
    before = await search(system, [*secrets, password])
    assert before.hits == []
    assert before.opaque == []
    assert before.bytes_searched > 20_000_000
    with_password = [
        file.name for file in system.stack.mail_folder.iterdir() if password.encode() in file.read_bytes()
    ]
    assert len(with_password) == 1
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
