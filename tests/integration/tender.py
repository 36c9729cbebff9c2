"""One sealed purchase on the real stack, watched by the rules of public procurement: what was tried, and what was found when.

Before the deadline everyone tries to look into the box. `test_peppol_rules.py` and `test_eu_annex_iv.py` ask what came of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import orjson
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.helpers import create_ssl_context

from deploy.local.services import SERVICES
from linepool.client.connection import Connection
from linepool.client.journal import Entry
from linepool.receipts.verify import Notice, Verification, verify
from shared.messages import Message
from shared.messages.bidding import (
    MessageRejected,
    QuestionReceived,
    ReceiptIssued,
    RepliesCompared,
    RepliesOpened,
)
from shared.messages.distribution import AnswerPresented, RequestPresented
from shared.messages.providers import QuestionAsked, ReplySubmitted, ReplyWithdrawn
from shared.messages.rfp import AnswerQuestion, DeadlinePassed
from shared.signing import RECEIPTS, SEAL_KEYS, signing_key, verifying_key_b64
from tests.canaries import Search, new_canary, search_tables
from tests.flow.purchase import Purchase, conclude, form, issue
from tests.flow.purchase import verify as qualify
from tests.integration.attempts import OnTopics
from tests.integration.hostile_desk import Answer, an_offer, reply_to
from tests.integration.system import PROVIDERS, UNLISTED, RealSystem

AIKO, BRIO, CORA = PROVIDERS
"""Aiko replies; brio replies, withdraws and replies again; cora sends an offer in the clear first, and a sealed one then."""
LONG_AGO = datetime(1999, 12, 31, 23, 59, tzinfo=UTC)
"""When aiko says that it sent its reply."""
ATTEMPTS_S = 20.0
TOPIC_DENIED = 29
PEOPLE_AND_MONITORS = ("portal", "officer", "operator", "lag-exporter", "keda")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Looked:
    """What everyone found who tried to look into the box, all at about one moment."""

    at: datetime
    readers: frozenset[str]
    """Who was not refused at aiko's topic of replies."""
    found: Search
    """What the records of all topics and the rows of all tables hold of the offers."""
    boxes_opened: int
    """Of this purchase, by the opener."""


@dataclass
class Tender:
    """The purchase, and everything that a test may ask about it."""

    system: RealSystem
    purchase: Purchase
    deadline: datetime
    canaries: dict[str, str]
    """By provider, what its offer says and nothing else does. `careless`: what cora sent in the clear."""
    invitations: dict[str, RequestPresented] = field(default_factory=dict)
    sent: dict[str, UUID] = field(default_factory=dict)
    """Ids of the providers' messages, by what they are."""
    before: Looked | None = None
    after: Looked | None = None

    def entry(self, what: str) -> Entry:
        """Return a provider's message as Kafka has it."""
        return next(one for one in self.system.journal.entries if one.id == self.sent[what])

    def answer(self, what: str) -> Answer:
        """Return the one answer to a provider's message."""
        return self.answer_entry(what)[1]

    def answer_entry(self, what: str) -> tuple[Entry, Answer]:
        """Return the same with its record."""
        [found] = {
            entry.envelope.id: (entry, said)
            for entry in self.system.journal.entries
            if (said := entry.says(ReceiptIssued) or entry.says(MessageRejected)) is not None
            and said.message_id == str(self.sent[what])
        }.values()
        return found

    def receipt(self, what: str) -> ReceiptIssued:
        """Return the receipt of a message that was taken."""
        answer = self.answer(what)
        assert isinstance(answer, ReceiptIssued), answer
        return answer

    def refused(self, what: str) -> str:
        """Return the reason why a message was not taken."""
        answer = self.answer(what)
        assert isinstance(answer, MessageRejected), answer
        return answer.reason

    def one(self, type_: type[M]) -> M:
        """Return the one message of this type about the purchase."""
        return self.system.journal.all_of(type_, self.purchase.purchase_id)[0]

    @property
    def secrets(self) -> list[str]:
        """What the sealed offers say."""
        return [self.canaries[provider_id] for provider_id in PROVIDERS]

    @property
    def key(self) -> str:
        """The key with which providers check receipts, as their bundles name it."""
        return verifying_key_b64(signing_key(self._secret("bidding"), RECEIPTS))

    @property
    def seal_key(self) -> str:
        """The key with which providers check the keys of boxes."""
        return verifying_key_b64(signing_key(self._secret("opener"), SEAL_KEYS))

    def _secret(self, name: str) -> bytes:
        return bytes.fromhex(self.system.stack.secrets[name])

    def notices(self, provider_id: str) -> list[Notice]:
        """Return all that a provider was told, as a verifier reads it."""
        return [
            (entry.envelope.type or "", orjson.loads(entry.body or b"{}"))
            for entry in self.system.journal.entries
            if entry.topic == f"notices.{provider_id}"
        ]

    def verified(
        self,
        provider_id: str,
        what: str,
        *,
        change: Callable[[dict[str, Any]], None] = lambda _: None,
        key: str | None = None,
    ) -> Verification:
        """Verify a provider's receipt offline; `change` edits that answer wherever it stands."""
        notices = self.notices(provider_id)
        id_ = str(self.sent[what])
        [receipt] = {
            orjson.dumps(body): body for _, body in notices if body.get("message_id") == id_
        }.values()
        for _, body in notices:
            if body.get("message_id") == id_:
                change(body)
        change(receipt)
        return verify(provider_id, notices, key or self.key, receipt)


