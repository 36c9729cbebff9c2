"""The officer, who verifies groups, and the operator, who keeps the register of providers; each with a login of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from linepool.client.connection import Connection
from linepool.client.journal import Journal
from linepool.client.orders import Orders, Outcome, open_orders
from shared.envelope import Actor
from shared.messages import Order
from shared.messages.aggregation import Contact
from shared.messages.people import AppointAuditor, DismissAuditor, ErasePerson
from shared.messages.rfp import (
    RecordVerification,
    RegisterProvider,
    ReinstateProvider,
    RemoveProvider,
    SuspendProvider,
)

Party = Literal["coordinator", "buyer"]


@dataclass(frozen=True)
class Officer:
    """Records what was found out about the parties of a group. Made by `open_officer`."""

    orders: Orders
    person_id: UUID

    @property
    def journal(self) -> Journal:
        """The events that the officer may read: aggregation's and rfp's."""
        return self.orders.journal

    async def verify(
        self,
        purchase_id: UUID,
        *,
        snapshot: str,
        party: Party,
        party_id: UUID,
        valid_until: datetime,
        reference: str,
        method: Literal["register", "document", "visit"] = "register",
    ) -> UUID:
        """Find a party of exactly this snapshot to be who it says; return the finding's id."""
        finding = RecordVerification(
            purchase_id=purchase_id,
            snapshot=snapshot,
            party=party,
            party_id=party_id,
            outcome="verified",
            method=method,
            reference=reference,
            valid_until=valid_until,
        )
        return await self.record(finding)

    async def refuse(
        self,
        purchase_id: UUID,
        *,
        snapshot: str,
        party: Party,
        party_id: UUID,
        valid_until: datetime,
        reference: str,
        reason: str,
        method: Literal["register", "document", "visit"] = "register",
    ) -> UUID:
        """Find that a party of exactly this snapshot is not who it says; return the finding's id."""
        finding = RecordVerification(
            purchase_id=purchase_id,
            snapshot=snapshot,
            party=party,
            party_id=party_id,
            outcome="refused",
            method=method,
            reference=reference,
            valid_until=valid_until,
            reason=reason,
        )
        return await self.record(finding)

    async def record(self, finding: RecordVerification) -> UUID:
        """Send any finding; return its id."""
        return await self.orders.give(finding, Actor(person_id=self.person_id, role="officer"))

    async def outcome(self, order_id: UUID, *, within: float = 30) -> Outcome:
        """Wait for what a finding led to; see `Orders.outcome`."""
        return await self.orders.outcome(order_id, within=within)


@dataclass(frozen=True)
class Operator:
    """Registers, suspends, reinstates and removes providers. Made by `open_operator`."""

    orders: Orders
    person_id: UUID

    @property
    def journal(self) -> Journal:
        """The events that the operator may read: rfp's and aggregation's."""
        return self.orders.journal

    async def register(
        self, provider_id: str, *, name: str, categories: Sequence[str], regions: Sequence[str]
    ) -> UUID:
        """Make a provider known; return the order's id."""
        return await self._give(
            RegisterProvider(
                provider_id=provider_id, name=name, categories=tuple(categories), regions=tuple(regions)
            )
        )

    async def suspend(self, provider_id: str, *, reason: str) -> UUID:
        """Let nothing more be presented to a provider; return the order's id."""
        return await self._give(SuspendProvider(provider_id=provider_id, reason=reason))

    async def reinstate(self, provider_id: str) -> UUID:
        """Lift a suspension; return the order's id."""
        return await self._give(ReinstateProvider(provider_id=provider_id))

    async def remove(self, provider_id: str, *, reason: str) -> UUID:
        """Strike a provider off the register; return the order's id."""
        return await self._give(RemoveProvider(provider_id=provider_id, reason=reason))

    async def appoint_auditor(self, purchase_id: UUID, contact: Contact) -> UUID:
        """Let a person read all of a purchase but sealed content; return the order's id."""
        return await self._give(AppointAuditor(purchase_id=purchase_id, contact=contact))

    async def dismiss_auditor(self, purchase_id: UUID, person_id: UUID) -> UUID:
        """Let an auditor no longer read; return the order's id."""
        return await self._give(DismissAuditor(purchase_id=purchase_id, person_id=person_id))

    async def erase(self, person_id: UUID) -> UUID:
        """Erase how a person is reached; return the order's id."""
        return await self._give(ErasePerson(person_id=person_id))

    async def outcome(self, order_id: UUID, *, within: float = 30) -> Outcome:
        """Wait for what an order led to; see `Orders.outcome`."""
        return await self.orders.outcome(order_id, within=within)

    async def _give(self, order: Order) -> UUID:
        return await self.orders.give(order, Actor(person_id=self.person_id, role="operator"))


@asynccontextmanager
async def open_officer(
    connection: Connection, person_id: UUID, *, also: Sequence[str] = ()
) -> AsyncIterator[Officer]:
    """Connect with the officer's login, to read events, and `also` other topics. Raises KafkaError as `open_orders`."""
    reads = ("aggregation.events", "rfp.events", *also)
    async with open_orders(connection, source="/linepool/officer", reads=reads) as orders:
        yield Officer(orders, person_id)


@asynccontextmanager
async def open_operator(connection: Connection, person_id: UUID) -> AsyncIterator[Operator]:
    """Connect with the operator's login. Raises KafkaError when the broker is away or refuses it."""
    async with open_orders(
        connection, source="/linepool/operator", reads=("rfp.events", "aggregation.events")
    ) as orders:
        yield Operator(orders, person_id)
