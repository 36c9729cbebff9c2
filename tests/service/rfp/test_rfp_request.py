"""A request is drafted, described, listed, issued, cancelled, and its deadline passes."""

from random import Random
from uuid import UUID, uuid4

import orjson
import pytest

from shared.envelope import Actor
from shared.messages import Message
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import (
    DeadlinePassed,
    DocumentAttached,
    IssueRequest,
    ProviderRule,
    QuestionAnswered,
    RequestCancelled,
    RequestDrafted,
    RequestIssued,
    ServiceNeed,
    SuspendProvider,
)
from tests.memory import MemoryKafka, Running
from tests.service.rebuilding import rebuilt
from tests.service.rfp.conftest import OPERATOR, Purchase, soon


async def test_a_closed_group_is_drafted_once(purchase: Purchase, kafka: MemoryKafka) -> None:
    kafka.event(purchase.aggregated())
    kafka.event(purchase.aggregated())
    await kafka.settle()
    (drafted,) = purchase.events(RequestDrafted)
    assert drafted.snapshot == purchase.snapshot
    assert drafted.usage_digest == purchase.aggregated().usage_digest


async def test_an_issued_request_carries_the_usage_and_the_identities_of_its_buyers(
    purchase: Purchase,
) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    (issued,) = purchase.events(RequestIssued)
    assert issued.request_version == 1
    assert issued.provider_ids == ("aaaaaaaaaaa1",)
    assert issued.usage_digest == purchase.aggregated().usage_digest
    assert [document.name for document in issued.documents] == ["usage-lines"]
    content = purchase.document("request")
    buyers = {buyer["legal_name"]: buyer for buyer in content["buyers"]}
    assert buyers["Town of Aal"]["usage"] == [{"service": "voice.day", "unit": "MIN", "quantity": "120.75"}]
    assert buyers["Town of Aal"]["lines"] == 2
    assert buyers["Town of Aal"]["billing_preferences"]["format"] == "ubl"
    assert buyers["Town of Bel"]["usage"] == [{"service": "voice.day", "unit": "MIN", "quantity": "7"}]
    assert buyers["Town of Bel"]["billing_preferences"] is None
    assert content["usage_period"] == {"start": "2026-05-01", "end": "2026-05-31", "months": 1}
    lines = purchase.document("usage-lines")["lines"]
    assert sorted(line["line"] for line in lines) == ["+4930111", "+4930112", "+4930221"]


async def test_what_the_group_pays_now_is_not_told_to_providers(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    told = orjson.dumps([purchase.document("request"), purchase.document("usage-lines")])
    assert b"77.77" not in told
    assert b"55.55" not in told


async def test_pseudonymous_buyers_cannot_be_told(purchase: Purchase) -> None:
    await purchase.ready(buyers_shown="pseudonymous")
    await purchase.say(purchase.issuing())
    told = orjson.dumps([purchase.document("request"), purchase.document("usage-lines")])
    for secret in ("Town of", "Harbour", "529900T8BM49AURSDO55", "+4930", *map(str, purchase.buyer_ids)):
        assert secret.encode() not in told
    assert [buyer["buyer"] for buyer in purchase.document("request")["buyers"]] == ["B1", "B2"]


async def test_the_sample_in_the_content_is_a_valid_reply(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    sample = ReplySubmitted.model_validate_json(orjson.dumps(purchase.document("request")["sample_reply"]))
    assert sample.purchase_id == purchase.purchase_id
    assert sample.offer.contract_months == 24


async def test_issuing_waits_for_the_pinned_usage(purchase: Purchase, kafka: MemoryKafka) -> None:
    await purchase.say(purchase.registering("aaaaaaaaaaa1"), OPERATOR)
    for fact in (purchase.opened(), *purchase.joined(), *purchase.usage()[1:], purchase.aggregated()):
        kafka.event(fact)
    await purchase.say(purchase.describing())
    await purchase.say(purchase.listing("aaaaaaaaaaa1"))
    await purchase.say(purchase.issuing())
    assert purchase.refusals() == ["usage_incomplete"]
    kafka.event(purchase.usage()[0])
    await purchase.say(purchase.issuing())
    assert len(purchase.events(RequestIssued)) == 1


async def test_a_request_is_issued_once(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.describing())
    await purchase.say(purchase.listing("aaaaaaaaaaa2"))
    assert purchase.refusals() == ["request_issued"] * 3
    assert len(purchase.events(RequestIssued)) == 1


async def test_only_the_groups_own_coordinator_orders(purchase: Purchase) -> None:
    await purchase.ready()
    stranger = Actor(person_id=uuid4(), role="coordinator")
    for order in (
        purchase.describing(),
        purchase.listing("aaaaaaaaaaa1"),
        purchase.issuing(),
        purchase.cancelling(),
    ):
        await purchase.say(order, stranger)
    assert purchase.refusals() == ["not_coordinator"] * 4
    await purchase.say(IssueRequest(purchase_id=uuid4()))
    assert purchase.refusals()[-1] == "group_unknown"


async def test_what_an_issue_needs_is_named(purchase: Purchase, kafka: MemoryKafka) -> None:
    kafka.event(purchase.opened())
    await purchase.say(purchase.issuing())
    kafka.event(purchase.aggregated())
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.describing(deadline=soon(seconds=-1)))
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.listing("aaaaaaaaaaa1"))
    await purchase.say(purchase.listing())
    rule = ProviderRule(category="voice", region="DE-NI")
    await purchase.say(purchase.listing("aaaaaaaaaaa1", rule=rule))
    await purchase.say(purchase.listing(rule=rule))
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.describing())
    await purchase.say(purchase.issuing())
    twice = ServiceNeed(service="voice.day", unit="MIN", description="Calls by day")
    await purchase.say(purchase.describing(services=(twice, twice)))
    assert purchase.refusals() == [
        "not_drafted",
        "need_missing",
        "list_missing",
        "provider_unknown",
        "list_unclear",
        "list_unclear",
        "deadline_not_ahead",
        "list_empty",
        "service_twice",
    ]


