import json
from uuid import uuid4

import pytest

from services.bidding.domain.box import Stage
from shared.documents import join
from shared.envelope import Actor
from shared.messages.bidding import (
    AcceptTermsRefused,
    ComparisonPart,
    ProviderSelected,
    RejectTermsRefused,
    RepliesCompared,
    RepliesOpened,
    ReplyDisqualified,
    SelectReplyRefused,
    TermsAccepted,
    TermsPresented,
)
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, Purchase, an_offer
from tests.service.bidding.bidding_talk import all_of, announce, answers, one_of, reply_of, said


async def compare(kafka: MemoryKafka, purchase: Purchase) -> None:
    """Two replies and a decline, up to the comparison; BRIO's costs less."""
    announce(kafka, purchase)
    for provider, price in ((AIKO, "0.12"), (BRIO, "0.10")):
        kafka.from_provider(provider, purchase.reply(offer=an_offer(price)), at=purchase.in_time)
    kafka.from_provider(CORA, purchase.decline(), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    assert said(kafka) == ["BidBoxReady", "RepliesOpened", "RepliesCompared"]


async def stage(desk: Running, purchase: Purchase) -> Stage:
    found: Stage = await desk.pool.fetchval(
        "SELECT stage FROM boxes WHERE purchase_id = $1", purchase.purchase_id
    )
    return found


@pytest.mark.usefixtures("desk")
async def test_a_purchase_goes_from_its_box_to_accepted_terms(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    selected = reply_of(kafka, AIKO)
    kafka.command(purchase.select(selected), purchase.by_coordinator)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.terms())
    await kafka.settle()
    kafka.command(purchase.accept(), purchase.by_coordinator)
    await kafka.settle()

    assert said(kafka)[3:] == ["ProviderSelected", "TermsPresented", "TermsAccepted"]
    opened = one_of(kafka, RepliesOpened)
    assert [(one.provider_id, one.standing) for one in opened.replies] == [
        (AIKO, "evaluated"),
        (BRIO, "evaluated"),
    ]
    assert opened.declined == (CORA,)
    award = one_of(kafka, ProviderSelected)
    assert (award.award, award.provider_id) == (1, AIKO)
    assert [(one.provider_id, one.rank, one.reason) for one in award.others] == [
        (BRIO, 1, "Another costs less.")
    ]
    assert one_of(kafka, TermsPresented).text == "Payment in 30 days."
    accepted = one_of(kafka, TermsAccepted)
    assert accepted.accepted_by == purchase.coordinator
    assert accepted.terms_sha256 == purchase.terms().terms_sha256
    assert answers(kafka, AIKO) == ["received", "received"]


@pytest.mark.usefixtures("desk")
async def test_the_full_comparison_is_the_document_that_the_event_hashes(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)

    parts = all_of(kafka, ComparisonPart, "bidding.comparisons")
    compared = one_of(kafka, RepliesCompared)

    document = parts[0].document
    content = json.loads(join(document, [part.data for part in parts]))
    assert document.sha256 == compared.comparison_sha256
    assert [row["reply_id"] for row in content["evaluations"]] == [
        str(one.reply_id) for one in compared.replies
    ]
    assert compared.usage_digest == purchase.usage_digest


async def test_without_a_reply_the_group_is_told_so_by_an_empty_comparison(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert one_of(kafka, RepliesOpened).replies == ()
    assert one_of(kafka, RepliesCompared).replies == ()
    assert await stage(desk, purchase) == "compared"


@pytest.mark.usefixtures("desk")
async def test_a_reply_to_something_else_is_receipted_and_disqualified_when_the_box_is_opened(
    kafka: MemoryKafka,
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(version=2), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.reply(offer=an_offer(currency="USD")), at=purchase.in_time)
    kafka.from_provider(CORA, purchase.reply(), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert answers(kafka, AIKO) == answers(kafka, BRIO) == ["received"]
    assert one_of(kafka, ReplyDisqualified, f"notices.{AIKO}").reason == "answers version 2, version 1 stands"
    assert one_of(kafka, ReplyDisqualified, f"notices.{BRIO}").reason == "is in USD, the request asks for EUR"
    assert [one.provider_id for one in one_of(kafka, RepliesCompared).replies] == [CORA]


@pytest.mark.usefixtures("desk")
async def test_nothing_is_said_about_replies_before_the_box_is_closed(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    kafka.from_provider(CORA, purchase.decline(), at=purchase.in_time)
    await kafka.settle()

    assert said(kafka) == ["BidBoxReady"]


@pytest.mark.usefixtures("desk")
async def test_rejected_terms_may_be_followed_by_others(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    kafka.command(purchase.select(reply_of(kafka, BRIO)), purchase.by_coordinator)
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms("first"))
    kafka.from_provider(BRIO, purchase.terms("impatient"))
    await kafka.settle()
    kafka.command(purchase.reject("first"), purchase.by_coordinator)
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms("second"))
    await kafka.settle()
    kafka.command(purchase.accept("first"), purchase.by_coordinator)
    kafka.command(purchase.accept("second"), purchase.by_coordinator)
    kafka.command(purchase.reject("second"), purchase.by_coordinator)
    await kafka.settle()

    assert [one.text for one in all_of(kafka, TermsPresented)] == ["first", "second"]
    assert answers(kafka, BRIO) == ["received", "received", "terms_not_due", "received"]
    assert one_of(kafka, AcceptTermsRefused).reason == "wrong_terms"
    assert one_of(kafka, TermsAccepted).terms_sha256 == purchase.terms("second").terms_sha256
    assert one_of(kafka, RejectTermsRefused).reason == "already_accepted"


@pytest.mark.usefixtures("desk")
async def test_terms_of_anyone_but_the_selected_provider_are_rejected(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    kafka.from_provider(BRIO, purchase.terms())
    await kafka.settle()
    kafka.command(purchase.select(reply_of(kafka, BRIO)), purchase.by_coordinator)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.terms())
    kafka.from_provider(BRIO, purchase.terms(award=2))
    await kafka.settle()

    assert answers(kafka, AIKO) == ["received", "not_selected"]
    assert answers(kafka, BRIO) == ["received", "not_selected", "not_selected"]
    assert not all_of(kafka, TermsPresented)


@pytest.mark.parametrize("who", ["coordinator", "member"])
async def test_only_the_groups_own_coordinator_selects(desk: Running, kafka: MemoryKafka, who: str) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    stranger = Actor.model_validate({"person_id": str(uuid4()), "role": who})

    kafka.command(purchase.select(reply_of(kafka, AIKO)), stranger)
    await kafka.settle()

    refused = one_of(kafka, SelectReplyRefused)
    assert refused.reason == ("not_coordinator" if who == "coordinator" else "role_not_allowed")
    assert await desk.pool.fetchval("SELECT count(*) FROM awards") == 0


async def test_a_selection_before_the_comparison_waits_and_is_refused_in_the_end(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.command(purchase.select(uuid4()), purchase.by_coordinator)
    for _ in range(40):
        await kafka.settle()
        if all_of(kafka, SelectReplyRefused):
            break
        await desk.pool.execute("UPDATE parked SET retry_at = clock_timestamp()")

    assert one_of(kafka, SelectReplyRefused).reason == "not_compared"


async def test_cancelling_closes_everything(desk: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    await compare(kafka, purchase)
    kafka.command(purchase.select(reply_of(kafka, BRIO)), purchase.by_coordinator)
    await kafka.settle()
    kafka.event(purchase.cancelled)
    await kafka.settle()
    kafka.from_provider(BRIO, purchase.terms())
    kafka.from_provider(AIKO, purchase.reply(revision=2), at=purchase.in_time)
    kafka.command(purchase.select(reply_of(kafka, AIKO)), purchase.by_coordinator)
    kafka.command(purchase.accept(), purchase.by_coordinator)
    await kafka.settle()

    assert answers(kafka, BRIO)[-1] == answers(kafka, AIKO)[-1] == "cancelled"
    assert one_of(kafka, SelectReplyRefused).reason == "cancelled"
    assert one_of(kafka, AcceptTermsRefused).reason == "cancelled"
    assert await stage(desk, purchase) == "cancelled"


@pytest.mark.usefixtures("desk")
async def test_a_cancelled_box_is_never_opened(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    kafka.event(purchase.cancelled)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert said(kafka) == ["BidBoxReady"]
