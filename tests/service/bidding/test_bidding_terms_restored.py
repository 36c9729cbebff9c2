"""Terms with a document, and a database that is put back to an older copy in their middle: nothing is lost, nothing doubled."""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from functools import partial
from random import Random
from time import monotonic

import pytest

from services.bidding.comparing import compare_opened_boxes
from services.bidding.jobs import close_boxes
from services.bidding.lapsing import let_terms_lapse
from shared.documents import join
from shared.messages import Message
from shared.messages.base import PART_BYTES
from shared.messages.bidding import TermsAccepted, TermsDocumentPart, TermsPresented
from shared.messages.providers import ProviderMessage
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import BRIO, Purchase
from tests.service.bidding.bidding_talk import (
    all_of,
    answers,
    compare,
    deliver_only,
    one_of,
    reply_of,
)
from tests.service.conftest import start
from tests.service.rebuilding import Copy

CONTENT = Random(5).randbytes(2 * PART_BYTES + 7)  # noqa: S311 # bytes to repeat, no secret
PATIENCE_S = 20.0
DELIVERY = ("inbox", "positions", "sequences", "adopted", "timers")
SPOKEN = ("bidding.events", "bidding.comparisons", f"notices.{BRIO}")


@pytest.fixture
async def purchase(desk: Running, kafka: MemoryKafka) -> Purchase:
    """Its replies are compared; nothing is selected yet."""
    desk.steps.append(let_terms_lapse)
    purchase = Purchase()
    await compare(kafka, purchase)
    return purchase


async def select(kafka: MemoryKafka, purchase: Purchase) -> None:
    kafka.command(purchase.select(reply_of(kafka, BRIO)), purchase.by_coordinator)
    await kafka.settle()


async def hear(kafka: MemoryKafka, words: Sequence[ProviderMessage]) -> None:
    for number, word in enumerate(words):
        kafka.from_provider(BRIO, word, id=f"{len(kafka.topics[f'replies.{BRIO}'])} {number}")
        await kafka.settle()


def spoken(kafka: MemoryKafka) -> dict[str, list[Message]]:
    return {topic: kafka.messages(topic) for topic in SPOKEN}


async def restored_is_as_before(desk: Running, kafka: MemoryKafka, copy: Copy) -> None:
    """Put the copy back, let the service catch up, and see the same tables, and not one record more on any topic."""
    tables, words = await desk.tables(without=DELIVERY), spoken(kafka)
    lengths = {topic: len(records) for topic, records in kafka.topics.items()}
    await copy.restore(desk)
    await kafka.settle()
    deadline = monotonic() + PATIENCE_S
    while await desk.pool.fetchval("SELECT count(*) FROM parked") and monotonic() < deadline:
        await kafka.settle()
    assert spoken(kafka) == words
    assert {topic: len(records) for topic, records in kafka.topics.items()} == lengths
    assert differing(await desk.tables(without=DELIVERY), tables) == []


def differing(now: dict[str, list[str]], before: dict[str, list[str]]) -> list[str]:
    # Terms that wait begin to wait anew: nothing was said from which their time could be known.
    waiting = "waiting_terms"
    assert len(now[waiting]) == len(before[waiting])
    return [name for name in before if name != waiting and now[name] != before[name]]


def in_order(purchase: Purchase, order: str) -> list[ProviderMessage]:
    first, second, third = purchase.terms_parts(CONTENT)
    terms = purchase.terms_with(CONTENT)
    wrong = first.model_copy(update={"data": b64encode(bytes(PART_BYTES)).decode()})
    return {
        "parts first": [first, second, third, terms],
        "terms first": [terms, first, second, third],
        "terms between": [third, terms, first, first, second],
        "another hash at first": [terms, wrong, second, third, first, second, third, terms],
    }[order]