async def hold_tender(system: RealSystem) -> Tender:
    """Run the purchase from its group to accepted terms, with all that is tried on the way."""
    purchase = system.purchase()
    await form(system, purchase)
    deadline = datetime.now(UTC) + timedelta(seconds=system.soon(faults=ATTEMPTS_S))
    canaries = {who: new_canary() for who in (*PROVIDERS, "careless")}
    tender = Tender(system, purchase, deadline, canaries)
    await qualify(system, purchase, await issue(system, purchase, deadline))
    for provider_id in PROVIDERS:
        tender.invitations[provider_id] = await system.until(
            RequestPresented, purchase.purchase_id, provider_id=provider_id
        )
    await _ask_and_answer(tender)
    await _reply(tender)
    tender.before = await look(tender)
    await system.until(DeadlinePassed, purchase.purchase_id)
    await _say(tender, BRIO, "late withdrawal", _withdrawal(tender, tender.receipt("second reply").reply_id))
    await system.until(RepliesOpened, purchase.purchase_id)
    await system.until(RepliesCompared, purchase.purchase_id)
    tender.after = await look(tender)
    await conclude(system, purchase)
    await system.rest()
    await system.journal.catch_up()
    return tender


async def _ask_and_answer(tender: Tender) -> None:
    system, about = tender.system, tender.purchase.purchase_id
    await system.word(CORA, QuestionAsked(purchase_id=about, request_version=1, question="How many lines?"))
    asked = await system.until(QuestionReceived, about)
    answering = AnswerQuestion(purchase_id=about, question_id=asked.question_id, answer="Four.")
    await system.order(answering, tender.purchase.coordinator)
    for provider_id in PROVIDERS:
        await system.until(AnswerPresented, about, provider_id=provider_id)


async def _reply(tender: Tender) -> None:
    await _say(tender, AIKO, "reply", sealed(tender, AIKO, 1, "0.11"), at=LONG_AGO)
    await _say(tender, BRIO, "first reply", sealed(tender, BRIO, 1, "0.13"))
    await _say(tender, BRIO, "withdrawal without receipt", _withdrawal(tender, uuid4()))
    await _say(tender, BRIO, "withdrawal", _withdrawal(tender, tender.receipt("first reply").reply_id))
    await _say(tender, BRIO, "second reply", sealed(tender, BRIO, 2, "0.12"))
    careless = tender.invitations[CORA].model_copy(update={"seal": "none", "public_key": None})
    offer = an_offer(f"Tariff {tender.canaries['careless']}")
    await _say(tender, CORA, "careless reply", reply_to(careless, CORA, offer, 1))
    await _say(tender, CORA, "sealed reply", sealed(tender, CORA, 2, "0.14"))


