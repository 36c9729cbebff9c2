"""Impersonation on the real broker: what a provider sends in another's name is refused or found at the opening, and recorded.

Who said something is the topic, which only its provider can write. So all that is left is to put another's words, names or
bytes on the own topic. Each try is here; in the end the others' replies are evaluated as if there had been none.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from linepool.client.journal import Entry
from linepool.receipts.verify import verify
from shared.envelope import Headers
from shared.messages.bidding import (
    MessageRejected,
    ReceiptIssued,
    RepliesCompared,
    RepliesOpened,
    ReplyDisqualified,
)
from shared.messages.distribution import RequestPresented
from shared.messages.providers import ReplySubmitted, ReplyWithdrawn
from shared.signing import RECEIPTS, signing_key, verifying_key_b64
from tests.flow.purchase import Purchase, cancelling, form, issue
from tests.flow.purchase import verify as qualify
from tests.integration.hostile_desk import Answer, an_offer, reply_to
from tests.integration.system import PROVIDERS, RealSystem

AIKO, BRIO, _ = PROVIDERS
MALLORY = "mallorymallo"
ATTEMPTS_S = 15.0


@dataclass
class Scene:
    """A purchase with mallory on its list, one that it was never offered, and what it tried."""

    system: RealSystem
    purchase: Purchase
    foreign: Purchase
    """Presented to aiko and brio, not to mallory."""
    sent: dict[str, UUID] = field(default_factory=dict)

    async def says(
        self,
        what: str,
        body: bytes,
        *,
        by: str = MALLORY,
        type_: str = ReplySubmitted.type(),
        id_: UUID | None = None,
        headers: Headers = (),
    ) -> Answer:
        """Send bytes on a provider's own topic; return the new answer to them."""
        known = len(self.answers(by))
        message_id = self.sent[what] = id_ or uuid4()
        own = [("ce_id", str(message_id).encode()), ("ce_type", type_.encode())]
        await self.system.send(by, f"replies.{by}", body, headers=[*own, *headers])
        answers = self.answers
        await self.system.journal.wait_until(
            lambda: len(answers(by)) > known, within=60, what=f"the answer to: {what}"
        )
        [answer] = answers(by)[known:]
        assert answer.sha256 == sha256(body).hexdigest()
        return answer

    def answers(self, by: str) -> list[Answer]:
        """Return all answers to a provider, in their order."""
        said = (
            entry.says(ReceiptIssued) or entry.says(MessageRejected)
            for entry in self.system.journal.entries
            if entry.topic == f"notices.{by}"
        )
        return [one for one in said if one is not None]

    async def invitation(self, provider_id: str, purchase: Purchase | None = None) -> RequestPresented:
        about = (purchase or self.purchase).purchase_id
        return await self.system.until(RequestPresented, about, provider_id=provider_id)


@pytest.fixture(scope="module")
async def scene(system: RealSystem) -> Scene:
    """Let mallory try everything before the deadline, and wait until the box was opened."""
    await system.connect(MALLORY)
    scene = Scene(system, Purchase((AIKO, BRIO, MALLORY)), Purchase((AIKO, BRIO)))
    for purchase in (scene.foreign, scene.purchase):
        await form(system, purchase)
        ahead = 3600.0 if purchase is scene.foreign else system.soon(faults=ATTEMPTS_S)
        await qualify(
            system, purchase, await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=ahead))
        )
    return scene


@pytest.fixture(scope="module")
async def honest(scene: Scene) -> dict[str, tuple[ReplySubmitted, ReceiptIssued]]:
    """What aiko and brio said themselves, with their receipts."""
    found = {}
    for number, provider_id in enumerate((AIKO, BRIO)):
        reply = reply_to(await scene.invitation(provider_id), provider_id, an_offer(price=f"0.1{number}"), 1)
        answer = await scene.says(f"{provider_id}'s reply", reply.to_bytes(), by=provider_id)
        assert isinstance(answer, ReceiptIssued)
        found[provider_id] = reply, answer
    return found


Honest = dict[str, tuple[ReplySubmitted, ReceiptIssued]]


def own(invitation: RequestPresented, revision: int, price: str = "0.20") -> ReplySubmitted:
    return reply_to(invitation, MALLORY, an_offer(price=price), revision)