@pytest.mark.parametrize("order", ["parts first", "terms first", "terms between", "another hash at first"])
async def test_a_database_from_any_moment_of_terms_comes_to_the_same_end(
    desk: Running, kafka: MemoryKafka, purchase: Purchase, order: str
) -> None:
    words = in_order(purchase, order)
    copies = [await Copy.of(desk)]
    await select(kafka, purchase)
    for word in words:
        copies.append(await Copy.of(desk))
        await hear(kafka, [word])
    copies.append(await Copy.of(desk))
    terms = purchase.terms_with(CONTENT)
    kafka.command(purchase.accepting(terms), purchase.by_coordinator)
    await kafka.settle()
    assert one_of(kafka, TermsAccepted).terms_sha256 == terms.terms_sha256

    for copy in copies:
        await restored_is_as_before(desk, kafka, copy)

    sent = all_of(kafka, TermsDocumentPart, "bidding.comparisons")
    assert join(sent[0].document, [one.data for one in sent]) == CONTENT
    assert len(all_of(kafka, TermsPresented)) == 1


@pytest.mark.parametrize("order", ["parts first", "terms first", "terms between"])
async def test_terms_go_on_in_their_middle_on_a_database_that_is_older_still(
    desk: Running, kafka: MemoryKafka, purchase: Purchase, order: str
) -> None:
    words = in_order(purchase, order)
    before = await Copy.of(desk)
    await select(kafka, purchase)
    for heard in range(len(words)):
        await restored_is_as_before(desk, kafka, before)
        assert not all_of(kafka, TermsPresented)
        await hear(kafka, [words[heard]])

    await restored_is_as_before(desk, kafka, before)
    assert answers(kafka, BRIO)[1:] == ["received"] * len(words)
    sent = all_of(kafka, TermsDocumentPart, "bidding.comparisons")
    assert join(sent[0].document, [one.data for one in sent]) == CONTENT
    assert one_of(kafka, TermsPresented).document == purchase.terms_with(CONTENT).document


async def test_a_cancelled_purchase_is_cancelled_again_whatever_of_its_terms_was_here(
    desk: Running, kafka: MemoryKafka, purchase: Purchase
) -> None:
    terms, first, second, _ = in_order(purchase, "terms first")
    copies = [await Copy.of(desk)]
    await select(kafka, purchase)
    for word in (terms, first):
        copies.append(await Copy.of(desk))
        await hear(kafka, [word])
    copies.append(await Copy.of(desk))
    kafka.event(purchase.cancelled)
    await kafka.settle()
    await hear(kafka, [second])
    assert answers(kafka, BRIO)[1:] == ["received", "cancelled", "cancelled"]

    for copy in copies:
        await restored_is_as_before(desk, kafka, copy)


@pytest.fixture
async def impatient(database: str, kafka: MemoryKafka, worker: Executor) -> AsyncIterator[Running]:
    """The service in whose eyes whatever waits has waited too long."""
    async with start("bidding", database, kafka, seal="none", terms_patience_s=0.001) as service:
        service.steps += [close_boxes, partial(compare_opened_boxes, worker=worker), let_terms_lapse]
        yield service


async def test_terms_that_lapsed_have_lapsed_after_a_restore_and_those_sent_anew_are_presented_once(
    kafka: MemoryKafka, impatient: Running
) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    copies = [await Copy.of(impatient)]
    await select(kafka, purchase)
    terms, *parts = in_order(purchase, "terms first")
    for word in (terms, *parts, terms):
        copies.append(await Copy.of(impatient))
        await hear(kafka, [word])
    assert answers(kafka, BRIO)[1:] == ["document_incomplete"] + ["received"] * 4

    for copy in copies:
        await restored_is_as_before(impatient, kafka, copy)
    assert len(all_of(kafka, TermsPresented)) == 1


async def test_terms_that_waited_when_they_were_copied_and_lapsed_later_do_not_wait_again(
    kafka: MemoryKafka, impatient: Running
) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    await select(kafka, purchase)
    terms, *parts = in_order(purchase, "terms first")
    kafka.from_provider(BRIO, terms, id="terms")
    await deliver_only(impatient, f"replies.{BRIO}")
    copy = await Copy.of(impatient)
    await kafka.settle()
    assert answers(kafka, BRIO)[1:] == ["document_incomplete"]

    await restored_is_as_before(impatient, kafka, copy)
    await hear(kafka, [*parts, terms])
    assert answers(kafka, BRIO)[1:] == ["document_incomplete"] + ["received"] * 4
    assert len(all_of(kafka, TermsPresented)) == 1
