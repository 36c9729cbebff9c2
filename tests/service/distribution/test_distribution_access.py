"""Claim 7: a request that is offered is shown to whoever was offered it and asks, if all holds at that moment."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import uuid4

import asyncpg
import pytest

from shared.documents import join, manifest_of
from shared.messages.base import DOCUMENT_BYTES, Message
from shared.messages.distribution import (
    AccessGranted,
    AccessOffered,
    AccessRefused,
    AnswerPresented,
    CancellationPresented,
    PresentedDocumentPart,
    RequestDistributed,
    RequestPresented,
)
from shared.messages.rfp import (
    ProviderRegistered,
    ProviderReinstated,
    ProviderRemoved,
    ProviderSuspended,
)
from tests.memory import MemoryKafka, Running
from tests.service.distribution.distribution_facts import LISTED, SUSPENDED, Purchase

ASKER, OTHER, THIRD = LISTED
STRANGER = "stranger0001"


async def say(kafka: MemoryKafka, *facts: Message) -> None:
    for fact in facts:
        kafka.event(fact)
    await kafka.settle()


async def offered(kafka: MemoryKafka, **other: object) -> Purchase:
    """Return a purchase whose gate has opened, and which is only offered."""
    purchase = Purchase(mode="grant", **other)  # type: ignore[arg-type] # any of its fields
    await say(kafka, ProviderSuspended(provider_id=SUSPENDED, reason="does not answer"), *purchase.needed)
    return purchase


def told(kafka: MemoryKafka, provider_id: str) -> list[str]:
    return [type(message).__name__ for message in kafka.messages(f"invitations.{provider_id}")]


def refusals(kafka: MemoryKafka) -> list[AccessRefused]:
    return [one for one in kafka.messages("distribution.events") if isinstance(one, AccessRefused)]


def grants(kafka: MemoryKafka) -> list[AccessGranted]:
    return [one for one in kafka.messages("distribution.events") if isinstance(one, AccessGranted)]


async def ledger(distribution: Running, provider_id: str) -> list[str]:
    rows = await distribution.pool.fetch(
        "SELECT kind FROM disclosures WHERE provider_id = $1 ORDER BY kind", provider_id
    )
    return [row["kind"] for row in rows]


async def test_an_offer_shows_title_deadline_and_hash_and_nothing_else(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = await offered(kafka)
    assert kafka.messages(f"invitations.{ASKER}") == [
        AccessOffered(
            purchase_id=purchase.purchase_id,
            request_version=1,
            title="Lines for the north",
            deadline=purchase.deadline,
            content_sha256=purchase.manifest.sha256,
        )
    ]
    assert await ledger(distribution, ASKER) == ["offered"]
    assert told(kafka, SUSPENDED) == []
    assert any(isinstance(one, RequestDistributed) for one in kafka.messages("distribution.events"))


@pytest.mark.parametrize("copies", [1, 3])
async def test_who_was_offered_the_request_and_asks_is_shown_it_once(
    distribution: Running, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    purchase = await offered(kafka, seal="hpke")
    asked = purchase.asks(ASKER)
    await say(kafka, asked)
    assert told(kafka, ASKER) == ["AccessOffered", "RequestPresented", "PresentedDocumentPart"]
    assert told(kafka, OTHER) == ["AccessOffered"]
    [shown] = [one for one in kafka.messages(f"invitations.{ASKER}") if isinstance(one, RequestPresented)]
    assert (shown.mode, shown.content_json) == ("grant", purchase.content.decode())
    assert (shown.seal, shown.public_key, shown.key_signature) == ("hpke", "cHVibGlj", "c2lnbmVk")
    [granted] = grants(kafka)
    assert (granted.provider_id, granted.request_id) == (ASKER, asked.request_id)
    assert await ledger(distribution, ASKER) == ["granted", "offered"]
    at = await distribution.pool.fetchval("SELECT disclosed_at FROM disclosures WHERE kind = 'granted'")
    assert granted.granted_at == at


async def test_who_was_shown_the_request_and_asks_again_is_told_nothing_new(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER))
    before = told(kafka, ASKER)
    await say(kafka, purchase.asks(ASKER), purchase.asks(ASKER))
    assert told(kafka, ASKER) == before
    assert len(grants(kafka)) == 1
    assert refusals(kafka) == []
    outcomes = await distribution.pool.fetch("SELECT outcome FROM access_requests ORDER BY decided_at")
    assert [row["outcome"] for row in outcomes] == ["granted", "shown_before", "shown_before"]


@pytest.mark.parametrize("over", ["cancelled", "deadline_passed", "lapsed"])
async def test_who_was_shown_the_request_and_asks_again_too_late_is_told_nothing_new(
    distribution: Running, kafka: MemoryKafka, over: str
) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER), getattr(purchase, over))
    before = told(kafka, ASKER)
    await say(kafka, purchase.asks(ASKER))
    assert told(kafka, ASKER) == before
    assert refusals(kafka) == []
    outcomes = await distribution.pool.fetch("SELECT outcome FROM access_requests ORDER BY decided_at")
    assert [row["outcome"] for row in outcomes] == ["granted", "shown_before"]


async def test_asking_for_a_request_that_was_transmitted_is_a_quiet_repeat(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase(listed=LISTED)
    await say(kafka, *purchase.needed)
    before = told(kafka, ASKER)
    await say(kafka, purchase.asks(ASKER))
    assert told(kafka, ASKER) == before
    assert grants(kafka) == refusals(kafka) == []
    assert await ledger(distribution, ASKER) == ["transmitted"]


async def test_whoever_was_never_offered_it_is_answered_in_the_same_words_as_for_no_purchase(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = await offered(kafka)
    unqualified = Purchase(mode="grant", listed=(ASKER,))
    await say(kafka, *unqualified.needed[:-1])
    await say(kafka, ProviderReinstated(provider_id=SUSPENDED))
    nothing = Purchase()
    await say(
        kafka,
        purchase.asks(STRANGER),
        purchase.asks(SUSPENDED),
        purchase.asks(ASKER, version=2),
        unqualified.asks(ASKER),
        nothing.asks(ASKER),
    )
    refused = refusals(kafka)
    assert len(refused) == 5
    assert {(one.reason, one.detail) for one in refused} == {
        ("unknown_purchase", "There is no such request for you.")
    }
    assert f"invitations.{STRANGER}" not in kafka.topics
    assert told(kafka, SUSPENDED) == []
    assert grants(kafka) == []
    assert await distribution.pool.fetchval("SELECT count(*) FROM access_requests") == 5
    known = await distribution.pool.fetchval(
        "SELECT count(*) FROM gates WHERE purchase_id = $1", nothing.purchase_id
    )
    assert known == 0


async def test_a_suspended_provider_is_refused_and_granted_once_it_is_reinstated(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = await offered(kafka)
    await say(kafka, ProviderSuspended(provider_id=ASKER, reason="complaint"))
    await say(kafka, purchase.asks(ASKER))
    assert [one.reason for one in refusals(kafka)] == ["suspended"]
    assert told(kafka, ASKER) == ["AccessOffered"]
    await say(kafka, ProviderReinstated(provider_id=ASKER))
    await say(kafka, purchase.asks(ASKER))
    assert told(kafka, ASKER) == ["AccessOffered", "RequestPresented", "PresentedDocumentPart"]
    assert await ledger(distribution, ASKER) == ["granted", "offered"]


@pytest.mark.usefixtures("distribution")
async def test_a_removed_provider_is_neither_invited_nor_granted_until_it_is_registered_again(
    kafka: MemoryKafka,
) -> None:
    purchase = await offered(kafka)
    registered = ProviderRegistered(provider_id=ASKER, name="Tel", categories=("voice",), regions=("DE",))
    await say(kafka, registered, ProviderRemoved(provider_id=ASKER, reason="closed down"))
    await say(kafka, purchase.asks(ASKER))
    assert [one.reason for one in refusals(kafka)] == ["suspended"]
    another = Purchase(listed=(ASKER, OTHER))
    await say(kafka, *another.needed)
    assert told(kafka, ASKER) == ["AccessOffered"]
    await say(kafka, registered)
    await say(kafka, purchase.asks(ASKER))
    assert told(kafka, ASKER) == ["AccessOffered", "RequestPresented", "PresentedDocumentPart"]


async def test_removing_a_suspended_provider_ends_the_suspension_with_the_registration(
    distribution: Running, kafka: MemoryKafka
) -> None:
    await say(
        kafka,
        ProviderSuspended(provider_id=ASKER, reason="complaint"),
        ProviderRemoved(provider_id=ASKER, reason="closed down"),
        ProviderRegistered(provider_id=ASKER, name="Tel", categories=("voice",), regions=("DE",)),
    )
    row = await distribution.pool.fetchrow("SELECT suspended, removed FROM providers")
    assert (row["suspended"], row["removed"]) == (False, False)


@pytest.mark.parametrize(
    ("happened", "reason"),
    [
        (lambda one: one.cancelled, "cancelled"),
        (lambda one: one.deadline_passed, "deadline_passed"),
        (lambda one: one.lapsed, "not_qualified"),
        (lambda one: one.request.model_copy(update={"request_version": 2}), "superseded"),
        (lambda _: ProviderSuspended(provider_id=ASKER, reason="complaint"), "suspended"),
    ],
    ids=["cancelled", "deadline passed", "lapsed", "superseded", "suspended"],
)
async def test_what_no_longer_holds_when_access_is_asked_for_refuses_it(
    distribution: Running, kafka: MemoryKafka, happened: object, reason: str
) -> None:
    purchase = await offered(kafka)
    await say(kafka, happened(purchase))  # type: ignore[operator] # a function of the purchase
    await say(kafka, purchase.asks(ASKER))
    assert [one.reason for one in refusals(kafka)] == [reason]
    assert not any(
        isinstance(one, RequestPresented | PresentedDocumentPart)
        for one in kafka.messages(f"invitations.{ASKER}")
    )
    assert await ledger(distribution, ASKER) == ["offered"]


@pytest.mark.usefixtures("distribution")
async def test_a_new_qualification_after_a_lapse_grants_again_by_its_number(kafka: MemoryKafka) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.lapsed, purchase.qualified.model_copy(update={"number": 2}))
    await say(kafka, purchase.asks(ASKER))
    assert [one.qualification for one in grants(kafka)] == [2]


async def test_a_qualification_that_ran_out_or_a_deadline_that_came_refuses_without_any_fact(
    distribution: Running, kafka: MemoryKafka
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    ending = await offered(kafka, valid_until=soon)
    closing = await offered(kafka, deadline=soon)
    async with distribution.pool.acquire() as connection:
        await connection.execute("SELECT pg_sleep_until($1)", soon)
    await say(kafka, ending.asks(ASKER), closing.asks(ASKER))
    assert [one.reason for one in refusals(kafka)] == ["not_qualified", "deadline_passed"]
    assert grants(kafka) == []


@pytest.mark.usefixtures("distribution")
async def test_a_cancellation_reaches_those_who_were_only_offered_the_request(kafka: MemoryKafka) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER), purchase.cancelled)
    for provider_id in LISTED:
        assert isinstance(kafka.messages(f"invitations.{provider_id}")[-1], CancellationPresented)


async def test_an_answer_reaches_everyone_in_the_ledger_at_the_same_time_and_later_ones_with_the_request(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER))
    await say(kafka, ProviderSuspended(provider_id=THIRD, reason="complaint"))
    first = purchase.answered()
    await say(kafka, first)
    answer = AnswerPresented(**first.model_dump())
    assert kafka.messages(f"invitations.{ASKER}")[-1] == kafka.messages(f"invitations.{OTHER}")[-1] == answer
    assert told(kafka, THIRD) == ["AccessOffered"]
    assert f"invitations.{STRANGER}" not in kafka.topics
    times = await distribution.pool.fetch("SELECT DISTINCT disclosed_at FROM answer_disclosures")
    assert len(times) == 1

    await say(kafka, ProviderReinstated(provider_id=THIRD))
    await say(kafka, purchase.asks(THIRD), purchase.asks(OTHER))
    assert told(kafka, THIRD)[-3:] == ["RequestPresented", "PresentedDocumentPart", "AnswerPresented"]
    assert told(kafka, OTHER).count("AnswerPresented") == 1
    await say(kafka, first)
    assert [told(kafka, one).count("AnswerPresented") for one in LISTED] == [1, 1, 1]


@pytest.mark.usefixtures("distribution")
@pytest.mark.parametrize("over", ["cancelled", "deadline_passed"])
async def test_nothing_is_answered_once_the_purchase_is_over(kafka: MemoryKafka, over: str) -> None:
    purchase = await offered(kafka)
    await say(kafka, getattr(purchase, over), purchase.answered())
    assert "AnswerPresented" not in told(kafka, ASKER)


@pytest.mark.usefixtures("distribution")
async def test_an_answer_that_comes_before_the_gate_opens_is_told_when_it_opens(kafka: MemoryKafka) -> None:
    purchase = Purchase(listed=LISTED)
    await say(kafka, purchase.answered(), *purchase.needed)
    assert told(kafka, ASKER) == ["RequestPresented", "PresentedDocumentPart", "AnswerPresented"]


async def test_no_row_of_the_ledgers_can_be_changed(distribution: Running, kafka: MemoryKafka) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER), purchase.asks(STRANGER), purchase.answered())
    for table in ("disclosures", "access_requests", "answer_disclosures"):
        assert await distribution.pool.fetchval(f"SELECT count(*) FROM {table}") > 0  # a name from here
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET cause_id = $1", f"TRUNCATE {table}"):
            with pytest.raises(asyncpg.PostgresError, match="only ever added"):
                await distribution.pool.execute(statement, *([uuid4()] if "$1" in statement else []))


async def test_reading_all_topics_again_grants_and_refuses_nothing_again(
    distribution: Running, kafka: MemoryKafka
) -> None:
    purchase = await offered(kafka)
    await say(kafka, purchase.asks(ASKER), purchase.asks(STRANGER), purchase.answered(), purchase.asks(OTHER))
    await say(kafka, purchase.asks(ASKER), ProviderSuspended(provider_id=ASKER, reason="complaint"))
    tables = await distribution.tables(without=["inbox", "positions"])
    said = {topic: len(records) for topic, records in kafka.topics.items()}

    await distribution.pool.execute("TRUNCATE inbox, positions")
    distribution.rewind()
    await kafka.settle()

    assert await distribution.tables(without=["inbox", "positions"]) == tables
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said


async def test_a_document_of_ten_mebibytes_is_presented_whole_and_wrong_or_surplus_parts_are_left_out(
    distribution: Running, kafka: MemoryKafka
) -> None:
    usage = Random(7).randbytes(DOCUMENT_BYTES)  # noqa: S311 # bytes to repeat, no secret
    purchase = Purchase(mode="grant", listed=(ASKER,), usage=usage)
    manifest = manifest_of("usage.csv", usage)
    *parts, last = [one for one in purchase.parts if one.document == manifest]
    content = [one for one in purchase.parts if one.document != manifest]
    other = parts[0].model_copy(update={"data": parts[1].data})
    surplus = last.model_copy(update={"part": last.part + 1})
    await say(kafka, other, surplus, purchase.request, *content, *parts, purchase.box, purchase.qualified)
    assert told(kafka, ASKER) == []
    assert await distribution.pool.fetchval("SELECT waiting_for FROM waiting") == ["usage.csv"]
    await say(kafka, last)
    await say(kafka, purchase.asks(ASKER))
    presented = [
        one for one in kafka.messages(f"invitations.{ASKER}") if isinstance(one, PresentedDocumentPart)
    ]
    assert [one.part for one in presented] == list(range(1, manifest.parts + 1))
    assert join(manifest, [one.data for one in presented]) == usage