async def rejected(scene: Scene, answer: Answer, reason: str) -> None:
    """Check that a message was refused for this reason, and that bidding has written it down."""
    assert isinstance(answer, MessageRejected), answer
    assert answer.reason == reason
    connection = await asyncpg.connect(scene.system.stack.admin_dsn)
    try:
        kept = await connection.fetch(
            "SELECT outcome, reason, appended_at FROM bidding.provider_messages "
            "WHERE provider_id = $1 AND message_id = $2 AND sha256 = $3",
            MALLORY,
            answer.message_id,
            answer.sha256,
        )
    finally:
        await connection.close()
    assert [tuple(row) for row in kept] == [("rejected", reason, answer.appended_at)]


async def standing(scene: Scene) -> UUID | None:
    """Return mallory's reply that stands in the box now."""
    connection = await asyncpg.connect(scene.system.stack.admin_dsn)
    try:
        found: UUID | None = await connection.fetchval(
            "SELECT reply_id FROM bidding.standing_replies WHERE purchase_id = $1 AND provider_id = $2",
            scene.purchase.purchase_id,
            MALLORY,
        )
    finally:
        await connection.close()
    return found


async def test_nobody_writes_on_anothers_topic(scene: Scene, honest: Honest) -> None:
    reply, _ = honest[AIKO]
    topic = f"{scene.system.stack.prefix}replies.{AIKO}"
    with pytest.raises(TopicAuthorizationFailedError):
        await scene.system.producers[MALLORY].send_and_wait(topic, reply.to_bytes())
    await scene.system.renew(MALLORY)


async def test_anothers_id_in_the_payload_is_refused(scene: Scene) -> None:
    body = orjson.loads(own(await scene.invitation(MALLORY), 1).to_bytes()) | {"provider_id": AIKO}
    await rejected(scene, await scene.says("another's id", orjson.dumps(body)), "invalid")


async def test_headers_that_name_another_change_nothing(scene: Scene) -> None:
    """What a sender says of itself is not believed, and does not travel on: not on the answer, and not into the log."""
    reply = own(await scene.invitation(MALLORY), 2)
    forged = {
        "ce_source": f"/linepool/providers/{AIKO}",
        "ce_subject": str(scene.foreign.purchase_id),
        "ce_actor": orjson.dumps({"person_id": scene.purchase.person(0), "role": "officer"}).decode(),
        "ce_actorid": str(scene.purchase.person(0)),
        "ce_correlationid": str(uuid4()),
        "ce_causationid": str(uuid4()),
        "ce_decisionid": str(uuid4()),
        "ce_loghead": "00" * 32,
        "ce_sequence": "1",
        "reply_to": f"{scene.system.stack.prefix}rfp.commands",
    }
    headers = [(name, value.encode()) for name, value in forged.items()]
    answer = await scene.says("forged headers", reply.to_bytes(), headers=headers)
    assert isinstance(answer, ReceiptIssued)
    [entry] = _about(scene, f"notices.{MALLORY}", answer)
    said = {name: (value or b"").decode() for name, value in entry.headers}
    assert said["ce_source"] == "/linepool/bidding"
    assert said["ce_subject"] == str(scene.purchase.purchase_id)
    for name in ("ce_actor", "ce_actorid", "ce_causationid", "ce_decisionid", "ce_loghead"):
        assert said.get(name) != forged[name], name
    assert not [one for one in scene.answers(AIKO) if one.message_id == str(scene.sent["forged headers"])]


async def test_anothers_message_that_is_replayed_is_refused_or_does_not_open(
    scene: Scene, honest: Honest
) -> None:
    """Byte for byte, id and all: on the own topic it is an own message, which no key opens (see the last test)."""
    reply, receipt = honest[AIKO]
    answer = await scene.says("another's record", reply.to_bytes(), id_=UUID(receipt.message_id))
    # Mallory's revision 2 stands already, so revision 1 is nothing new.
    await rejected(scene, answer, "revision_used")
    copied = reply.model_copy(update={"revision": 3})
    assert isinstance(await scene.says("another's ciphertext", copied.to_bytes()), ReceiptIssued)
    # Aiko's own id was not used up by that: the same record again has the same receipt.
    again = await scene.says("aiko again", reply.to_bytes(), by=AIKO, id_=UUID(receipt.message_id))
    assert again == receipt


