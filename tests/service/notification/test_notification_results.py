"""Results to providers, and which mails are queued, on a real Postgres."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest

from shared.envelope import derived_id, read_headers
from shared.messages.bidding import QuestionReceived
from shared.messages.distribution import AccessGranted, AccessRefused, ProviderInvited
from shared.messages.notification import (
    AcceptanceNotified,
    AccessRefusalNotified,
    AwardNotified,
    RejectionNotified,
    UnsuccessfulNotified,
)
from shared.messages.rfp import DeadlinePassed, ProviderRegistered
from tests.memory import MemoryKafka, Running
from tests.service.notification.notification_story import (
    ADA,
    BEN,
    COORDINATOR,
    DEADLINE,
    LOSER,
    LOST,
    PURCHASE,
    TERMS,
    WINNER,
    WON,
    cause,
    comparison,
    contacts,
    credential,
    group,
    issued,
    replies_opened,
    request,
    say,
    selected,
    terms_accepted,
    terms_presented,
    terms_rejected,
    whole_purchase,
)

TO_WINNER, TO_LOSER = f"notices.{WINNER}", f"notices.{LOSER}"


def ids(kafka: MemoryKafka, topic: str) -> set[str | None]:
    return {read_headers(record.headers).id for record in kafka.topics[topic]}


@pytest.mark.usefixtures("notification")
async def test_the_winner_and_every_other_bidder_are_told_in_one_transaction(kafka: MemoryKafka) -> None:
    say(kafka, *group(), selected())

    await kafka.settle()

    (award,) = kafka.messages(TO_WINNER)
    assert isinstance(award, AwardNotified)
    assert (award.award, award.reply_id) == (1, WON)
    assert [buyer.legal_name for buyer in award.buyers] == ["Northgate Clinics Ltd", "Harbour Freight GmbH"]
    assert [buyer.identifiers[0].id for buyer in award.buyers] == ["04512378", "09876543"]
    assert kafka.messages(TO_LOSER) == [
        UnsuccessfulNotified(purchase_id=PURCHASE, reply_id=LOST, rank=2, reason="Costs more over the term.")
    ]
    times = {read_headers(kafka.topics[topic][0].headers).time for topic in (TO_WINNER, TO_LOSER)}
    assert len(times) == 1


@pytest.mark.usefixtures("notification")
async def test_an_award_waits_for_every_buyer_and_nobody_hears_anything_before(kafka: MemoryKafka) -> None:
    opened, clinics, freight, aggregated = group()
    say(kafka, selected(), terms_accepted(), aggregated, freight, opened)
    await kafka.settle()
    assert not kafka.topics[TO_WINNER]
    assert not kafka.topics[TO_LOSER]

    say(kafka, clinics)
    await kafka.settle()

    assert [type(message) for message in kafka.messages(TO_WINNER)] == [AwardNotified, AcceptanceNotified]
    assert [type(message) for message in kafka.messages(TO_LOSER)] == [UnsuccessfulNotified]


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_and_repetition_gives_the_same_notices_and_mails(
    notification: Running, kafka: MemoryKafka, seed: int
) -> None:
    facts = whole_purchase()
    Random(seed).shuffle(facts)  # noqa: S311 # an order, not a secret
    kafka.copies = 2
    for fact in facts:
        say(kafka, fact)
        if seed % 2:
            await kafka.settle()
    await kafka.settle()

    told = [*kafka.messages(TO_WINNER), *kafka.messages(TO_LOSER)]
    assert {type(message) for message in told} == {
        AwardNotified,
        UnsuccessfulNotified,
        AcceptanceNotified,
        RejectionNotified,
    }
    assert len(told) == 4
    assert isinstance(kafka.messages(TO_WINNER)[0], AwardNotified)
    assert ids(kafka, TO_WINNER) == {
        str(derived_id(cause(fact), notice.type(), WINNER, 0))
        for fact, notice in (
            (selected(), AwardNotified),
            (terms_rejected(), RejectionNotified),
            (terms_accepted(), AcceptanceNotified),
        )
    }
    joined_clinics, joined_freight = group()[1:3]
    compared, qualified, distributed = comparison()[0], *request()[1:]
    initial = derived_id("credential", PURCHASE, COORDINATOR, 1)
    everyone = (COORDINATOR, ADA, BEN)
    expected = {
        (derived_id("mail", fact, person), person, kind)
        for fact, kind, people in (
            (cause(joined_clinics), "joined", (ADA,)),
            (cause(joined_freight), "joined", (BEN,)),
            (initial, "initial_password", (COORDINATOR,)),
            (cause(qualified), "verified", everyone),
            (cause(distributed), "providers_invited", everyone),
            (cause(compared), "replies_compared", everyone),
            (cause(terms_presented()), "terms_to_accept", (COORDINATOR,)),
            (cause(terms_rejected()), "rejected", everyone),
            (cause(terms_accepted()), "done", everyone),
        )
        for person in people
    }
    rows = await notification.pool.fetch("SELECT mail_id, person_id, kind FROM mails")
    assert {tuple(row) for row in rows} == expected
    assert len(rows) == len(expected)


async def test_a_replay_over_kept_tables_changes_nothing_and_says_nothing(
    notification: Running, kafka: MemoryKafka
) -> None:
    say(kafka, *whole_purchase())
    await kafka.settle()
    delivery = ("inbox", "positions", "sequences")
    before, said = await notification.tables(without=delivery), len(kafka.topics[TO_WINNER])
    for table in delivery:
        await notification.pool.execute(f"DELETE FROM {table}")

    notification.rewind()
    await kafka.settle()

    assert await notification.tables(without=delivery) == before
    assert len(kafka.topics[TO_WINNER]) == said


@pytest.mark.usefixtures("notification")
async def test_a_rejection_and_an_acceptance_cite_exactly_the_terms(kafka: MemoryKafka) -> None:
    say(kafka, *group(), selected(), terms_rejected(), terms_accepted())

    await kafka.settle()

    assert kafka.messages(TO_WINNER)[1:] == [
        RejectionNotified(
            purchase_id=PURCHASE, award=1, terms_sha256=TERMS, reason="Twelve months are too long."
        ),
        AcceptanceNotified(purchase_id=PURCHASE, award=1, terms_sha256=TERMS),
    ]


@pytest.mark.usefixtures("notification")
async def test_a_buyer_that_joined_again_is_named_as_it_joined_last(kafka: MemoryKafka) -> None:
    opened, clinics, freight, aggregated = group()
    renamed = clinics.model_copy(update={"legal_name": "Northgate Clinics plc"})
    say(kafka, opened, clinics, freight, renamed, aggregated, selected())

    await kafka.settle()

    (award,) = kafka.messages(TO_WINNER)
    assert isinstance(award, AwardNotified)
    assert [buyer.legal_name for buyer in award.buyers] == ["Northgate Clinics plc", "Harbour Freight GmbH"]


async def test_no_table_keeps_a_password_verifier_or_any_mails_text(
    notification: Running, kafka: MemoryKafka
) -> None:
    say(kafka, *whole_purchase())
    await kafka.settle()

    rows = "".join(row for table in (await notification.tables()).values() for row in table)

    assert credential().verifier not in rows
    assert "Hello" not in rows


async def test_a_damaged_comparison_is_parked_and_stops_no_other_purchase(
    notification: Running, kafka: MemoryKafka
) -> None:
    compared, first, second = comparison()
    say(kafka, *group(), *contacts(), replies_opened(), compared, first)
    say(kafka, second.model_copy(update={"data": "AAAA"}))
    await kafka.settle()

    assert await notification.pool.fetchval("SELECT count(*) FROM parked") == 1
    assert await notification.pool.fetchval("SELECT count(*) FROM mails WHERE kind = 'replies_compared'") == 0


def invited(provider_id: str) -> ProviderInvited:
    return ProviderInvited(
        purchase_id=PURCHASE,
        request_version=1,
        provider_id=provider_id,
        mode="grant",
        content_sha256=TERMS,
        qualification=1,
    )


async def test_the_coordinators_mail_says_who_was_invited_and_who_was_shown_the_request(
    notification: Running, kafka: MemoryKafka
) -> None:
    at = datetime(2030, 5, 1, 12, tzinfo=UTC)
    granted = AccessGranted(
        purchase_id=PURCHASE,
        request_id=UUID(int=1),
        request_version=1,
        provider_id=WINNER,
        content_sha256=TERMS,
        qualification=1,
        granted_at=at,
    )
    names = ProviderRegistered(provider_id=WINNER, name="Tel AG", categories=("voice",), regions=("DE",))
    opened = replies_opened().model_copy(update={"replies": (), "declined": (LOSER,)})
    say(kafka, *group(), *request(), names, granted, invited(WINNER), invited(LOSER))
    await kafka.settle()
    say(kafka, opened)
    await kafka.settle()

    rows = await notification.pool.fetch(
        "SELECT person_id, letter::text AS letter FROM mails WHERE kind = 'no_replies'"
    )
    letters = {row["person_id"]: json.loads(row["letter"])["participants"] for row in rows}
    assert letters[ADA] == letters[BEN] == []
    assert [(one["provider_id"], one["name"], one["declined"]) for one in letters[COORDINATOR]] == [
        (LOSER, "", True),
        (WINNER, "Tel AG", False),
    ]
    assert [one["granted_at"] for one in letters[COORDINATOR]] == [None, "2030-05-01T12:00:00Z"]


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_provider_is_told_once_why_it_was_not_shown_a_request(
    notification: Running, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    refused = AccessRefused(
        purchase_id=UUID(int=77),
        request_id=UUID(int=1),
        request_version=1,
        provider_id=LOSER,
        message_id="asking-1",
        reason="unknown_purchase",
        detail="There is no such request for you.",
    )
    say(kafka, refused)
    await kafka.settle()
    await notification.pool.execute("TRUNCATE inbox, positions")
    notification.rewind()
    await kafka.settle()

    assert kafka.messages(TO_LOSER) == [
        AccessRefusalNotified(
            purchase_id=UUID(int=77),
            message_id="asking-1",
            request_version=1,
            reason="unknown_purchase",
            detail="There is no such request for you.",
        )
    ]
    assert await notification.pool.fetchval("SELECT count(*) FROM purchases") == 0


async def test_a_question_that_waits_is_mailed_to_the_coordinator_once(
    notification: Running, kafka: MemoryKafka
) -> None:
    question = QuestionReceived(
        purchase_id=PURCHASE, question_id=UUID(int=8), request_version=1, question="Which floors?"
    )
    say(kafka, question, *group(), question)
    await kafka.settle()

    rows = await notification.pool.fetch("SELECT person_id FROM mails WHERE kind = 'question_waits'")
    assert [row["person_id"] for row in rows] == [COORDINATOR]


async def test_the_coordinator_is_asked_once_for_the_custodians_key_whatever_arrives_first(
    notification: Running, kafka: MemoryKafka
) -> None:
    key = b64encode(bytes(32)).decode()
    named = issued(custodian={"name": "Meier & Partners", "public_key": key})
    passed = DeadlinePassed(purchase_id=PURCHASE, request_version=1, deadline=DEADLINE)
    say(kafka, passed, *group(), named, passed)
    await kafka.settle()

    rows = await notification.pool.fetch("SELECT person_id, letter FROM mails WHERE kind = 'key_awaited'")
    assert [row["person_id"] for row in rows] == [COORDINATOR]
    assert json.loads(rows[0]["letter"])["custodian"] == "Meier & Partners"
