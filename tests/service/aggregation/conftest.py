"""A group's coordinator, members and orders, with defaults, and the aggregation service with notification's key."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from stdnum.iso7064 import mod_97_10

from services.aggregation.app import build
from services.aggregation.settings import Settings
from services.notification.sealed import public_key
from shared.envelope import Actor
from shared.messages import Message
from shared.messages.aggregation import (
    AddBuyer,
    BillingPreferences,
    CloseGroup,
    Contact,
    Identifier,
    LineUsage,
    OpenGroup,
    Period,
    ReportUsage,
    ServiceUsage,
    SetBillingPreferences,
)
from tests.memory import TEST_SETTINGS, MemoryKafka, Running, running

NOTIFICATION_SECRET = b"n" * 32
MAY = Period(start=date(2026, 5, 1), end=date(2026, 5, 31), months=1)
JUNE = Period(start=date(2026, 6, 1), end=date(2026, 6, 30), months=1)


@pytest.fixture
async def aggregation(database: str, kafka: MemoryKafka) -> AsyncIterator[Running]:
    own = {"postgres_dsn": database, "notification_public_key": public_key(NOTIFICATION_SECRET)}
    async with running(build(Settings(**{**TEST_SETTINGS, **own})), kafka) as service:
        yield service


def a_lei(buyer_id: UUID) -> str:
    stem = buyer_id.hex[-18:].upper()
    return stem + mod_97_10.calc_check_digits(stem)


def a_line(line_id: str, minutes: str = "120.5", charged: str = "20.49") -> LineUsage:
    use = {"service": "voice.day", "quantity": minutes, "unit": "MIN", "charged": charged}
    return LineUsage.model_validate(
        {
            "line_id": line_id,
            "services": [ServiceUsage.model_validate(use)],
            "recurring_charged": "10.00",
            "exit_fee": "0.00",
        }
    )


async def settled(service: Running) -> None:
    """Let all be handled, and what waits for a fact that does not come be refused."""
    await service.kafka.settle()
    while await service.pool.fetchval("SELECT true FROM parked WHERE state = 'waiting' LIMIT 1"):
        await service.pool.execute("UPDATE parked SET retry_at = clock_timestamp()")
        await service.kafka.settle()


@dataclass
class Conversation:
    """Says a group's orders; every order is given by the coordinator unless an actor is named."""

    kafka: MemoryKafka
    service: Running
    purchase_id: UUID = field(default_factory=uuid4)
    coordinator: Actor = field(default_factory=lambda: Actor(person_id=uuid4(), role="coordinator"))

    async def say(self, message: Message, actor: Actor | None = None, *, id: UUID | None = None) -> UUID:  # noqa: A002 # CloudEvents' word
        id_ = self.kafka.command(message, actor or self.coordinator, id=id)
        await settled(self.service)
        return id_

    def contact(self, person_id: UUID, name: str = "Ann Example") -> Contact:
        return Contact(
            person_id=person_id, name=name, email=f"p{person_id.hex[:6]}@example.org", phone="+4930123456"
        )

    def opening(self, **other: Any) -> OpenGroup:
        fields = {
            "purchase_id": self.purchase_id,
            "name": "Harbour towns",
            "currency": "EUR",
            "tax_basis": "net",
            "contact": self.contact(self.coordinator.person_id),
        }
        return OpenGroup(**{**fields, **other})

    def joining(
        self, buyer_id: UUID, *, contact_id: UUID | None = None, name: str = "Town of Aal"
    ) -> AddBuyer:
        return AddBuyer(
            purchase_id=self.purchase_id,
            buyer_id=buyer_id,
            legal_name=name,
            identifiers=(Identifier(scheme="XI-LEI", id=a_lei(buyer_id)),),
            contact=self.contact(contact_id or uuid4()),
        )

    def report(
        self,
        buyer_id: UUID,
        *lines: LineUsage,
        report_id: UUID | None = None,
        part: int = 1,
        parts: int = 1,
        period: Period = MAY,
    ) -> ReportUsage:
        return ReportUsage(
            purchase_id=self.purchase_id,
            buyer_id=buyer_id,
            report_id=report_id or uuid4(),
            period=period,
            part=part,
            parts=parts,
            lines=lines or (a_line("L1"),),
        )

    def preferring(self, buyer_id: UUID) -> SetBillingPreferences:
        preferences = BillingPreferences(format="ubl", frequency="monthly", payment_days=30, medium="peppol")
        return SetBillingPreferences(purchase_id=self.purchase_id, buyer_id=buyer_id, preferences=preferences)

    def closing(self) -> CloseGroup:
        return CloseGroup(purchase_id=self.purchase_id)

    def events(self, *types: type[Message]) -> list[Any]:
        """Return what stands on the service's streams, all or of these types."""
        streams = (
            "aggregation.events",
            "aggregation.usage",
            "aggregation.contacts",
            "aggregation.credentials",
        )
        said = [message for stream in streams for message in self.kafka.messages(stream)]
        return [one for one in said if not types or isinstance(one, types)]

    def refusals(self) -> list[str]:
        return [one.reason for one in self.kafka.messages("aggregation.events") if hasattr(one, "reason")]


@pytest.fixture
async def group(aggregation: Running, kafka: MemoryKafka) -> Conversation:
    return Conversation(kafka, aggregation)
