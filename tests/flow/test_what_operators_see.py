"""What an operator sees of a purchase: where it waits and since when, one connected trace, and nothing of how many replied."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from shared.envelope import read_headers
from shared.messages import registry
from shared.messages.aggregation import CloseGroup
from shared.messages.base import AboutPurchase
from shared.messages.bidding import (
    BidBoxReady,
    ProviderSelected,
    RepliesCompared,
    SelectReply,
    TermsPresented,
)
from shared.messages.distribution import RequestDistributed
from shared.messages.rfp import RequestDrafted, RequestIssued
from shared.tracing import Traces, message_span
from shared.workers import measure
from tests.flow.pace import soon
from tests.flow.purchase import Purchase, bid, conclude, form, issue, register, verify
from tests.flow.system import System

PROVIDERS = ("aikoaikoaiko", "briobriobrio", "coracoracora")


async def steps(system: System, purchase: Purchase) -> set[str]:
    """Return where the purchase waits now, by what each service finds in its own tables."""
    found = set()
    for one in system.services.values():
        async with one.pool.acquire() as connection:
            look = await one.service.looking.look(connection)
        assert all(age >= 0 for _, _, age in look.purchases)
        found |= {
            step.name for step, waiting, _ in look.purchases if waiting.purchase_id == purchase.purchase_id
        }
    return found


async def figures(system: System) -> dict[str, str]:
    """Return what every service would show on /metrics, but for clocks."""
    shown = {}
    for name, one in system.services.items():
        await measure(one.runtime, one.service.looking)
        lines = generate_latest(one.runtime.metrics.registry).decode().splitlines()
        shown[name] = "\n".join(
            line for line in lines if not ("age_seconds" in line or "skew_seconds" in line)
        )
    return shown


async def test_where_a_purchase_waits_is_known_at_every_step(system: System) -> None:
    purchase = Purchase(PROVIDERS)
    about = purchase.purchase_id
    await register(system, *PROVIDERS)
    await system.order(purchase.opening(), purchase.coordinator)
    await system.rest()
    assert await steps(system, purchase) == {"forming"}
    await form(system, purchase)
    await system.until(RequestDrafted, about)
    await system.rest()
    assert await steps(system, purchase) == {"request"}
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=2 * soon()))
    await system.until(BidBoxReady, about)
    await system.rest()
    assert await steps(system, purchase) == {"verification", "qualification", "replies"}
    await verify(system, purchase, snapshot)
    await system.until(RequestDistributed, about)
    await system.rest()
    assert await steps(system, purchase) == {"replies"}
    await bid(system, purchase)
    compared = await system.until(RepliesCompared, about)
    await system.rest()
    assert await steps(system, purchase) == {"selection"}
    best = compared.replies[0]
    selecting = SelectReply(purchase_id=about, reply_id=best.reply_id, reason_for_others="Dearer.")
    await system.order(selecting, purchase.coordinator)
    await system.until(ProviderSelected, about)
    assert await steps(system, purchase) == {"terms"}
    await system.word(best.provider_id, purchase.terms())
    await system.until(TermsPresented, about)
    assert await steps(system, purchase) == {"acceptance"}
    await conclude_again(system, purchase)
    await system.rest()
    assert await steps(system, purchase) == set()


async def conclude_again(system: System, purchase: Purchase) -> None:
    """Accept what lies before the group; the selection and the terms come again and change nothing."""
    await conclude(system, purchase)


@pytest.mark.parametrize("replies", [1, 3])
async def test_figures_logs_and_traces_are_the_same_however_many_have_replied(
    system: System, replies: int
) -> None:
    exporter = InMemorySpanExporter()
    for name, one in system.services.items():
        one.runtime.traces = Traces.through(name, SimpleSpanProcessor(exporter))
    purchase = Purchase(PROVIDERS)
    await register(system, *PROVIDERS)
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=600))
    await verify(system, purchase, snapshot)
    await system.until(RequestDistributed, purchase.purchase_id)
    await system.rest()
    before, spans = await figures(system), len(exporter.get_finished_spans())
    with capture_logs() as logs:
        for number in range(replies):
            offer = purchase.reply(number) if number else purchase.declining()
            await system.word(PROVIDERS[number], offer)
        await system.rest()
    answered = await system.services["bidding"].pool.fetchval("SELECT count(*) FROM provider_messages")
    assert answered == replies
    assert await figures(system) == before
    assert logs == []
    assert len(exporter.get_finished_spans()) == spans


async def test_one_purchase_is_one_connected_trace(system: System) -> None:
    exporter = InMemorySpanExporter()
    for name, one in system.services.items():
        one.runtime.traces = Traces.through(name, SimpleSpanProcessor(exporter))
    purchase = Purchase(PROVIDERS)
    await register(system, *PROVIDERS)
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=2 * soon()))
    await verify(system, purchase, snapshot)
    await bid(system, purchase)
    await conclude(system, purchase)
    await system.rest()
    spans = exporter.get_finished_spans()
    contexts = {(one.context.trace_id, one.context.span_id) for one in spans if one.context}
    mine = [
        one for one in spans if (one.attributes or {}).get("linepool.purchase") == str(purchase.purchase_id)
    ]
    assert (purchase.purchase_id.int, message_span(purchase.purchase_id)) in contexts
    assert len(mine) > 50
    # Each span has its parent, or was sent by a person or begun by a job; and then it is linked to the purchase.
    for span in mine:
        assert is_connected(span, contexts, system, purchase.purchase_id), span.name
    sent = Counter(
        str((one.attributes or {})["linepool.type"]) for one in mine if one.name.startswith("send ")
    )
    assert sent[RequestIssued.type()] == 1
    assert sent["linepool.terms-accepted.v1"] == 1
    # What providers say and are told is not traced.
    assert not [one.name for one in spans if any(pid in one.name for pid in PROVIDERS)]
    assert not [one.name for one in spans if "bidding.replies" in one.name]


def is_connected(
    span: ReadableSpan, contexts: set[tuple[int, int]], system: System, purchase_id: UUID
) -> bool:
    if span.name == "purchase":
        return True
    assert span.context is not None
    if span.parent is None:
        return [link.context.trace_id for link in span.links] == [purchase_id.int]
    parent = (span.context.trace_id, span.parent.span_id)
    return parent in contexts or parent in said_by_people(system)


def said_by_people(system: System) -> set[tuple[int, int]]:
    """The spans of sending orders: the tests send them, so nobody made those."""
    found = set()
    for topic, records in system.kafka.topics.items():
        for record in records if topic.endswith((".commands", ".verifications", ".registrations")) else ():
            received = read_headers(record.headers)
            assert received.id is not None
            found.add(
                (
                    received.correlation_id.int if received.correlation_id else 0,
                    message_span(UUID(received.id)),
                )
            )
    return found


def test_every_message_about_a_purchase_is_known_to_be_one() -> None:
    about = [one for one in registry.values() if issubclass(one, AboutPurchase)]
    assert CloseGroup in about
