"""Terms with a document: its parts are gathered, checked, and go to the group before the terms do."""

from base64 import b64encode
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from functools import partial
from random import Random

import pytest

from services.bidding.comparing import compare_opened_boxes
from services.bidding.jobs import close_boxes
from services.bidding.lapsing import let_terms_lapse
from shared.documents import join, split
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES
from shared.messages.bidding import MessageRejected, TermsAccepted, TermsDocumentPart, TermsPresented
from shared.messages.providers import TermsPartSent
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, UNLISTED, Purchase
from tests.service.bidding.bidding_talk import (
    all_of,
    answers,
    compare,
    deliver_only,
    one_of,
    reply_of,
    said,
)
from tests.service.conftest import start

CONTENT = Random(4).randbytes(2 * PART_BYTES + 100)  # noqa: S311 # bytes to repeat, no secret
OTHER = b"x" + CONTENT[1:]
DELIVERY = ("inbox", "positions", "sequences", "parked", "outbox", "subjects", "log", "adopted", "timers")


@pytest.fixture
async def purchase(desk: Running, kafka: MemoryKafka) -> Purchase:
    """Its award goes to BRIO, whose terms are awaited."""
    desk.steps.append(let_terms_lapse)
    purchase = Purchase()
    await select(kafka, purchase)
    return purchase


async def select(kafka: MemoryKafka, purchase: Purchase) -> None:
    await compare(kafka, purchase)
    kafka.command(purchase.select(reply_of(kafka, BRIO)), purchase.by_coordinator)
    await kafka.settle()


def told(kafka: MemoryKafka, provider: str = BRIO) -> list[str]:
    """The answers after that to the reply."""
    return answers(kafka, provider)[1:]


def waiting(desk: Running) -> object:
    return desk.pool.fetchval("SELECT count(*) FROM waiting_terms")


def kept_parts(desk: Running) -> object:
    return desk.pool.fetchval("SELECT count(*) FROM terms_parts")


@pytest.mark.parametrize("order", ["parts first", "terms first", "backwards", "twice", "one by one"])
async def test_terms_lie_before_the_group_once_their_document_is_whole(
    desk: Running, kafka: MemoryKafka, purchase: Purchase, order: str
) -> None:
    parts = purchase.terms_parts(CONTENT)
    terms = purchase.terms_with(CONTENT)
    words = {
        "parts first": [*parts, terms],
        "terms first": [terms, *parts],
        "backwards": [parts[2], terms, parts[1], parts[0]],
        "twice": [parts[0], parts[0], terms, parts[1], parts[1], parts[2]],
        "one by one": [parts[1], terms, parts[0], parts[2]],
    }[order]
    for number, word in enumerate(words):
        kafka.from_provider(BRIO, word, id=f"{number}")
        if order == "one by one":
            await kafka.settle()
    await kafka.settle()

    assert told(kafka) == ["received"] * len(words)
    presented = one_of(kafka, TermsPresented)
    assert presented.document == terms.document
    assert presented.terms_sha256 == terms.terms_sha256
    sent = all_of(kafka, TermsDocumentPart, "bidding.comparisons")
    assert [one.part for one in sent] == [1, 2, 3]
    assert join(sent[0].document, [one.data for one in sent]) == CONTENT
    assert {one.terms_sha256 for one in sent} == {terms.terms_sha256}
    assert (await waiting(desk), await kept_parts(desk)) == (0, 0)

    kafka.command(purchase.accepting(terms), purchase.by_coordinator)
    await kafka.settle()
    assert one_of(kafka, TermsAccepted).terms_sha256 == terms.terms_sha256


