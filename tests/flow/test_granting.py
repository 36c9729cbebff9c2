"""A whole purchase by `grant` on all services: offered, asked for, shown, asked about, replied to, and its outcome."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from time import monotonic
from typing import Any

import pytest

from shared.documents import join
from shared.envelope import read_headers
from shared.messages.bidding import AccessRequestReceived, RepliesOpened
from shared.messages.distribution import (
    AccessOffered,
    AnswerPresented,
    CancellationPresented,
    PresentedDocumentPart,
)
from shared.messages.notification import MailDelivered
from shared.messages.rfp import DeadlinePassed, RequestIssued
from tests.flow.compared import Tables, decided, differing
from tests.flow.granting import (
    AIKO,
    ANSWERS,
    ASKED,
    ATTACHED,
    BRIO,
    CORA,
    ELLA,
    LENA,
    LISTED,
    NORA,
    RESTATED,
    SHOWN,
    SUSI,
    TOLD_ANSWERS,
    Desk,
    a_purchase,
    after_the_offer,
    expected_of_granting,
    mails_of_granting,
    no_such_purchase,
    offer,
    until_replies,
)
from tests.flow.judged import judged, mails_to
from tests.flow.purchase import Purchase, cancelling, conclude, register
from tests.flow.system import PartitionedKafka, Parts, System, five_services

SLOWEST_S = 120.0
pace: list[float] = []
"""How long it took from the need to the last reply on this machine, each time."""


def soon() -> float:
    """Return seconds to a deadline that is not missed on this machine, and not waited for long."""
    return 1.5 + 2.5 * max(pace[-2:])


async def timed(system: System, purchase: Purchase, seconds: float) -> Desk:
    began = monotonic()
    desk = await until_replies(system, purchase, seconds)
    pace.append(monotonic() - began)
    return desk


@pytest.fixture(autouse=True)
async def measured(parts: Parts) -> None:
    """Run one purchase up to its replies, once, to see how fast this machine is."""
    if pace:
        return
    async with five_services(Parts(parts.dsn, PartitionedKafka(), parts.mail, parts.worker)) as system:
        await timed(system, a_purchase(), SLOWEST_S)
        await system.forget()


async def whole(system: System, purchase: Purchase, seconds: float) -> None:
    await to_the_end(await timed(system, purchase, seconds))


async def to_the_end(desk: Desk) -> None:
    """Let one ask too late, and the group select a reply and accept its terms."""
    await desk.system.until(DeadlinePassed, desk.about, within=3 * SLOWEST_S)
    assert (await desk.refused(LENA)).reason == "deadline_passed"
    await conclude(desk.system, desk.purchase)
    await desk.system.rest()


async def complete(parts: Parts, purchase: Purchase) -> None:
    """Check that nothing is missing, nothing is doubled, and the independent checker finds nothing."""
    assert parts.kafka.distinct(purchase.subjects) == expected_of_granting(purchase)
    said = {
        read_headers(record.headers).id: message
        for record, message in zip(
            parts.kafka.topics["notification.events"],
            parts.kafka.messages("notification.events"),
            strict=True,
        )
    }
    delivered = [one for one in said.values() if isinstance(one, MailDelivered)]
    assert sorted((one.person_id, one.kind) for one in delivered) == sorted(mails_of_granting(purchase))
    assert Counter(one.message_id for one in mails_to(parts, purchase)) == Counter(
        one.message_id for one in delivered
    )
    report = await judged(parts, purchase)
    assert report.ok, f"\n{report}"
    assert {verdict.outcome for verdict in report.verdicts} == {"ok"}, f"\n{report}"


async def test_a_purchase_by_grant_runs_from_its_group_to_accepted_terms(
    system: System, parts: Parts
) -> None:
    purchase = a_purchase()
    await whole(system, purchase, soon())
    await complete(parts, purchase)
    offers_show_no_more_than_they_may(parts, purchase)
    everyone_shown_has_the_same_documents(parts)
    nobody_can_tell_who_asked(parts, purchase)
    the_coordinator_sees_who_did_what(parts, purchase)


def offers_show_no_more_than_they_may(parts: Parts, purchase: Purchase) -> None:
    (issued,) = [one for one in parts.kafka.messages("rfp.events") if isinstance(one, RequestIssued)]
    expected = AccessOffered(
        purchase_id=purchase.purchase_id,
        request_version=1,
        title=issued.title,
        deadline=issued.deadline,
        content_sha256=issued.content.sha256,
    )
    for provider_id in LISTED:
        first, *later = parts.kafka.messages(f"invitations.{provider_id}")
        assert first == expected
        if provider_id not in SHOWN:
            assert {type(one) for one in later} <= {AnswerPresented}
    assert not parts.kafka.topics.get(f"invitations.{NORA}")


def everyone_shown_has_the_same_documents(parts: Parts) -> None:
    for provider_id in SHOWN:
        parts_ = [
            one
            for one in parts.kafka.messages(f"invitations.{provider_id}")
            if isinstance(one, PresentedDocumentPart) and one.document.name in ATTACHED
        ]
        document = parts_[0].document
        assert join(document, [one.data for one in parts_]) == ATTACHED[document.name]


OWN = {"ce_id", "ce_sequence", "ce_causationid", "traceparent"}
"""What is each provider's own: the number on its topic, and ids that derive from it. The time is the same for all."""


