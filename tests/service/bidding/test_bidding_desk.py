from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from services.bidding.domain.rejections import QUESTIONS
from shared.envelope import read_headers
from shared.messages.bidding import (
    AccessRequestReceived,
    QuestionReceived,
    ReceiptIssued,
    RepliesCompared,
    RepliesOpened,
)
from shared.messages.providers import ProviderMessage
from tests.memory import MemoryKafka, Running, as_role
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, UNLISTED, Purchase
from tests.service.bidding.bidding_talk import all_of, announce, answers, ids_on, one_of

pytestmark = pytest.mark.usefixtures("desk")


def receipted_reply(kafka: MemoryKafka, provider: str) -> Any:
    receipts = all_of(kafka, ReceiptIssued, f"notices.{provider}")
    return next(one.reply_id for one in reversed(receipts) if one.reply_id)


async def test_br53_a_withdrawn_reply_is_not_compared_and_a_higher_revision_may_follow(
    kafka: MemoryKafka,
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    for provider in (AIKO, BRIO, CORA):
        kafka.from_provider(provider, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    for provider in (AIKO, BRIO):
        reply_id = receipted_reply(kafka, provider)
        kafka.from_provider(provider, purchase.withdraw(reply_id), id="w", at=purchase.in_time)
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.reply(revision=2), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    found = {(one.provider_id, one.revision): one.standing for one in one_of(kafka, RepliesOpened).replies}
    assert found == {
        (AIKO, 1): "withdrawn",
        (BRIO, 1): "withdrawn",
        (BRIO, 2): "evaluated",
        (CORA, 1): "evaluated",
    }
    assert {one.provider_id for one in one_of(kafka, RepliesCompared).replies} == {BRIO, CORA}


async def test_br53_a_withdrawal_cites_the_reply_that_stands_and_comes_before_the_deadline(
    kafka: MemoryKafka,
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    first, foreign = receipted_reply(kafka, AIKO), receipted_reply(kafka, BRIO)
    kafka.from_provider(AIKO, purchase.reply(revision=2), at=purchase.in_time)
    await kafka.settle()
    second = receipted_reply(kafka, AIKO)
    for number, (reply_id, at) in enumerate(
        [
            (first, purchase.in_time),
            (foreign, purchase.in_time),
            (second, purchase.deadline),
            (second, purchase.in_time),
            (second, purchase.in_time),
            (first, purchase.in_time),
        ]
    ):
        kafka.from_provider(AIKO, purchase.withdraw(reply_id), id=f"w{number}", at=at)
    await kafka.settle()

    assert answers(kafka, AIKO)[2:] == [
        "no_such_reply",
        "no_such_reply",
        "late",
        "received",
        "no_such_reply",
        "no_such_reply",
    ]


async def test_the_same_withdrawal_again_gets_the_same_receipt(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    withdrawal = purchase.withdraw(receipted_reply(kafka, AIKO))
    for _ in range(2):
        kafka.from_provider(AIKO, withdrawal, id="w", at=purchase.in_time)
        await kafka.settle()

    assert answers(kafka, AIKO) == ["received"] * 3
    assert len(set(ids_on(kafka, f"notices.{AIKO}")[1:3])) == 1


async def test_acknowledgements_are_told_once_the_box_is_open_the_first_of_each_version(
    kafka: MemoryKafka,
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.acknowledge(), at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.acknowledge(content_sha256="b" * 64), at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.acknowledge(version=2), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.acknowledge(), at=purchase.deadline)
    before = len(kafka.topics["bidding.events"])
    await kafka.settle()
    assert len(kafka.topics["bidding.events"]) == before
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert answers(kafka, AIKO) == ["received", "received", "invalid"]
    assert answers(kafka, BRIO) == ["late"]
    (told,) = one_of(kafka, RepliesOpened).acknowledged
    assert (told.provider_id, told.content_sha256) == (AIKO, "a" * 64)
    assert told.acknowledged_at == purchase.in_time


async def test_a_question_goes_on_without_its_asker_and_there_are_not_too_many(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    await kafka.settle()
    for number in range(QUESTIONS + 2):
        kafka.from_provider(AIKO, purchase.ask(f"{number}?"), id=f"q{number}", at=purchase.in_time)
        if number == 3:
            await kafka.settle()
    kafka.from_provider(BRIO, purchase.ask("B?"), at=purchase.in_time)
    kafka.from_provider(UNLISTED, purchase.ask("U?"), at=purchase.in_time)
    kafka.from_provider(CORA, purchase.ask("C?"), at=purchase.deadline)
    await kafka.settle()

    asked = all_of(kafka, QuestionReceived)
    assert answers(kafka, AIKO) == ["received"] * QUESTIONS + ["too_many"] * 2
    assert (answers(kafka, BRIO), answers(kafka, CORA)) == (["received"], ["late"])
    assert answers(kafka, UNLISTED) == ["unknown_purchase"]
    assert len(asked) == len({one.question_id for one in asked}) == QUESTIONS + 1
    # In a batch, ids that derive from a secret say the order.
    batch = [one.question_id for one in asked if one.question[:-1] not in {"0", "1", "2", "3", "B"}]
    assert batch == sorted(batch)
    for record in kafka.topics["bidding.events"]:
        if read_headers(record.headers).type == QuestionReceived.type():
            assert AIKO.encode() not in (record.value or b"") + repr(record.headers).encode()


@pytest.mark.parametrize("who", [AIKO, UNLISTED])
@pytest.mark.parametrize("known", [True, False])
async def test_whoever_asks_for_access_gets_a_receipt_and_distribution_decides(
    kafka: MemoryKafka, who: str, known: bool
) -> None:
    purchase = Purchase()
    if known:
        announce(kafka, purchase)
        await kafka.settle()
    for _ in range(2):
        kafka.from_provider(who, purchase.ask_access(), id="a1")
        await kafka.settle()

    assert answers(kafka, who) == ["received", "received"]
    asked = one_of(kafka, AccessRequestReceived)
    assert (asked.provider_id, asked.message_id, asked.purchase_id) == (who, "a1", purchase.purchase_id)


WORDS: dict[str, Callable[[Purchase], ProviderMessage]] = {
    "acknowledgement": lambda purchase: purchase.acknowledge(),
    "question": lambda purchase: purchase.ask(),
    "withdrawal": lambda purchase: purchase.withdraw(purchase.purchase_id),
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
async def test_once_a_purchase_is_called_off_nothing_is_taken(
    kafka: MemoryKafka, word: Callable[[Purchase], ProviderMessage]
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.cancelled)
    await kafka.settle()
    kafka.from_provider(AIKO, word(purchase), at=purchase.in_time)
    await kafka.settle()

    assert answers(kafka, AIKO) == ["cancelled"]


FORBIDDEN = {
    "opener": [
        "UPDATE bidding.boxes SET closed_at = now()",
        "INSERT INTO bidding.declines SELECT",
        "SELECT body FROM bidding.held_messages",
        "SELECT * FROM bidding.parked",
        "SELECT * FROM bidding.replies",
        "SELECT * FROM bidding.provider_messages",
        "DELETE FROM opener.openings",
        "UPDATE opener.keys SET public_key = ''",
        "TRUNCATE opener.openings, opener.opened_boxes",
    ],
    "bidding": [
        "INSERT INTO opener.opened_boxes SELECT",
        "INSERT INTO opener.keys SELECT",
        "UPDATE opener.openings SET failure = 'x'",
        "DELETE FROM opener.opened_boxes",
    ],
    **{
        role: ["SELECT * FROM opener.openings", "SELECT * FROM bidding.replies"]
        for role in ("aggregation", "rfp", "distribution", "notification")
    },
}


@pytest.mark.parametrize(
    ("role", "statement"), [(role, one) for role, statements in FORBIDDEN.items() for one in statements]
)
@pytest.mark.usefixtures("sealing")
async def test_no_role_reads_or_writes_what_is_not_its_own(database: str, role: str, statement: str) -> None:
    connection: Any = await asyncpg.connect(as_role(database, role))
    try:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_bidding_reads_what_the_opener_says(sealing: Running, database: str) -> None:
    connection: Any = await asyncpg.connect(as_role(database, "bidding"))
    try:
        for table in ("keys", "opened_boxes", "openings"):
            assert await connection.fetch(f"SELECT * FROM opener.{table}") == []
    finally:
        await connection.close()
    assert await sealing.pool.fetchval("SELECT count(*) FROM boxes") == 0