async def test_terms_wait_for_the_last_part_without_an_answer(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    parts, terms = purchase.terms_parts(CONTENT), purchase.terms_with(CONTENT)
    for word in (terms, *parts[:2]):
        kafka.from_provider(BRIO, word)
    kafka.from_provider(BRIO, purchase.terms("impatient"))
    await kafka.settle()

    assert told(kafka) == ["received", "received", "terms_not_due"]
    assert not all_of(kafka, TermsPresented)
    assert await waiting(desk) == 1

    kafka.from_provider(BRIO, parts[2])
    await kafka.settle()
    assert told(kafka)[3:] == ["received", "received"]
    assert one_of(kafka, TermsPresented).document == terms.document


async def test_terms_that_wait_and_come_again_are_answered_once(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    terms = purchase.terms_with(CONTENT)
    for _ in range(3):
        kafka.from_provider(BRIO, terms, id="terms")
        await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms("another"), id="terms")
    await kafka.settle()
    assert told(kafka) == ["id_reused"]
    assert await waiting(desk) == 1

    for part in purchase.terms_parts(CONTENT):
        kafka.from_provider(BRIO, part)
    await kafka.settle()
    assert told(kafka)[1:] == ["received"] * 4


@pytest.mark.parametrize("terms_come", ["before", "after"])
async def test_a_document_with_another_hash_is_refused_and_can_be_sent_anew(
    desk: Running, kafka: MemoryKafka, purchase: Purchase, terms_come: str
) -> None:
    right, terms = purchase.terms_parts(CONTENT), purchase.terms_with(CONTENT)
    wrong = [right[0].model_copy(update={"data": b64encode(OTHER[:PART_BYTES]).decode()}), *right[1:]]
    if terms_come == "before":
        kafka.from_provider(BRIO, terms)
    for part in wrong:
        kafka.from_provider(BRIO, part)
    await kafka.settle()
    assert told(kafka)[:3] == ["received", "received", "hash_wrong"]
    assert told(kafka)[3:] == (["hash_wrong"] if terms_come == "before" else [])
    assert (await waiting(desk), await kept_parts(desk)) == (0, 0)
    assert not all_of(kafka, TermsDocumentPart, "bidding.comparisons")

    for word in (*right, terms):
        kafka.from_provider(BRIO, word)
    await kafka.settle()
    assert told(kafka)[-4:] == ["received"] * 4
    assert one_of(kafka, TermsPresented).document == terms.document


async def test_nobody_but_the_selected_provider_stores_a_part(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    part = purchase.terms_parts(CONTENT)[0]
    for provider in (AIKO, CORA, UNLISTED):
        kafka.from_provider(provider, part)
    kafka.from_provider(BRIO, purchase.terms_parts(CONTENT, award=2)[0])
    kafka.from_provider(BRIO, Purchase().terms_parts(CONTENT)[0])
    # Answered in the delivery itself, without any job: nothing of it is held.
    await deliver_only(desk, f"replies.{UNLISTED}")
    assert await desk.pool.fetchval("SELECT count(*) FROM held_messages") == 0
    await kafka.settle()

    assert told(kafka, AIKO) == ["not_selected"]
    assert answers(kafka, CORA) == ["not_selected"]
    assert answers(kafka, UNLISTED) == ["unknown_purchase"]
    assert told(kafka) == ["not_selected", "unknown_purchase"]
    assert await kept_parts(desk) == 0


async def test_a_part_behind_a_held_message_is_refused_at_once(desk: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    kafka.from_provider(AIKO, purchase.decline(), at=purchase.in_time)
    for part in purchase.terms_parts(CONTENT):
        kafka.from_provider(AIKO, part)
    await deliver_only(desk, f"replies.{AIKO}")

    assert await desk.pool.fetchval("SELECT count(*) FROM held_messages") == 1
    assert await desk.pool.fetchval("SELECT count(*) FROM provider_messages") == 3


async def test_parts_of_a_fourth_document_are_refused(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    for number in range(5):
        kafka.from_provider(BRIO, purchase.terms_parts(bytes([number]) * (PART_BYTES + 1))[0])
    kafka.from_provider(BRIO, purchase.terms_parts(b"\0" * (PART_BYTES + 1))[0])
    await kafka.settle()

    assert told(kafka) == ["received"] * 3 + ["too_many"] * 2 + ["received"]
    assert await kept_parts(desk) == 3


@pytest.mark.usefixtures("desk")
async def test_what_cannot_be_a_part_is_invalid(kafka: MemoryKafka, purchase: Purchase) -> None:
    first = purchase.terms_parts(CONTENT)[0]
    document = first.document
    for changes in (
        {"data": "AAAA"},
        {"data": "A" * 524_289},
        {"data": first.data[:-1] + "!"},
        {"part": 4},
        {"part": 0},
        {"document": document.model_copy(update={"size": DOCUMENT_BYTES + 1, "parts": 28})},
        {"document": document.model_copy(update={"size": 10**30})},
        {"document": document.model_copy(update={"parts": 2})},
        {"document": document.model_copy(update={"size": 0, "parts": 1})},
        {"document": document.model_copy(update={"media_type": "text/html; evil\r\n"})},
    ):
        kafka.from_provider(BRIO, first.model_copy(update=changes))
    await kafka.settle()

    assert told(kafka) == ["invalid"] * 10


async def test_parts_are_not_taken_while_terms_lie_before_the_group_nor_after(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    kafka.from_provider(BRIO, purchase.terms_parts(OTHER)[0])
    kafka.from_provider(BRIO, purchase.terms())
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms_parts(CONTENT)[0])
    await kafka.settle()
    assert told(kafka) == ["received", "received", "terms_not_due"]

    kafka.command(purchase.accept(), purchase.by_coordinator)
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms_parts(CONTENT)[1])
    await kafka.settle()
    assert told(kafka)[-1] == "terms_not_due"
    assert await kept_parts(desk) == 0


@pytest.mark.usefixtures("desk")
async def test_the_hash_covers_the_manifest(kafka: MemoryKafka, purchase: Purchase) -> None:
    terms = purchase.terms_with(CONTENT)
    for part in purchase.terms_parts(CONTENT):
        kafka.from_provider(BRIO, part)
    kafka.from_provider(BRIO, terms.model_copy(update={"terms_sha256": purchase.terms().terms_sha256}))
    kafka.from_provider(BRIO, terms.model_copy(update={"document": None}))
    await kafka.settle()
    assert told(kafka)[3:] == ["invalid", "invalid"]

    kafka.from_provider(BRIO, terms)
    await kafka.settle()
    assert told(kafka)[5:] == ["received"]


async def test_a_cancelled_purchase_keeps_no_part_and_its_terms_stop_waiting(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    parts = purchase.terms_parts(CONTENT)
    for word in (purchase.terms_with(CONTENT), parts[0]):
        kafka.from_provider(BRIO, word)
    await kafka.settle()
    kafka.event(purchase.cancelled)
    await kafka.settle()
    kafka.from_provider(BRIO, parts[1])
    await kafka.settle()

    assert told(kafka) == ["received", "cancelled", "cancelled"]
    assert (await waiting(desk), await kept_parts(desk)) == (0, 0)


@pytest.fixture
async def impatient(database: str, kafka: MemoryKafka, worker: Executor) -> AsyncIterator[Running]:
    """The service in whose eyes whatever waits has waited too long."""
    async with start("bidding", database, kafka, seal="none", terms_patience_s=0.001) as service:
        service.steps += [close_boxes, partial(compare_opened_boxes, worker=worker), let_terms_lapse]
        yield service


async def test_terms_that_wait_too_long_lapse_with_a_reason(kafka: MemoryKafka, impatient: Running) -> None:
    purchase = Purchase()
    await select(kafka, purchase)
    terms = purchase.terms_with(CONTENT)
    kafka.from_provider(BRIO, terms, id="terms")
    kafka.from_provider(BRIO, purchase.terms_parts(CONTENT)[0])
    await kafka.settle()
    assert told(kafka) == ["received", "document_incomplete"]

    for word in (*purchase.terms_parts(CONTENT)[1:], terms):
        kafka.from_provider(BRIO, word)
    await kafka.settle()
    assert told(kafka)[2:] == ["received"] * 3
    assert one_of(kafka, TermsPresented).document == terms.document
    chained = [one.chain for one in kafka.messages(f"notices.{BRIO}") if isinstance(one, MessageRejected)]
    assert all(chained)
    assert await waiting(impatient) == 0


async def test_the_whole_log_again_changes_nothing(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    for number, word in enumerate([purchase.terms_with(CONTENT), *purchase.terms_parts(CONTENT)]):
        kafka.from_provider(BRIO, word, id=f"{number}")
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms_parts(OTHER)[0], id="next")
    await kafka.settle()
    tables, events = await desk.tables(without=DELIVERY), said(kafka)
    sent = len(kafka.topics["bidding.comparisons"])

    await desk.pool.execute("DELETE FROM inbox")
    await desk.pool.execute("DELETE FROM positions")
    desk.rewind()
    await kafka.settle()

    assert await desk.tables(without=DELIVERY) == tables
    assert said(kafka) == events
    assert len(kafka.topics["bidding.comparisons"]) == sent


def test_the_parts_of_these_tests_are_what_the_kit_sends() -> None:
    part = Purchase().terms_parts(CONTENT)[2]
    assert isinstance(part, TermsPartSent)
    assert [data for _, data in split(part.document, CONTENT)][2] == part.data