async def test_a_rule_lists_whoever_fits_when_the_request_is_issued(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.listing(rule=ProviderRule(category="voice", region="DE-NI")))
    await purchase.say(purchase.registering("aaaaaaaaaaa4"), OPERATOR)
    await purchase.say(purchase.registering("aaaaaaaaaaa5", regions=("FR",)), OPERATOR)
    await purchase.say(purchase.registering("aaaaaaaaaaa6", categories=("data",)), OPERATOR)
    await purchase.say(SuspendProvider(provider_id="aaaaaaaaaaa2", reason="Fraud"), OPERATOR)
    await purchase.say(purchase.issuing())
    (issued,) = purchase.events(RequestIssued)
    assert issued.provider_ids == ("aaaaaaaaaaa1", "aaaaaaaaaaa4")


async def test_the_deadline_passes_once(rfp: Running, purchase: Purchase, kafka: MemoryKafka) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    assert not purchase.events(DeadlinePassed)
    await rfp.pool.execute(
        "UPDATE timers SET due_at = clock_timestamp(), try_at = clock_timestamp() WHERE kind = 'deadline'"
    )
    await kafka.settle()
    (passed,) = purchase.events(DeadlinePassed)
    (issued,) = purchase.events(RequestIssued)
    assert (passed.request_version, passed.deadline) == (1, issued.deadline)
    await purchase.say(purchase.issuing())
    assert purchase.refusals() == ["deadline_passed"]


async def test_a_purchase_can_be_called_off_after_the_deadline_until_terms_are_accepted(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka
) -> None:
    another = Purchase(kafka, rfp)
    for one in (purchase, another):
        await one.ready()
        await one.say(one.issuing())
    await rfp.pool.execute(
        "UPDATE timers SET due_at = clock_timestamp(), try_at = clock_timestamp() WHERE kind = 'deadline'"
    )
    await kafka.settle()
    kafka.event(another.accepted())
    await kafka.settle()
    await purchase.say(purchase.cancelling())
    await another.say(another.cancelling())
    assert [one.purchase_id for one in purchase.events(RequestCancelled)] == [purchase.purchase_id]
    assert purchase.refusals() == ["purchase_complete"]


async def test_a_cancelled_request_has_no_deadline(
    rfp: Running,
    purchase: Purchase,
) -> None:
    await purchase.ready()
    await purchase.say(purchase.issuing())
    await purchase.say(purchase.cancelling())
    await purchase.say(purchase.cancelling())
    assert await rfp.pool.fetchval("SELECT count(*) FROM timers WHERE kind = 'deadline'") == 0
    (cancelled,) = purchase.events(RequestCancelled)
    assert cancelled.reason == "The budget fell through."
    assert purchase.refusals() == ["request_cancelled"]