def sealed(tender: Tender, provider_id: str, revision: int, price: str) -> ReplySubmitted:
    """Return a provider's sealed reply; its offer holds the provider's canary."""
    offer = an_offer(f"Tariff {tender.canaries[provider_id]}", price=price)
    return reply_to(tender.invitations[provider_id], provider_id, offer, revision)


def _withdrawal(tender: Tender, reply_id: UUID | None) -> ReplyWithdrawn:
    assert reply_id is not None
    return ReplyWithdrawn(purchase_id=tender.purchase.purchase_id, request_version=1, reply_id=reply_id)


async def _say(
    tender: Tender, provider_id: str, what: str, message: Message, *, at: datetime | None = None
) -> None:
    """Say something as a provider, and wait for the answer; `at` is when it claims to have sent it."""
    id_ = tender.sent[what] = uuid4()
    headers = [("ce_id", str(id_).encode()), ("ce_type", message.type().encode())]
    claimed = None if at is None else int(at.timestamp() * 1000)
    if at is not None:
        headers.append(("ce_time", at.isoformat().encode()))
    topic = f"{tender.system.stack.prefix}replies.{provider_id}"
    producer = tender.system.producers[provider_id]
    await producer.send_and_wait(topic, message.to_bytes(), headers=headers, timestamp_ms=claimed)

    def answered(entry: Entry) -> Message | None:
        said = entry.says(ReceiptIssued) or entry.says(MessageRejected)
        return said if said is not None and said.message_id == str(id_) else None

    await tender.system.journal.wait_for(answered, within=60, what=f"the answer to the {what}")


async def look(tender: Tender) -> Looked:
    """Have everyone try to read aiko's reply, and search all that is stored for what the offers say."""
    system, stack = tender.system, tender.system.stack
    names = (*SERVICES, *PEOPLE_AND_MONITORS)
    logins = {who: stack.login(who) for who in names}
    ways = {
        who: Connection(stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix)
        for who, login in logins.items()
    } | {who: system.connections[who] for who in (BRIO, CORA, UNLISTED)}
    tried = await asyncio.gather(*(reads(way, f"replies.{AIKO}") for way in ways.values()))
    await system.journal.catch_up()
    found = Search([*tender.canaries.values()])
    for entry in system.journal.entries:
        found.data(f"topic {entry.topic}", entry.body or b"")
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        await search_tables(found, connection, system.services.names)
        opened = await connection.fetchval(
            "SELECT count(*) FROM opener.opened_boxes WHERE purchase_id = $1", tender.purchase.purchase_id
        )
    finally:
        await connection.close()
    readers = frozenset(who for who, is_reader in zip(ways, tried, strict=True) if is_reader)
    return Looked(datetime.now(UTC), readers, found, opened)


async def reads(way: Connection, topic: str) -> bool:
    """Tell whether a login is given the records of a topic. Whoever is not must be refused, not merely get nothing."""
    async with connected(way) as connection:
        [code] = (await OnTopics(connection, [way.topic(topic)]).fetch()).values()
    assert code in {0, TOPIC_DENIED}, code
    return code == 0


@asynccontextmanager
async def connected(way: Connection) -> AsyncIterator[AIOKafkaConnection]:
    """Open one connection to the broker with somebody's login, for requests made by hand."""
    host, _, port = way.bootstrap_servers.rpartition(":")
    connection = await create_conn(
        host,
        int(port),
        ssl_context=create_ssl_context(cafile=str(way.ca_file)),
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=way.username,
        sasl_plain_password=way.password,
        request_timeout_ms=20_000,
    )
    try:
        yield connection
    finally:
        closing = connection.close()
        if closing is not None:
            await closing


async def is_denied(dsn: str, statement: str, *values: object) -> bool:
    """Tell whether Postgres refuses a statement to a role for want of a right."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *values)
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await connection.close()
    return False


async def all_denied(attempts: Iterable[Awaitable[bool]]) -> bool:
    """Tell whether every one of some statements was refused."""
    return all([await one for one in attempts])