def nobody_can_tell_who_asked(parts: Parts, purchase: Purchase) -> None:
    said = {
        provider_id: [
            (message, {name: value for name, value in record.headers if name not in OWN})
            for record, message in zip(
                parts.kafka.topics[f"invitations.{provider_id}"],
                parts.kafka.messages(f"invitations.{provider_id}"),
                strict=True,
            )
            if isinstance(message, AnswerPresented)
        ]
        for provider_id in TOLD_ANSWERS
    }
    for provider_id, answers in said.items():
        assert answers == said[BRIO], provider_id
    assert {one.question: one.answer for one, _ in said[BRIO] if isinstance(one, AnswerPresented)} == {
        RESTATED.get(asker, question): ANSWERS[asker] for asker, question in ASKED.items()
    }
    about_questions = [
        record
        for topic in ("bidding.events", "rfp.events")
        for record in parts.kafka.topics[topic]
        if b"question_id" in (record.value or b"")
    ]
    assert len(about_questions) == 2 * len(ASKED)
    for record in about_questions:
        everything = b" ".join([record.value or b"", *(value or b"" for _, value in record.headers)])
        assert not any(provider_id.encode() in everything for provider_id in LISTED)
    waiting = [one for one in mails_to(parts, purchase) if "A question waits" in one.raw.decode()]
    assert len(waiting) == len(ASKED)
    assert not any(provider_id in mail.text for mail in waiting for provider_id in LISTED)


DID = {
    AIKO: "was shown it on <when>, acknowledged it on <when>.",
    BRIO: "was shown it on <when>, acknowledged it on <when>.",
    ELLA: "was shown it on <when>.",
    CORA: "was shown it on <when>, acknowledged it on <when>, declined.",
    SUSI: "was offered it, and was not shown it.",
    LENA: "was offered it, and was not shown it.",
}


def the_coordinator_sees_who_did_what(parts: Parts, purchase: Purchase) -> None:
    told = [one for one in mails_to(parts, purchase) if "what they did with the request" in one.text]
    (mail,) = told
    assert purchase.contact(0).email in mail.recipients
    text = re.sub(r"\d+ \w+ \d{4}, \d\d:\d\d UTC", "<when>", " ".join(mail.text.split()))
    for provider_id, did in DID.items():
        assert f"{provider_id} (Tel): {did}" in text
    assert NORA not in text


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_between_the_streams_leads_to_the_same_grants_and_answers(
    system: System, parts: Parts, seed: int
) -> None:
    parts.kafka.random = Random(seed)  # noqa: S311 # an order to repeat, no secret
    parts.kafka.in_pieces = True
    parts.kafka.copies = 1 + seed % 2
    purchase = a_purchase()
    await whole(system, purchase, 1.6 * soon())
    await complete(parts, purchase)


async def test_every_message_of_a_purchase_by_grant_may_be_appended_three_times(
    system: System, parts: Parts
) -> None:
    parts.kafka.appended_times = 3
    purchase = a_purchase()
    await whole(system, purchase, 2 * soon())
    await complete(parts, purchase)