@pytest.mark.parametrize("seed", range(6))
async def test_facts_in_any_order_give_the_same_request(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka, seed: int
) -> None:
    kafka.copies = 2
    identities: list[UUID | None] = [None, purchase.buyer_ids[0], purchase.buyer_ids[1]]
    orders = [(purchase.finding(one), purchase.officer) for one in identities]
    facts: list[Message | tuple[Message, Actor]] = [*purchase.facts(), *orders]
    Random(seed).shuffle(facts)  # noqa: S311 # an order, not a secret
    for fact in facts:
        if isinstance(fact, tuple):
            kafka.command(*fact)
        else:
            kafka.event(fact)
        await kafka.settle()
    await purchase.say(purchase.registering("aaaaaaaaaaa1"), OPERATOR)
    await purchase.say(purchase.describing())
    await purchase.say(purchase.listing("aaaaaaaaaaa1"))
    await purchase.say(purchase.issuing())
    assert not purchase.refusals()
    assert len(purchase.events(RequestIssued)) == 1
    rows = await rfp.pool.fetch("SELECT state, qualification, qualified_until_at IS NOT NULL FROM requests")
    assert [tuple(row) for row in rows] == [("issued", 1, True)]


@pytest.mark.parametrize("copies", [1, 3])
async def test_the_whole_log_again_changes_nothing(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    await purchase.ready()
    await purchase.say(purchase.describing(title="Another title"))
    await purchase.say(purchase.finding(), purchase.officer)
    await purchase.say(purchase.finding(purchase.buyer_ids[0]), purchase.officer)
    await purchase.say(purchase.finding(purchase.buyer_ids[1], outcome="refused"), purchase.officer)
    await purchase.say(purchase.finding(purchase.buyer_ids[1]), purchase.officer)
    await purchase.say(purchase.finding(uuid4()), purchase.officer)
    await purchase.say(purchase.issuing())
    await purchase.say(SuspendProvider(provider_id="aaaaaaaaaaa2", reason="Fraud"), OPERATOR)
    await purchase.say(purchase.registering("aaaaaaaaaaa2", name="Tel Two"), OPERATOR)
    await rfp.pool.execute(
        "UPDATE timers SET due_at = clock_timestamp(), try_at = clock_timestamp() WHERE kind = 'deadline'"
    )
    await kafka.settle()
    before = await rfp.tables(without=("inbox", "positions"))
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    await rfp.pool.execute("TRUNCATE inbox, positions")
    rfp.rewind()
    await kafka.settle()
    assert await rfp.tables(without=("inbox", "positions")) == before
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_lost_database_is_rebuilt_from_the_topics(
    rfp: Running, purchase: Purchase, kafka: MemoryKafka, database: str, cancelled: bool
) -> None:
    deadline = soon(seconds=4)
    await purchase.ready(deadline=deadline)
    await purchase.say(purchase.listing(rule=ProviderRule(category="voice", region="DE-NI")))
    await purchase.say(purchase.finding(), purchase.officer)
    await purchase.say(purchase.finding(purchase.buyer_ids[0]), purchase.officer)
    for part in purchase.attaching("map.pdf", b"%PDF-1.7"):
        await purchase.say(part)
    await purchase.say(purchase.issuing())
    kafka.event(purchase.asked(UUID(int=5)))
    for _ in range(2):
        await purchase.say(purchase.answering(UUID(int=5)))
    await purchase.say(purchase.registering("aaaaaaaaaaa7"), OPERATOR)
    await purchase.say(SuspendProvider(provider_id="aaaaaaaaaaa2", reason="Fraud"), OPERATOR)
    if cancelled:
        await purchase.say(purchase.cancelling())
    await rfp.pool.execute("SELECT pg_sleep_until($1)", deadline)
    await kafka.settle()
    await purchase.say(purchase.cancelling())
    assert purchase.refusals() == ["answered_already", *(["request_cancelled"] if cancelled else [])]
    assert len(purchase.events(DeadlinePassed)) == (not cancelled)
    assert len(purchase.events(RequestCancelled, QuestionAnswered, DocumentAttached)) == 3
    asked = ("questions", "attachments", "attachment_parts")
    ours = ("requests", "orders", *asked, "buyers", "usage_parts", "verifications", "providers", "timers")
    before = {name: rows for name, rows in (await rfp.tables()).items() if name in ours}
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    async with rebuilt("rfp", rfp, database, ["rfp.events", "rfp.documents"]) as again:
        purchase.service = again
        await kafka.settle()
        await purchase.try_what_waits()
        after = {name: rows for name, rows in (await again.tables()).items() if name in ours}
    assert after == before
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said
