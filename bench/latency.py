"""From the commit of GroupQualified to the append of the last of 200 invitations, in a system that does nothing else.

The beginning is the time that rfp's log gives the decision, a moment before its commit; the end is Kafka's append time. Beside
it, in the same run: one bare produce and consume round trip.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median, quantiles
from time import perf_counter
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.measuring import connection, producer
from deploy.local.services import Services
from deploy.local.stack import Stack
from linepool.client.authorities import Officer, Operator, open_officer, open_operator
from linepool.client.orders import Outcome
from linepool.client.people import People, coordinator, open_people
from shared.messages.aggregation import (
    BillingPreferences,
    Contact,
    GroupAggregated,
    Identifier,
    LineUsage,
    Period,
    ServiceUsage,
)
from shared.messages.rfp import RequestIssued, ServiceNeed

M = TypeVar("M")
PROVIDERS = 200
PURCHASES = 50
ROUND_TRIPS = 200


@dataclass(frozen=True)
class Latency:
    """Milliseconds."""

    median_ms: float
    p99_ms: float
    bare_median_ms: float
    bare_p99_ms: float


def measure(stack: Stack) -> Latency:
    """Run the purchases one after the other on the five services."""
    providers = [f"lat000{index:06d}" for index in range(PROVIDERS)]
    stack.add_providers(providers, quotas=False)
    with Services(stack):
        bare = asyncio.run(_round_trips(stack))
        ours = asyncio.run(_purchases(stack, providers))
    return Latency(median(ours), _p99(ours), median(bare), _p99(bare))


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]


async def _round_trips(stack: Stack) -> list[float]:
    topic = f"{stack.prefix}notification.events"
    place = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(**connection(stack).arguments(), enable_auto_commit=False)
    await consumer.start()
    times = []
    try:
        consumer.assign([place])
        await consumer.seek_to_end(place)
        async with producer(stack) as kafka:
            await _round_trip(kafka, consumer, place)
            times = [await _round_trip(kafka, consumer, place) for _ in range(ROUND_TRIPS)]
    finally:
        await consumer.stop()
    return times


async def _round_trip(kafka: AIOKafkaProducer, consumer: AIOKafkaConsumer, place: TopicPartition) -> float:
    started = perf_counter()
    await kafka.send_and_wait(place.topic, value=b"{}", partition=place.partition)
    await consumer.getone()
    return (perf_counter() - started) * 1000


async def _purchases(stack: Stack, providers: list[str]) -> list[float]:
    people_login, officer_login, operator_login = (
        connection(stack, stack.login(name)) for name in ("portal", "officer", "operator")
    )
    async with (
        open_people(people_login) as people,
        open_officer(officer_login, uuid4()) as officer,
        open_operator(operator_login, uuid4()) as operator,
    ):
        await _register(operator, providers)
        purchases = [await _up_to_the_gate(people, providers) for _ in range(PURCHASES)]
        return [await _qualify(stack, officer, *purchase, providers) for purchase in purchases]


async def _register(operator: Operator, providers: list[str]) -> None:
    orders = [
        await operator.register(
            provider, name=f"Provider {provider}", categories=["voice"], regions=["Everywhere"]
        )
        for provider in providers
    ]
    await operator.outcome(orders[-1])


async def _up_to_the_gate(people: People, providers: list[str]) -> tuple[UUID, UUID, str]:
    purchase, person, buyer = uuid4(), uuid4(), uuid4()
    by = coordinator(person)
    contact = Contact(person_id=person, name="Bench", email="bench@linepool.invalid")
    await people.open_group(by, purchase, name="Bench", currency="EUR", tax_basis="net", contact=contact)
    identifiers = [Identifier(scheme="XI-LEI", id="5493001KJTIIGC8Y1R12")]
    await people.add_buyer(
        by, purchase, buyer_id=buyer, legal_name="Bench", identifiers=identifiers, contact=contact
    )
    use = ServiceUsage(service="voice.day", quantity=Decimal(100), unit="MIN", charged=Decimal("17.00"))
    line = LineUsage(
        line_id="1", services=(use,), recurring_charged=Decimal("0.00"), exit_fee=Decimal("0.00")
    )
    today = datetime.now(UTC).date()
    period = Period(start=today - timedelta(days=30), end=today, months=1)
    await people.report_usage(by, purchase, buyer_id=buyer, period=period, lines=[line])
    preferences = BillingPreferences(format="pdf", frequency="monthly", payment_days=30, medium="email")
    await people.set_billing_preferences(by, purchase, buyer_id=buyer, preferences=preferences)
    closed = await people.close_group(by, purchase)
    snapshot = _only(await people.outcome(closed), GroupAggregated).snapshot
    await people.describe_need(
        by,
        purchase,
        title="Bench",
        description="Bench",
        services=[ServiceNeed(service="voice.day", unit="MIN", description="Calls by day")],
        places=["Everywhere"],
        deadline=datetime.now(UTC) + timedelta(hours=1),
        contract_months=12,
    )
    await people.set_provider_list(by, purchase, provider_ids=providers)
    _only(await people.outcome(await people.issue_request(by, purchase)), RequestIssued)
    return purchase, person, snapshot


def _only(outcome: Outcome, kind: type[M]) -> M:
    found = [one for one in outcome.events if isinstance(one, kind)]
    if len(found) != 1:
        raise RuntimeError(f"no {kind.__name__}, but {outcome}")
    return found[0]


async def _qualify(
    stack: Stack, officer: Officer, purchase: UUID, person: UUID, snapshot: str, providers: list[str]
) -> float:
    topics = [f"{stack.prefix}invitations.{provider}" for provider in providers]
    consumer = AIOKafkaConsumer(**connection(stack).arguments(), enable_auto_commit=False)
    await consumer.start()
    connected = await asyncpg.connect(stack.admin_dsn)
    try:
        places = [TopicPartition(topic, 0) for topic in topics]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)
        buyer = await connected.fetchval("SELECT buyer_id FROM rfp.buyers WHERE purchase_id = $1", purchase)
        until = datetime.now(UTC) + timedelta(days=30)
        for party, party_id in (("coordinator", person), ("buyer", buyer)):
            await officer.verify(
                purchase,
                snapshot=snapshot,
                party=party,
                party_id=party_id,
                valid_until=until,
                reference="bench",
            )
        appended: dict[str, int] = {}
        async with asyncio.timeout(30):
            while len(appended) < len(topics):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        appended.setdefault(record.topic, record.timestamp)
        qualified = await connected.fetchval(
            "SELECT decided_at FROM rfp.log WHERE subject = $1 AND type LIKE 'linepool.group-qualified.%'",
            str(purchase),
        )
        return max(appended.values()) - qualified.timestamp() * 1000
    finally:
        await consumer.stop()
        await connected.close()