async def test_the_whole_log_of_a_purchase_by_grant_again_changes_nothing(
    system: System, parts: Parts
) -> None:
    purchase = a_purchase()
    await whole(system, purchase, soon())
    tables, topics = await system.tables(), parts.kafka.records()
    for service in system.services.values():
        await service.pool.execute("TRUNCATE inbox, positions")
        service.rewind()
    await system.rest()
    # Each answer has its own number on its provider's topic, so an answer that is repeated takes the next one.
    assert differing(await system.tables(), tables).keys() <= {"bidding.subjects"}
    for topic, records in parts.kafka.records().items():
        assert set(records) == set(topics[topic]), topic


async def test_a_database_restored_to_before_the_grants_grants_and_answers_the_same_again(
    parts: Parts, postgres_copy: Callable[[str], Awaitable[str]]
) -> None:
    purchase = a_purchase()
    async with five_services(parts) as system:
        await register(system, *LISTED, NORA)
        await offer(system, purchase, 2 * soon())
    copy = await postgres_copy(parts.dsn)
    async with five_services(parts) as system:
        desk = await after_the_offer(system, purchase)
        await to_the_end(desk)
        tables = await decided(system)
    topics = parts.kafka.records()
    async with five_services(Parts(copy, parts.kafka, parts.mail, parts.worker)) as system:
        await system.rest()
        restored = await decided(system)
    assert parts.kafka.distinct(purchase.subjects) == expected_of_granting(purchase)
    for topic, records in parts.kafka.records().items():
        assert set(records) == set(topics[topic]), topic
    # When a quiet repeat was noted is looked up anew; what was decided is as it was.
    assert differing(restored, tables).keys() <= {"distribution.access_requests"}
    assert outcomes(restored) == outcomes(tables)


def outcomes(tables: Tables) -> list[dict[str, Any]]:
    """Return what came of each request for access."""
    rows = [json.loads(row) for row in tables["distribution"]["access_requests"]]
    return sorted(
        ({**row, "decided_at": row["outcome"] == "shown_before" or row["decided_at"]} for row in rows),
        key=lambda row: str(row["request_id"]),
    )


async def test_before_the_deadline_no_event_tells_who_acknowledged_or_replied_or_declined(
    system: System, parts: Parts
) -> None:
    purchase = a_purchase()
    await until_replies(system, purchase, 3600)
    await system.rest()
    naming = [
        message
        for message in parts.kafka.messages("bidding.events")
        if any(provider_id in message.model_dump_json() for provider_id in LISTED)
    ]
    assert {type(message) for message in naming} == {AccessRequestReceived}
    assert not any(isinstance(one, RepliesOpened) for one in parts.kafka.messages("bidding.events"))


async def test_after_a_cancellation_nobody_is_shown_anything_and_everyone_offered_is_told(
    system: System, parts: Parts
) -> None:
    purchase = a_purchase()
    desk = Desk(system, purchase)
    await register(system, *LISTED, NORA)
    await offer(system, purchase, 3600)
    await desk.ask_for_access(AIKO)
    await desk.shown(AIKO)
    await system.order(cancelling(purchase), purchase.coordinator)
    for provider_id in LISTED:
        await system.until(CancellationPresented, purchase.purchase_id, provider_id=provider_id)
    assert (await desk.refused(BRIO)).reason == "cancelled"
    await system.rest()
    said = parts.kafka.distinct(purchase.subjects)
    assert (said["RequestPresented"], said["CancellationPresented"]) == (1, len(LISTED))
    report = await judged(parts, purchase)
    assert report.ok, f"\n{report}"


async def test_a_stranger_cannot_tell_a_request_that_is_offered_to_others_from_one_that_does_not_exist(
    system: System,
) -> None:
    purchase = a_purchase()
    desk = Desk(system, purchase)
    await register(system, *LISTED, NORA)
    await offer(system, purchase, 3600)
    for_others, for_nobody = await desk.refused(NORA), await desk.refused(NORA, no_such_purchase())
    own = {"purchase_id", "message_id"}
    assert for_others.model_dump(exclude=own) == for_nobody.model_dump(exclude=own)
    assert for_others.reason == "unknown_purchase"