async def test_an_own_reply_that_is_replayed_says_nothing_new(scene: Scene) -> None:
    invitation = await scene.invitation(MALLORY)
    first = own(invitation, 4)
    answer = await scene.says("own", first.to_bytes())
    assert isinstance(answer, ReceiptIssued)
    newer = await scene.says("own newer", own(invitation, 5).to_bytes())
    assert isinstance(newer, ReceiptIssued)
    id_ = scene.sent["own"]
    assert await scene.says("own", first.to_bytes(), id_=id_) == answer
    # Under a new id it is still that reply, and the newer one stands.
    anew = await scene.says("own under a new id", first.to_bytes())
    assert isinstance(anew, ReceiptIssued)
    assert anew.reply_id == answer.reply_id
    assert await standing(scene) == newer.reply_id
    await rejected(scene, await scene.says("own", own(invitation, 6).to_bytes(), id_=id_), "id_reused")


async def test_a_reply_to_a_purchase_that_was_never_presented_is_as_one_to_none(scene: Scene) -> None:
    presented = await scene.invitation(AIKO, scene.foreign)
    foreign = await scene.says("foreign purchase", own(presented, 1).to_bytes())
    nowhere = presented.model_copy(update={"purchase_id": uuid4()})
    missing = await scene.says("no purchase", own(nowhere, 1).to_bytes())
    for answer in (foreign, missing):
        await rejected(scene, answer, "unknown_purchase")
    assert isinstance(foreign, MessageRejected)
    assert isinstance(missing, MessageRejected)
    assert foreign.detail == missing.detail


async def test_a_withdrawal_by_anothers_receipt_or_a_made_up_one_is_refused(
    scene: Scene, honest: Honest
) -> None:
    _, receipt = honest[AIKO]
    assert receipt.reply_id
    for what, reply_id in (("another's", receipt.reply_id), ("made up", uuid4())):
        withdrawing = ReplyWithdrawn(
            purchase_id=scene.purchase.purchase_id, request_version=1, reply_id=reply_id
        )
        answer = await scene.says(f"{what} receipt", withdrawing.to_bytes(), type_=ReplyWithdrawn.type())
        await rejected(scene, answer, "no_such_reply")


@pytest.mark.timeout(300)
async def test_in_the_end_what_is_anothers_does_not_open_and_harms_nobody(
    scene: Scene, honest: Honest
) -> None:
    """Another's ciphertext is the last that mallory says, so it is what stands for it when the box is opened."""
    system, about = scene.system, scene.purchase.purchase_id
    reply, _ = honest[BRIO]
    copied = reply.model_copy(update={"revision": 9})
    last = await scene.says("another's ciphertext again", copied.to_bytes())
    assert isinstance(last, ReceiptIssued)
    opened = await system.until(RepliesOpened, about)
    compared = await system.until(RepliesCompared, about)
    outcome = {one.provider_id: one.standing for one in opened.replies if one.standing != "replaced"}
    assert outcome == {AIKO: "evaluated", BRIO: "evaluated", MALLORY: "invalid"}
    assert [one.provider_id for one in compared.replies] == [AIKO, BRIO]
    told = await system.until(ReplyDisqualified, about, provider_id=MALLORY)
    [why] = [one.reason for one in opened.replies if one.reply_id == last.reply_id]
    assert told.reply_id == last.reply_id
    assert told.reason == why
    for other in (AIKO, BRIO):
        assert not [
            entry
            for entry in system.journal.entries
            if entry.topic == f"notices.{other}" and entry.says(ReplyDisqualified, about)
        ]

    # All that mallory was told, the refusals too, stands in its own chain.
    await system.journal.catch_up()
    key = verifying_key_b64(signing_key(bytes.fromhex(system.stack.secrets["bidding"]), RECEIPTS))
    notices = [
        (entry.envelope.type or "", orjson.loads(entry.body or b"{}"))
        for entry in system.journal.entries
        if entry.topic == f"notices.{MALLORY}"
    ]
    verified = verify(MALLORY, notices, key)
    assert verified.ok
    assert verified.answers == len({(one.message_id, one.sha256) for one in scene.answers(MALLORY)})
    await system.order(cancelling(scene.foreign), scene.foreign.coordinator)
    await system.rest()


def _about(scene: Scene, topic: str, answer: Answer) -> list[Entry]:
    body = answer.to_bytes()
    return [one for one in scene.system.journal.entries if one.topic == topic and one.body == body]
